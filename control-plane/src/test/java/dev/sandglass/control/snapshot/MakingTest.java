package dev.sandglass.control.snapshot;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.database.Database;
import dev.sandglass.control.database.DatabaseAddress;
import dev.sandglass.control.idempotency.StoredAnswers;
import dev.sandglass.control.sandbox.Sandbox;
import dev.sandglass.control.sandbox.SandboxStatus;
import dev.sandglass.control.snapshot.SnapshotStore.Condemned;
import dev.sandglass.control.snapshot.SnapshotStore.Insertion;
import dev.sandglass.control.snapshot.SnapshotStore.Made;
import dev.sandglass.control.testing.TestDatabase;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The process dies before and after each call to database and host; then the reconciler's chore is done. */
final class MakingTest {
    private static final Duration HOUR = Duration.ofHours(1);

    private static final class Crash extends Error {
        private static final long serialVersionUID = 1;
    }

    private final TeamId team = TeamId.random();
    private final Set<SnapshotId> onHost = new TreeSet<>((a, b) -> a.value().compareTo(b.value()));
    private Database database;
    private SnapshotStore store;
    private int callsLeft;
    private boolean hostFails;

    private final SnapshotHosts hosts = new SnapshotHosts() {
        @Override
        public Made make(Sandbox sandbox, SnapshotId id, boolean leavePaused) {
            onHost.add(id);
            if (hostFails) {
                throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "The answer was lost.");
            }
            return new Made(1, 1, 512);
        }

