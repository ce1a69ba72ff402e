package dev.sandglass.control.sandbox;

import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.sandbox.Machines.HostView;
import dev.sandglass.control.sandbox.Plan.Action;
import dev.sandglass.control.sandbox.Plan.Known;
import dev.sandglass.control.sandbox.Plan.Situation;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Looks at one host after another and does what its {@link Plan} says. One thread at a time for each host. */
final class Rounds {
    private static final Logger log = LoggerFactory.getLogger(Rounds.class);
    private static final Logger audit = LoggerFactory.getLogger("dev.sandglass.audit");

    private final SandboxStore store;
    private final Machines machines;
    private final Operations operations;
    private final String installation;
    private final Pace pace;
    private final Map<String, Map<String, Long>> missed = new ConcurrentHashMap<>(); // by host
    private final Map<String, Set<String>> strangers = new ConcurrentHashMap<>(); // by host, those alarmed about

    Rounds(SandboxStore store, Machines machines, Operations operations, String installation, Pace pace) {
        this.store = store;
        this.machines = machines;
        this.operations = operations;
        this.installation = installation;
        this.pace = pace;
    }

    /** What has come of a look at a host. */
    sealed interface Outcome {
        /** {@code removals} take as long as the host takes; each may be run at any time, or never. */
        record Compared(List<Removal> removals, int strangers) implements Outcome {}

        /** Nothing has been changed. */
        record Unreachable() implements Outcome {}
    }

    /** Something that is to go from a host. */
    record Removal(String sandbox, Runnable work) {}

    /** Compares, and changes the rows that are to change. */
    Outcome at(String hostId) {
        List<Sandbox> rows = store.ofHost(hostId); // before the list: see Settlement
        HostView view;
        try {
            view = machines.list(hostId);
        } catch (PlatformException e) {
            log.atDebug().addKeyValue("host", hostId).setCause(e).log("a host does not answer, nothing is changed");
            return new Outcome.Unreachable();
        }
        Plan plan = Plan.of(new Situation(
                installation, rows, view, unlisted(rows, view), missed.getOrDefault(hostId, Map.of()), pace.now()));
        missed.put(hostId, plan.missed());
        alarm(hostId, plan.strangers());
        List<Removal> removals = new ArrayList<>();
        plan.actions().forEach(action -> perform(hostId, action).ifPresent(removals::add));
        return new Outcome.Compared(removals, plan.strangers().size());
    }

    /** After the list: what has no row now has never had one, or had one long ago. */
    private Map<String, Known> unlisted(List<Sandbox> rows, HostView view) {
        Set<String> ids = new HashSet<>(view.sandboxes().keySet());
        rows.forEach(row -> ids.remove(row.id().value()));
        return ids.isEmpty() ? Map.of() : store.known(ids);
    }

    private Optional<Removal> perform(String hostId, Action action) {
        return switch (action) {
            case Action.Adjust adjust -> {
                Optional<Sandbox> now = store.change(adjust.row(), adjust.change());
                now.ifPresent(row -> Operations.report(adjust.row(), row));
                yield now.filter(Sandbox::deletionRequested).map(this::removal);
            }
            case Action.Remove remove -> Optional.of(removal(remove.row()));
            case Action.RemoveRevenant revenant ->
                Optional.of(new Removal(revenant.id(), () -> destroy(hostId, revenant.id(), "it had been deleted")));
            case Action.RemoveStranger stranger ->
                Optional.of(new Removal(
                        stranger.id(),
                        () -> destroy(
                                hostId,
                                stranger.id(),
                                "the database does not know it; created at " + stranger.createdAt())));
        };
    }

    private Removal removal(Sandbox row) {
        return new Removal(row.id().value(), () -> operations.destroy(row));
    }

    private void destroy(String hostId, String sandbox, String why) {
        audit.atWarn()
                .addKeyValue("sandbox", sandbox)
                .addKeyValue("host", hostId)
                .addKeyValue("installation", installation)
                .addKeyValue("reason", why)
                .log("sandbox without a row destroyed");
        try {
            machines.destroy(hostId, sandbox);
        } catch (PlatformException e) {
            log.atWarn()
                    .addKeyValue("sandbox", sandbox)
                    .addKeyValue("host", hostId)
                    .setCause(e)
                    .log("a sandbox without a row could not be destroyed yet");
        }
    }

    /** Once for the same strangers. */
    private void alarm(String hostId, Set<String> found) {
        Set<String> before = Optional.ofNullable(strangers.put(hostId, found)).orElse(Set.of());
        if (!found.isEmpty() && !found.equals(before)) {
            log.atError()
                    .addKeyValue("host", hostId)
                    .addKeyValue("strangers", found.size())
                    .addKeyValue("first", found.iterator().next())
                    .log("the host has sandboxes that the database does not know, too many to be leftovers; none is"
                            + " touched. Check DATABASE_URL, whether the database was restored from a backup, and"
                            + " SANDGLASS_HOME");
        }
    }
}
