package dev.sandglass.control.sandbox;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.control.database.Database;
import dev.sandglass.control.idempotency.Answer;
import dev.sandglass.control.idempotency.Idempotency;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Within work that is finished whatever happens, waits for a database that has gone to come back: what a host has done is
 * then written down by the one who had it done, instead of being found out minutes later. Everywhere else a failure is told
 * at once. A change whose answer was lost is tried again, and finds the row changed: callers look at the row then anyway.
 */
final class PatientSandboxStore implements SandboxStore {
    /** Longer than PostgreSQL takes to recover from a crash, as a rule. */
    private static final Duration PATIENCE = Duration.ofSeconds(30);

    private static final Duration PAUSE = Duration.ofMillis(500);
    private static final Logger log = LoggerFactory.getLogger(PatientSandboxStore.class);

    private final SandboxStore store;
    private final Pace pace;

    PatientSandboxStore(SandboxStore store, Pace pace) {
        this.store = store;
        this.pace = pace;
    }

    private <T> T patiently(Supplier<T> work) {
        long until = pace.nanoTime() + PATIENCE.toNanos();
        while (true) {
            try {
                return work.get();
            } catch (RuntimeException e) {
                if (!Detached.isHere() || !Database.isUnavailable(e) || pace.nanoTime() > until) {
                    throw e;
                }
                log.debug("the database is waited for", e);
            }
            pace.sleep(PAUSE);
        }
    }

    @Override
    public Insertion insert(New wanted, Optional<Idempotency> idempotency, TeamQuota quota, Duration within) {
        return store.insert(wanted, idempotency, quota, within);
    }

    @Override
    public void answered(SandboxId subject, Answer answer) {
        patiently(() -> {
            store.answered(subject, answer);
            return true;
        });
    }

    @Override
    public void withdraw(SandboxId id) {
        patiently(() -> {
            store.withdraw(id);
            return true;
        });
    }

    @Override
    public Optional<Sandbox> find(TeamId team, SandboxId id) {
        return patiently(() -> store.find(team, id));
    }

    @Override
    public boolean wasDeleted(TeamId team, SandboxId id) {
        return patiently(() -> store.wasDeleted(team, id));
    }

    @Override
    public Optional<Sandbox> change(Sandbox from, Change change) {
        return patiently(() -> store.change(from, change));
    }

    @Override
    public Resumption resume(Sandbox from, Change change, TeamQuota quota) {
        return store.resume(from, change, quota);
    }

    @Override
    public void abandoned(Sandbox transition) {
        patiently(() -> {
            store.abandoned(transition);
            return true;
        });
    }

    @Override
    public Optional<Sandbox> requestDeletion(TeamId team, SandboxId id) {
        return patiently(() -> store.requestDeletion(team, id));
    }

    @Override
    public boolean deleted(SandboxId id) {
        return patiently(() -> store.deleted(id));
    }

    @Override
    public List<Sandbox> ofHost(String hostId) {
        return store.ofHost(hostId);
    }

    @Override
    public Map<String, Plan.Known> known(Collection<String> ids) {
        return store.known(ids);
    }
}