        @Override
        public void delete(Condemned snapshot) {
            if (hostFails) {
                throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "It does not answer.");
            }
            onHost.remove(snapshot.id());
        }

        @Override
        public Listing list(String hostId) {
            throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "Nobody asks it here.");
        }
    };

    @BeforeEach
    void open() {
        database = Database.open(DatabaseAddress.parse(TestDatabase.freshUrl()));
        store = new PostgresSnapshotStore(database.jdbi(), new StoredAnswers(database.jdbi()));
        database.jdbi().useHandle(handle -> {
            handle.execute("insert into teams (id, name) values (?, 'team')", team.value());
            handle.execute("insert into hosts (id, installation_id, version, vcpus, memory_mb, memory_available_mb,"
                    + " disk_free_bytes, accelerator, status, heartbeat_at)"
                    + " values ('host', 'i', 'v', 1, 1, 1, 1, 'tcg', 'up', now())");
        });
    }

    @AfterEach
    void close() {
        database.close();
    }

    /** The process, which dies before the call after so many, odd ones after what they did. */
    private Making mortal(int calls) {
        callsLeft = calls;
        return new Making(dying(SnapshotStore.class, store), dying(SnapshotHosts.class, hosts));
    }

    private <T> T dying(Class<T> type, T real) {
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (proxy, method, sent) -> {
            if (callsLeft-- <= 0) {
                throw new Crash();
            }
            Object result;
            try {
                result = method.invoke(real, sent);
            } catch (InvocationTargetException e) {
                throw e.getCause();
            }
            if (callsLeft-- <= 0) {
                throw new Crash();
            }
            return result;
        }));
    }

    private Sandbox sandbox() {
        return new Sandbox(
                SandboxId.random(),
                team,
                "host",
                "base",
                Optional.empty(),
                SandboxStatus.RUNNING,
                1,
                1,
                512,
                0,
                Optional.empty(),
                Map.of(),
                Optional.empty(),
                false,
                Instant.EPOCH,
                Optional.empty(),
                Optional.empty(),
                Instant.EPOCH,
                false,
                false);
    }

    private void make(Making making, boolean overwrite) {
        Insertion inserted = store.insert(team, "name", "host", Optional.empty(), 100, HOUR);
        making.make(sandbox(), ((Insertion.Inserted) inserted).id(), "name", false, overwrite);
    }

    /** Whether the process lived to the end. */
    private boolean attempt(Runnable work) {
        try {
            work.run();
            return true;
        } catch (Crash crash) {
            return false;
        } catch (PlatformException e) {
            return callsLeft > 0;
        }
    }

    private Set<String> visible() {
        return store.list(team, Optional.of(SnapshotType.SNAPSHOT)).stream()
                .map(snapshot -> snapshot.id().value())
                .collect(Collectors.toSet());
    }

    private void requireNothingLeft() {
        database.jdbi()
                .useHandle(handle -> handle.execute("update snapshots set deadline_at = now() - interval '1 second'"));
        hostFails = false;
        new Making(store, hosts).removeCondemned();
        assertThat(onHost.stream().map(SnapshotId::value)).containsExactlyInAnyOrderElementsOf(visible());
        assertThat(store.condemned()).isEmpty();
    }

    @Test
    void whereverItDiesWhatIsNotVisibleIsDeletedOnItsHost() {
        for (boolean fails : new boolean[] {false, true}) {
            for (int calls = 0, lived = 0; lived == 0; calls++) {
                hostFails = fails;
                Making making = mortal(calls);
                lived = attempt(() -> make(making, true)) ? 1 : 0;
                requireNothingLeft();
                assertThat(visible()).hasSizeLessThanOrEqualTo(1);
            }
        }
        assertThat(visible()).hasSize(1);
    }

    @Test
    void anOverwriteLeavesTheOldOrTheNewOneWhereverItDies() {
        make(new Making(store, hosts), false);
        Set<String> before = visible();
        for (int calls = 0, lived = 0; lived == 0; calls++) {
            Making making = mortal(calls);
            lived = attempt(() -> make(making, true)) ? 1 : 0;
            requireNothingLeft();
            assertThat(visible()).hasSize(1);
        }
        assertThat(visible()).isNotEqualTo(before);
    }

    @Test
    void aDeletionIsConfirmedOnlyWhenNothingCanComeAfterIt() {
        Insertion inserted = store.insert(team, "late", "host", Optional.empty(), 100, HOUR);
        SnapshotId id = ((Insertion.Inserted) inserted).id();
        store.giveUp(id, true);
        new Making(store, hosts).remove(new Condemned(id, "host"));
        onHost.add(id); // its creation was on its way
        requireNothingLeft();
    }

    @Test
    void whatWasGivenUpDoesNotBecomeComplete() {
        Insertion inserted = store.insert(team, "name", "host", Optional.empty(), 100, Duration.ZERO);
        SnapshotId id = ((Insertion.Inserted) inserted).id();
        store.condemned();
        assertThat(store.complete(team, id, new Made(1, 1, 512), true))
                .isInstanceOf(SnapshotStore.Completion.TooLate.class);
        make(new Making(store, hosts), false);
        assertThat(store.complete(team, id, new Made(1, 1, 512), true))
                .isInstanceOf(SnapshotStore.Completion.TooLate.class);
        assertThat(visible()).as("the one that has the name keeps it").hasSize(1);
    }

    @Test
    void aTeamHasABoundedNumber() {
        store.insert(team, "one", "host", Optional.empty(), 1, HOUR);
        assertThat(store.insert(team, "two", "host", Optional.empty(), 1, HOUR)).isInstanceOf(Insertion.TooMany.class);
    }

    @Test
    void theRowOfASnapshotStaysWhileASandboxWasMadeFromIt() {
        make(new Making(store, hosts), false);
        Condemned deleted = store.delete(team, "name").orElseThrow();
        new Making(store, hosts).remove(deleted);
        database.jdbi().useHandle(handle -> {
            handle.execute(
                    "update snapshots set removed_at = removed_at - interval '2 days' where removed_at is not null");
            handle.execute(
                    "insert into sandboxes (id, team_id, host_id, template, snapshot_id, status, vcpus, memory_mb,"
                            + " timeout_sec, started_at) values (?, ?, 'host', 'name', ?, 'running', 1, 512, 0, now())",
                    SandboxId.random().value(),
                    team.value(),
                    deleted.id().value());
        });
        store.tidy();
        assertThat(count()).isEqualTo(2); // with the base
        database.jdbi().useHandle(handle -> handle.execute("delete from sandboxes"));
        store.tidy();
        assertThat(count()).isEqualTo(1);
    }

    private int count() {
        return database.jdbi()
                .withHandle(handle -> handle.createQuery("select count(*) from snapshots")
                        .mapTo(Integer.class)
                        .one());
    }
}
