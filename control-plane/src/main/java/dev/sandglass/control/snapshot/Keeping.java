package dev.sandglass.control.snapshot;

import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.host.Strangers;
import dev.sandglass.control.snapshot.SnapshotHosts.Listing;
import dev.sandglass.control.snapshot.SnapshotStore.Condemned;
import dev.sandglass.control.snapshot.SnapshotStore.Expected;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Compares the rows of snapshots with what hosts keep: what no row knows is removed when it is little, and a row whose data
 * are gone says so. One thread at a time.
 *
 * <p>Rows are read, then the host's list, then which of the listed have a row after all. A row is there before its host is
 * told to make a snapshot, so what has none afterwards was not made by this database.
 */
final class Keeping {
    private static final Logger log = LoggerFactory.getLogger(Keeping.class);
    private static final Logger audit = LoggerFactory.getLogger("dev.sandglass.audit");

    private final SnapshotStore store;
    private final SnapshotHosts hosts;
    private final String installation;
    private final Supplier<List<String>> reachable;
    private final InstantSource clock;
    private final Map<String, Set<String>> missed = new HashMap<>(); // by host
    private final Map<String, Set<String>> alarmed = new HashMap<>(); // by host

    /** @param reachable ids of the hosts to look at */
    Keeping(
            SnapshotStore store,
            SnapshotHosts hosts,
            String installation,
            Supplier<List<String>> reachable,
            InstantSource clock) {
        this.store = store;
        this.hosts = hosts;
        this.installation = installation;
        this.reachable = reachable;
        this.clock = clock;
    }

    /**
     * What is to be done about one host. Pure.
     *
     * @param gone the host does not have them; for the second time in a row: {@code lost}
     * @param back the host has them, and their rows say that they were lost
     * @param leftovers on the host, and unknown to the database or deleted long ago
     * @param strangers unknown to the database, and too many to be leftovers: not to be touched
     */
    record Plan(Set<String> gone, Set<String> lost, Set<String> back, Set<String> leftovers, Set<String> strangers) {
        static Plan of(
                Map<String, Expected> rows,
                Listing listing,
                Map<String, Boolean> known,
                Set<String> missedBefore,
                Instant now) {
            Set<String> gone = new HashSet<>();
            Set<String> lost = new HashSet<>();
            Set<String> back = new HashSet<>();
            rows.forEach((id, row) -> {
                boolean there = listing.snapshots().containsKey(id);
                if (there && row.lost()) {
                    back.add(id);
                } else if (!there && !row.lost()) {
                    gone.add(id);
                    if (missedBefore.contains(id)) {
                        lost.add(id);
                    }
                }
            });
            Set<String> leftovers = new HashSet<>();
            Set<String> unknown = new HashSet<>();
            listing.snapshots().forEach((id, createdAt) -> {
                if (createdAt.isBefore(now.minus(Strangers.AGE))) {
                    Boolean removed = known.get(id);
                    if (removed == null) {
                        unknown.add(id);
                    } else if (removed) {
                        leftovers.add(id); // its creation took effect after its host had confirmed the deletion
                    }
                }
            });
            if (!Strangers.areFew(unknown.size(), listing.snapshots().size())) {
                return new Plan(gone, lost, back, leftovers, unknown);
            }
            leftovers.addAll(unknown);
            return new Plan(gone, lost, back, leftovers, Set.of());
        }
    }

    /** Called every few seconds, by one control plane at a time. */
    void compare() {
        for (String host : reachable.get()) {
            try {
                compare(host);
            } catch (PlatformException e) {
                log.atDebug().addKeyValue("host", host).setCause(e).log("a host does not list its snapshots");
            }
        }
    }

    private void compare(String host) {
        Map<String, Expected> rows = store.expectedOn(host);
        Listing listing = hosts.list(host);
        if (!listing.installation().equals(installation)) {
            return; // another installation's host under a name of ours
        }
        Plan plan = Plan.of(
                rows,
                listing,
                store.known(listing.snapshots().keySet()),
                Optional.ofNullable(missed.get(host)).orElse(Set.of()),
                clock.instant());
        missed.put(host, plan.gone());
        report(host, plan);
        store.markLost(new ArrayList<>(plan.lost()), true);
        store.markLost(new ArrayList<>(plan.back()), false);
        plan.leftovers().forEach(id -> remove(host, id));
    }

    private void report(String host, Plan plan) {
        plan.lost()
                .forEach(id -> log.atError()
                        .addKeyValue("snapshot", id)
                        .addKeyValue("host", host)
                        .log("the host does not have a snapshot any more"));
        Set<String> before =
                Optional.ofNullable(alarmed.put(host, plan.strangers())).orElse(Set.of());
        if (!plan.strangers().isEmpty() && !plan.strangers().equals(before)) {
            log.atError()
                    .addKeyValue("host", host)
                    .addKeyValue("strangers", plan.strangers().size())
                    .log("the host has snapshots that the database does not know, too many to be leftovers; none is"
                            + " touched. Check DATABASE_URL, whether the database was restored from a backup, and"
                            + " SANDGLASS_HOME");
        }
    }

    private void remove(String host, String id) {
        audit.atWarn()
                .addKeyValue("snapshot", id)
                .addKeyValue("host", host)
                .addKeyValue("installation", installation)
                .log("snapshot without a row removed");
        try {
            hosts.delete(new Condemned(new SnapshotId(id), host));
        } catch (PlatformException e) {
            log.atWarn()
                    .addKeyValue("snapshot", id)
                    .addKeyValue("host", host)
                    .setCause(e)
                    .log("a snapshot without a row could not be removed yet");
        }
    }
}
