package dev.sandglass.control.sandbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.control.database.Database;
import dev.sandglass.control.database.DatabaseAddress;
import dev.sandglass.control.idempotency.StoredAnswers;
import dev.sandglass.control.sandbox.SandboxStore.Insertion.Inserted;
import dev.sandglass.control.sandbox.SandboxStore.New;
import dev.sandglass.control.testing.TestDatabase;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Both stores keep the same promises: the database, and the one in memory that the simulation runs on. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class SandboxStoreTest {
    private static final TeamQuota QUOTA = new TeamQuota(1000, 1000, 1 << 20, 1000);
    private static final Duration HOUR = Duration.ofHours(1);
    private final TeamId team = TeamId.random();
    private final InMemorySandboxStore memory = new InMemorySandboxStore(SandboxId::random, Instant::now);
    private Database database;

    @BeforeAll
    void open() {
        database = Database.open(DatabaseAddress.parse(TestDatabase.freshUrl()));
        database.jdbi().useHandle(handle -> {
            handle.execute("insert into teams (id, name) values (?, 'team')", team.value());
            handle.execute("insert into hosts (id, installation_id, version, vcpus, memory_mb, memory_available_mb,"
                    + " disk_free_bytes, accelerator, status, heartbeat_at)"
                    + " values ('host', 'i', 'v', 1, 1, 1, 1, 'tcg', 'up', now())");
        });
    }

    @AfterAll
    void close() {
        database.close();
    }

    Stream<SandboxStore> stores() {
        return Stream.of(new PostgresSandboxStore(database, new StoredAnswers(database.jdbi())), memory);
    }

    private Sandbox insert(SandboxStore store, Duration within) {
        New wanted = new New(
                team,
                "host",
                new Template("base", Optional.empty()),
                new SandboxSpec("base", Optional.empty(), Optional.empty(), 5, Map.of(), Map.of()),
                2,
                256);
        return ((Inserted) store.insert(wanted, Optional.empty(), QUOTA, within)).sandbox();
    }

    private Sandbox running(SandboxStore store) {
        return store.change(insert(store, HOUR), Change.running("10.11.0.1", false))
                .orElseThrow();
    }

    @Test
    void teamsThatReadAtTheSameTimeSeeTheirOwnOnly() {
        SandboxStore store = new PostgresSandboxStore(database, new StoredAnswers(database.jdbi()));
        List<Sandbox> own = Stream.generate(() -> insert(store, HOUR)).limit(8).toList();
        TeamId stranger = TeamId.random();
        try (ExecutorService callers = Executors.newVirtualThreadPerTaskExecutor()) {
            List<CompletableFuture<Void>> all = Stream.iterate(0, i -> i + 1)
                    .limit(400)
                    .map(i -> CompletableFuture.runAsync(
                            () -> {
                                Sandbox sandbox = own.get(i % own.size());
                                assertThat(store.find(team, sandbox.id())).contains(sandbox);
                                assertThat(store.find(stranger, sandbox.id())).isEmpty();
                                assertThat(store.find(team, SandboxId.random())).isEmpty();
                            },
                            callers))
                    .toList();
            all.forEach(CompletableFuture::join);
        }
    }

    @ParameterizedTest
    @MethodSource("stores")
    void aChangeNamesTheStatusAndVersionItStartsFrom(SandboxStore store) {
        Sandbox running = running(store);
        assertThat(running.status()).isEqualTo(SandboxStatus.RUNNING);
        assertThat(running.startedAt()).isPresent();
        Sandbox pausing = store.change(running, Change.pausing(running, HOUR)).orElseThrow();
        assertThat(store.change(running, Change.pausing(running, HOUR))).isEmpty();
        assertThat(store.change(running, Change.stopped("why"))).isEmpty();
        Sandbox back = store.change(pausing, Change.stillRunning(pausing, "")).orElseThrow();
        assertThat(back.hostIp()).contains("10.11.0.1");
        assertThat(store.change(running, Change.stopped("why")))
                .as("another version")
                .isEmpty();
        assertThat(back.version()).isEqualTo(running.version() + 2);
        assertThat(store.find(team, back.id())).contains(back);
    }

    @ParameterizedTest
    @MethodSource("stores")
    void whatMayNotFollowIsABug(SandboxStore store) {
        Sandbox running = running(store);
        assertThatThrownBy(() -> store.change(running, Change.resuming(running, HOUR)))
                .isInstanceOf(IllegalStateException.class);
    }

    @ParameterizedTest
    @MethodSource("stores")
    void whatBelongsToAStatusGoesWithIt(SandboxStore store) {
        Sandbox running = running(store);
        Sandbox stopped = store.change(running, Change.stopped("why")).orElseThrow();
        assertThat(stopped.error()).contains("why");
        assertThat(stopped.hostIp()).isEmpty();
        var resumption = store.resume(stopped, Change.resuming(stopped, HOUR), QUOTA);
        Sandbox resuming = ((SandboxStore.Resumption.Begun) resumption).sandbox();
        assertThat(resuming.error()).isEmpty();
        Sandbox cold = store.change(resuming, Change.running("10.11.0.2", true)).orElseThrow();
        assertThat(cold.cold()).isTrue();
        assertThat(cold.startedAt()).isEqualTo(running.startedAt());
        assertThat(store.resume(stopped, Change.resuming(stopped, HOUR), QUOTA))
                .isInstanceOf(SandboxStore.Resumption.Overtaken.class);
    }

    @ParameterizedTest
    @MethodSource("stores")
    void aTransitionIsOverdueAfterItsTimeOrWhenItIsAbandoned(SandboxStore store) throws Exception {
        Sandbox late = insert(store, Duration.ofMillis(1));
        Sandbox abandoned = insert(store, HOUR);
        assertThat(abandoned.overdue()).isFalse();
        store.abandoned(abandoned);
        Thread.sleep(5);
        assertThat(store.find(team, late.id()).orElseThrow().overdue()).isTrue();
        assertThat(store.find(team, abandoned.id()).orElseThrow().overdue()).isTrue();
        Sandbox running = running(store);
        store.abandoned(running);
        assertThat(store.find(team, running.id())).contains(running);
    }

    @ParameterizedTest
    @MethodSource("stores")
    void aDeletionWaitsForTheTransitionToEnd(SandboxStore store) {
        Sandbox running = running(store);
        assertThat(store.deleted(running.id())).as("nobody asked").isFalse();
        Sandbox pausing = store.change(running, Change.pausing(running, HOUR)).orElseThrow();
        assertThat(store.requestDeletion(TeamId.random(), pausing.id())).isEmpty();
        assertThat(store.requestDeletion(team, pausing.id()).orElseThrow().deletionRequested())
                .isTrue();
        assertThat(store.deleted(pausing.id())).isFalse();
        assertThat(store.change(pausing, Change.paused(pausing)).orElseThrow().deletionRequested())
                .isTrue();
        assertThat(store.wasDeleted(team, pausing.id())).isFalse();
        assertThat(store.deleted(pausing.id())).isTrue();
        assertThat(store.deleted(pausing.id())).isFalse();
        assertThat(store.find(team, pausing.id())).isEmpty();
        assertThat(store.wasDeleted(team, pausing.id())).isTrue();
        assertThat(store.ofHost("host")).extracting(Sandbox::id).doesNotContain(pausing.id());
        assertThat(store.change(pausing, Change.paused(pausing))).isEmpty();
        assertThat(store.requestDeletion(team, pausing.id())).isEmpty();
    }

    @ParameterizedTest
    @MethodSource("stores")
    void whatHasARowIsKnownAlsoWhenItIsDeleted(SandboxStore store) {
        Sandbox living = running(store);
        Sandbox deleted = running(store);
        Sandbox withdrawn = insert(store, HOUR);
        store.requestDeletion(team, deleted.id());
        store.deleted(deleted.id());
        store.withdraw(withdrawn.id());
        store.withdraw(living.id()); // it is more than pending
        List<String> ids = Stream.of(living, deleted, withdrawn)
                .map(row -> row.id().value())
                .toList();
        assertThat(store.known(ids)).isEqualTo(Map.of(ids.get(0), Plan.Known.LIVING, ids.get(1), Plan.Known.DELETED));
    }
}
