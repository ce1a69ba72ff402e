package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.host.v1.CreateSandboxRequest;
import dev.sandglass.contract.host.v1.SandboxStatus;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.TestPlane;
import io.grpc.Status;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Rows of a real database against what the fake agent says. What is decided is in PlanTest and SimulationTest. */
final class ReconcilerTest {
    private static final Instant LONG_AGO = Instant.parse("2026-01-01T00:00:00Z");

    private TestPlane test;
    private Api api;

    @BeforeEach
    void start() {
        test = TestPlane.start(Map.of(
                "SANDGLASS_TEAM_SANDBOXES_MAX", "5000",
                "SANDGLASS_TEAM_MEMORY_MB_MAX", "10000000",
                "SANDGLASS_MEMORY_OVERCOMMIT", "100"));
        api = test.signUp().withKey();
    }

    @AfterEach
    void stop() {
        test.close();
    }

    private String create() {
        return api.post("/v1/sandboxes", "{}").text("id");
    }

    private Api.Answer row(String id) {
        return api.get("/v1/sandboxes/" + id);
    }

    private void reconcile() {
        try {
            test.plane.wiring().sandboxes.reconcileNow();
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private List<String> strangers(int count, Instant createdAt) {
        List<String> ids = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            String id = SandboxId.random().value();
            test.agent.sandboxes.put(
                    id, CreateSandboxRequest.newBuilder().setSandboxId(id).build());
            test.agent.statuses.put(id, SandboxStatus.RUNNING);
            test.agent.createdAt.put(id, createdAt);
            ids.add(id);
        }
        return ids;
    }

    private String strangersMetric() {
        return test.api()
                .get("/metrics")
                .body()
                .lines()
                .filter(line -> line.startsWith("sandglass_reconciler_strangers"))
                .findFirst()
                .orElse("none");
    }

    @Test
    void aLeftoverIsDestroyed() {
        String known = create();
        strangers(2, LONG_AGO);
        strangers(1, Instant.now());
        reconcile();
        assertThat(test.agent.sandboxes).hasSize(2).containsKey(known);
        assertThat(strangersMetric()).endsWith(" 0.0");
    }

    @Test
    void aWrongDatabaseRaisesAnAlarmAndTouchesNothing() {
        List<String> theirs = strangers(3, LONG_AGO);
        reconcile();
        reconcile();
        assertThat(test.agent.sandboxes.keySet()).containsExactlyInAnyOrderElementsOf(theirs);
        assertThat(strangersMetric()).endsWith(" 3.0");
        String known = create();
        List<String> more = strangers(4, LONG_AGO);
        reconcile();
        assertThat(test.agent.sandboxes).hasSize(8).containsKey(known).containsKeys(more.toArray(String[]::new));
        assertThat(strangersMetric()).endsWith(" 7.0");
        assertThat(test.agent.destroys).hasValue(0);
    }

    @Test
    void anotherInstallationsHostChangesNoRow() {
        String id = create();
        test.agent.listedInstallation = "another00";
        test.agent.statuses.put(id, SandboxStatus.STOPPED);
        reconcile();
        test.agent.vanish(id);
        reconcile();
        reconcile();
        assertThat(row(id).text("status")).isEqualTo("running");
    }

    @Test
    void aHostThatDoesNotAnswerChangesNothingButItsOwnStatus() {
        String id = create();
        test.agent.down = Optional.of(Status.UNAVAILABLE);
        test.sql("update hosts set heartbeat_at = now() - interval '1 hour'");
        reconcile();
        reconcile();
        assertThat(row(id).text("status")).isEqualTo("running");
        assertThat(test.ask("select status from hosts")).isEqualTo("down");
        assertThat(api.post("/v1/sandboxes", "{}").code()).isEqualTo("host_unavailable");
        test.agent.down = Optional.empty();
        Awaitility.await()
                .atMost(Duration.ofSeconds(10))
                .untilAsserted(
                        () -> assertThat(test.ask("select status from hosts")).isEqualTo("up"));
        assertThat(create()).startsWith("sb");
    }

    @Test
    void damageIsReportedAndOnlyDeletingHelps() {
        String id = create();
        test.agent.statuses.put(id, SandboxStatus.ERROR);
        reconcile();
        assertThat(row(id).text("status")).isEqualTo("error");
        assertThat(row(id).json()).containsKey("error");
        assertThat(api.post("/v1/sandboxes/" + id + "/resume").code()).isEqualTo("invalid_state");
        assertThat(api.delete("/v1/sandboxes/" + id).status()).isEqualTo(204);
        assertThat(test.agent.sandboxes).isEmpty();
    }

    @Test
    void whatWasTakenForGoneComesBackWithItsHost() {
        String id = create();
        CreateSandboxRequest kept = test.agent.sandboxes.get(id);
        test.agent.sandboxes.remove(id);
        reconcile();
        reconcile();
        assertThat(row(id).text("status")).isEqualTo("stopped");
        if (kept != null) {
            test.agent.sandboxes.put(id, kept);
        }
        reconcile();
        assertThat(row(id).text("status")).isEqualTo("running");
        assertThat(row(id).json()).doesNotContainKey("error");
    }

    @Test
    void aCreationThatTookEffectAfterItsDeletionIsEnded() {
        String id = create();
        CreateSandboxRequest late = test.agent.sandboxes.get(id);
        api.delete("/v1/sandboxes/" + id);
        if (late != null) {
            test.agent.sandboxes.put(id, late);
        }
        reconcile();
        assertThat(test.agent.sandboxes).isEmpty();
    }

    @Test
    void aFailedDeletionIsMadeUpForBeforeTheNextRegularPass() {
        String id = create();
        test.agent.onDestroy = sandbox -> {
            test.agent.onDestroy = again -> Optional.empty();
            return Optional.of(Status.UNAVAILABLE);
        };
        assertThat(api.delete("/v1/sandboxes/" + id).status()).isEqualTo(204);
        Awaitility.await()
                .atMost(Duration.ofSeconds(3))
                .untilAsserted(() -> assertThat(test.agent.sandboxes).isEmpty());
    }

    @Test
    void anotherControlPlaneTakesOverWhenTheLeaderIsGone() throws Exception {
        String id = create();
        reconcile(); // leads from now on
        ControlPlaneConfiguration configuration =
                ControlPlaneConfiguration.read(new HashMap<>(test.environment), ConfigurationKeys.controlPlane());
        EmbeddedAgent agent = new EmbeddedAgent(test.agent.channel(), test.agent.hostId);
        try (ControlPlane second = ControlPlane.start(configuration, Optional.of(agent), Progress.SILENT)) {
            test.agent.autoPause(id);
            second.wiring().sandboxes.reconcileNow();
            assertThat(row(id).text("status")).isEqualTo("running");
            test.sql("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and database ="
                    + " (select oid from pg_database where datname = current_database())");
            Awaitility.await().atMost(Duration.ofSeconds(3)).untilAsserted(() -> {
                second.wiring().sandboxes.reconcileNow();
                assertThat(row(id).text("status")).isEqualTo("paused");
            });
        }
        test.agent.statuses.put(id, SandboxStatus.RUNNING);
        reconcile();
        assertThat(row(id).text("status")).as("the first one leads again").isEqualTo("running");
    }

    /** The promise: 50 ms for each with 1,000 sandboxes. Medians, as others use this machine at the same time. */
    @Test
    void aThousandSandboxesAreLookedAtAndListedInAMoment() {
        String first = create();
        test.sql(
                "insert into sandboxes (id, team_id, host_id, template, status, vcpus, memory_mb, timeout_sec, host_ip,"
                        + " metadata, started_at) select 'sb' || lpad(n::text, 20, '0'), team_id, host_id, 'base', 'running', 1,"
                        + " 512, 0, '10.11.0.9', '{\"n\":\"1\"}', now() from sandboxes, generate_series(1, 999) n where id = '"
                        + first + "'");
        for (int n = 1; n <= 999; n++) {
            String id = "sb" + String.format("%020d", n);
            test.agent.sandboxes.put(
                    id, CreateSandboxRequest.newBuilder().setSandboxId(id).build());
            test.agent.createdAt.put(id, LONG_AGO);
        }
        Duration limit = Duration.ofMillis(50);
        Look look = look();
        for (int again = 0; again < 4 && !look.within(limit); again++) {
            look = look(); // one that is too slow is so every time
        }
        test.agent.autoPause("sb" + "0".repeat(19) + "7");
        reconcile();
        assertThat(api.get("/v1/sandboxes?status=paused").list()).hasSize(1);
        System.out.printf("1000 sandboxes, medians: %s%n", look);
        assertThat(look.within(limit)).as(look.toString()).isTrue();
    }

    private record Look(Duration pass, Duration list) {
        boolean within(Duration limit) {
            return pass.compareTo(limit) < 0 && list.compareTo(limit) < 0;
        }
    }

    private Look look() {
        long[] passes = new long[15];
        long[] lists = new long[15];
        for (int i = 0; i < passes.length; i++) {
            long began = System.nanoTime();
            reconcile();
            passes[i] = System.nanoTime() - began;
            began = System.nanoTime();
            assertThat(api.get("/v1/sandboxes?limit=1000").list()).hasSize(1000);
            lists[i] = System.nanoTime() - began;
        }
        return new Look(Duration.ofNanos(median(passes)), Duration.ofNanos(median(lists)));
    }

    private static long median(long[] values) {
        Arrays.sort(values);
        return values[values.length / 2];
    }
}
