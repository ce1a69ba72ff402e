package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.host.v1.SandboxStatus;
import dev.sandglass.control.database.MortalPostgres;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.Concurrently;
import dev.sandglass.control.testing.TestPlane;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** PostgreSQL is killed under a control plane that works, and comes back after a while. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class DatabaseLossTest {
    private static final Duration AWAY = Duration.ofSeconds(Integer.getInteger("database.away.seconds", 3));

    /** A caller learns within it that the database is away: the pool waits for 5 s. */
    private static final Duration ANSWERED_WITHIN = Duration.ofSeconds(30);

    private static final int WORKERS = 8;
    private static final String SANDBOXES = "/v1/sandboxes/";

    private MortalPostgres postgres;
    private TestPlane test;

    @BeforeAll
    void start() {
        postgres = MortalPostgres.start();
        test = TestPlane.start(Map.of(
                "DATABASE_URL",
                postgres.url(),
                "SANDGLASS_TEAM_SANDBOXES_MAX",
                "1000000",
                "SANDGLASS_TEAM_MEMORY_MB_MAX",
                "1000000000"));
    }

    @AfterAll
    void stop() {
        test.close();
        postgres.close();
    }

    private static void sleep(Duration time) {
        Awaitility.await().pollDelay(time).atMost(time.plusSeconds(60)).until(() -> true);
    }

    private void awaitBack() {
        Awaitility.await()
                .atMost(Duration.ofSeconds(60))
                .until(() -> test.api().get("/readyz").status() == 200);
    }

    /** What callers were told, which has to be true for ever. */
    private static final class Told {
        final Map<String, String> statuses = new ConcurrentHashMap<>();
        final Set<String> deleted = ConcurrentHashMap.newKeySet();
        final Set<Integer> refusals = ConcurrentHashMap.newKeySet();
        final AtomicInteger refused = new AtomicInteger();

        /** Whether it succeeded; what was refused may have happened or not. */
        boolean is(Api.Answer answer) {
            if (answer.status() >= 400) {
                refused.incrementAndGet();
                refusals.add(answer.status());
                assertThat(answer.code()).as(answer.toString()).isNotEqualTo("null");
            }
            return answer.status() < 300;
        }
    }

    private static Api.Answer timely(java.util.function.Supplier<Api.Answer> call) {
        long began = System.nanoTime();
        Api.Answer answer = call.get();
        assertThat(Duration.ofNanos(System.nanoTime() - began)).isLessThan(ANSWERED_WITHIN);
        return answer;
    }

    private static void work(Api api, AtomicBoolean stop, Told told) {
        while (!stop.get()) {
            Api.Answer made = timely(() -> api.post("/v1/sandboxes", "{}"));
            if (!told.is(made)) {
                continue;
            }
            String id = made.text("id");
            told.statuses.put(id, "running");
            for (String change : List.of("pause", "resume", "pause")) {
                told.statuses.remove(id);
                if (!told.is(timely(() -> api.post(SANDBOXES + id + "/" + change)))) {
                    break;
                }
                told.statuses.put(id, change.equals("pause") ? "paused" : "running");
            }
            if (told.statuses.containsKey(id) && id.hashCode() % 2 == 0) {
                told.statuses.remove(id);
                if (told.is(timely(() -> api.delete(SANDBOXES + id)))) {
                    told.deleted.add(id);
                }
            }
        }
    }

    @Test
    void nothingThatWasAcknowledgedIsLost() {
        Api api = test.signUp().withKey();
        assertThat(api.get("/v1/sandboxes").status()).isEqualTo(200);
        int threads = Thread.activeCount();
        AtomicBoolean stop = new AtomicBoolean();
        Told told = new Told();
        CompletableFuture<List<Boolean>> workers = Concurrently.start(() -> Concurrently.run(WORKERS, _ -> {
            work(api, stop, told);
            return true;
        }));
        sleep(Duration.ofSeconds(1));
        postgres.kill();
        CompletableFuture<Void> back = CompletableFuture.runAsync(() -> {
            sleep(AWAY);
            postgres.startAgain();
        });
        Api.Answer meanwhile = timely(() -> api.get(SANDBOXES + "sb" + "0".repeat(20)));
        if (!back.isDone()) {
            assertThat(meanwhile.status()).as(meanwhile.toString()).isEqualTo(503);
            assertThat(meanwhile.code()).isEqualTo("host_unavailable");
            assertThat(meanwhile.header("Retry-After")).isNotEmpty();
            assertThat(meanwhile.body()).contains("database").doesNotContain("Exception", "jdbc", "127.0.0.1");
            assertThat(test.api().get("/healthz").status()).isEqualTo(200);
        }
        back.join();
        awaitBack();
        sleep(Duration.ofMillis(500)); // and work on
        stop.set(true);
        assertThat(workers.join()).hasSize(WORKERS);
        System.out.printf(
                "%d sandboxes as told, %d deleted, %d calls refused with %s%n",
                told.statuses.size(), told.deleted.size(), told.refused.get(), told.refusals);
        assertThat(told.refused).hasPositiveValue();
        assertThat(told.refusals).isSubsetOf(503, 409); // 409: on what was left in the middle

        Awaitility.await().atMost(Duration.ofSeconds(60)).untilAsserted(() -> {
            told.statuses.forEach((id, status) ->
                    assertThat(api.get(SANDBOXES + id).text("status")).as(id).isEqualTo(status));
            told.deleted.forEach(
                    id -> assertThat(api.get(SANDBOXES + id).status()).as(id).isEqualTo(404));
            assertThat(test.ask("select count(*) from sandboxes where deleted_at is null and status in"
                            + " ('pausing', 'resuming') and deadline_at < now()"))
                    .isEqualTo("0");
        });
        assertThat(Integer.parseInt(test.ask("select count(*) from pg_stat_activity where datname ="
                        + " current_database() and pid <> pg_backend_pid()")))
                .as("connections")
                .isLessThanOrEqualTo(18);
        Awaitility.await().untilAsserted(() -> assertThat(Thread.activeCount()).isLessThanOrEqualTo(threads + 12));
    }

    @Test
    void aPauseUnderWayIsWrittenDownWhenTheDatabaseIsBack() {
        Api api = test.signUp().withKey();
        String id = api.post("/v1/sandboxes", "{}").text("id");
        CountDownLatch pausing = new CountDownLatch(1);
        CountDownLatch killed = new CountDownLatch(1);
        test.agent.onPause = sandbox -> {
            pausing.countDown();
            Concurrently.await(killed);
            return Optional.empty();
        };
        CompletableFuture<Api.Answer> answer = Concurrently.start(() -> api.post(SANDBOXES + id + "/pause"));
        try {
            Concurrently.await(pausing);
            postgres.kill();
            killed.countDown();
            Awaitility.await().until(() -> test.agent.statuses.get(id) == SandboxStatus.PAUSED);
            sleep(Duration.ofSeconds(1));
        } finally {
            killed.countDown();
            test.agent.onPause = sandbox -> Optional.empty();
            postgres.startAgain();
        }
        assertThat(answer.join().text("status")).as(answer.join().toString()).isEqualTo("paused");
        assertThat(api.get(SANDBOXES + id).text("status")).isEqualTo("paused");
    }

    @Test
    void aStartWaitsForADatabaseThatIsNotThereYet() {
        postgres.kill();
        CompletableFuture<TestPlane> second = Concurrently.start(
                () -> TestPlane.start(Map.of("DATABASE_URL", postgres.url(), "SANDGLASS_INSTALLATION", "second02")));
        try {
            sleep(Duration.ofSeconds(1));
            assertThat(second).isNotDone();
        } finally {
            postgres.startAgain();
        }
        try (TestPlane started = second.join()) {
            assertThat(started.api().get("/readyz").status()).isEqualTo(200);
        }
        awaitBack();
    }
}
