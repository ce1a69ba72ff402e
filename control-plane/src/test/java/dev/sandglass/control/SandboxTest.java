package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.host.v1.SandboxStatus;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.Concurrently;
import dev.sandglass.control.testing.TestPlane;
import io.grpc.Status;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class SandboxTest {
    private static final String SANDBOXES = "/v1/sandboxes";
    private TestPlane test;
    private TestPlane.Person person;
    private Api api;

    @BeforeAll
    void start() {
        test = TestPlane.start(Map.of("SANDGLASS_TEAM_SANDBOXES_MAX", "12", "SANDGLASS_TEAM_MEMORY_MB_MAX", "8192"));
    }

    @AfterAll
    void stop() {
        test.close();
    }

    @BeforeEach
    void somebodyNew() {
        person = test.signUp();
        api = person.withKey();
    }

    @AfterEach
    void asBefore() {
        test.agent.onCreate = request -> Optional.empty();
        test.agent.onDestroy = id -> Optional.empty();
    }

    private String create() {
        Api.Answer answer = api.post(SANDBOXES, "{}");
        assertThat(answer.status()).as(answer.toString()).isEqualTo(201);
        return answer.text("id");
    }

    private String statusOf(String id) {
        return api.get(SANDBOXES + "/" + id).text("status");
    }

    // ---- list

    @Test
    void listsAreNewestFirstAndPaged() {
        List<String> made = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            made.addFirst(api.post(SANDBOXES, "{\"metadata\":{\"n\":\"" + i % 2 + "\",\"k\":\"v w\"}}")
                    .text("id"));
        }
        List<Object> seen = new ArrayList<>();
        String next = SANDBOXES + "?limit=2&status=running&metadata.k=v+w";
        while (!next.isEmpty()) {
            Api.Answer page = api.get(next);
            assertThat(page.status()).as(page.toString()).isEqualTo(200);
            page.list().forEach(sandbox -> seen.add(sandbox.get("id")));
            String link = page.header("Link");
            assertThat(link).matches("|<.*>; rel=\"next\"");
            next = link.isEmpty() ? "" : link.substring(1, link.indexOf('>'));
        }
        assertThat(seen).isEqualTo(made);
        assertThat(api.get(SANDBOXES + "?metadata.n=0").list()).hasSize(3);
        assertThat(api.get(SANDBOXES + "?metadata.n=0&metadata.k=x").list()).isEmpty();
        assertThat(api.get(SANDBOXES + "?status=paused").list()).isEmpty();
    }

    // ---- create

    @Test
    void aShapeOutsideTheHostsIsRefused() {
        assertThat(api.post(SANDBOXES, "{\"vcpus\":9}").text("error")).contains("from 1 to 8");
        assertThat(api.post(SANDBOXES, "{\"memory_mb\":16512}").status()).isEqualTo(400);
        assertThat(api.post(SANDBOXES, "{\"template\":\"other\"}").status()).isEqualTo(404);
    }

    @Test
    void aTeamHasAQuota() {
        assertThat(api.post(SANDBOXES, "{\"memory_mb\":8192}").status()).isEqualTo(201);
        Api.Answer memory = api.post(SANDBOXES, "{\"memory_mb\":128}");
        assertThat(memory.status()).isEqualTo(429);
        assertThat(memory.code()).isEqualTo("quota_exceeded");
        assertThat(memory.body()).contains("8192 MiB");
        Api another = test.signUp().withKey();
        List<Integer> statuses = Concurrently.run(
                20, i -> another.post(SANDBOXES, "{\"memory_mb\":128}").status());
        assertThat(statuses.stream().filter(status -> status == 201)).hasSize(12);
        assertThat(statuses.stream().filter(status -> status == 429)).hasSize(8);
    }

    @Test
    void whatTheAgentRefusesLeavesNoRow() {
        Map<Status, String> expected = Map.of(
                Status.RESOURCE_EXHAUSTED, "429 quota_exceeded",
                Status.INVALID_ARGUMENT, "400 invalid_request",
                Status.NOT_FOUND, "404 not_found");
        expected.forEach((status, answer) -> {
            test.agent.onCreate = request -> Optional.of(status);
            Api.Answer refused = api.post(SANDBOXES, "{}");
            assertThat(refused.status() + " " + refused.code()).isEqualTo(answer);
        });
        assertThat(api.get(SANDBOXES).list()).isEmpty();
    }

    @Test
    void whatTheAgentFailsAtIsTakenAway() {
        Map<Status, String> expected = Map.of(
                Status.UNAVAILABLE, "503 host_unavailable",
                Status.INTERNAL, "502 agent_error",
                Status.DEADLINE_EXCEEDED, "502 agent_error",
                Status.FAILED_PRECONDITION, "409 conflict");
        expected.forEach((status, answer) -> {
            test.agent.onCreate = request -> Optional.of(status.withDescription("/var/lib/secret"));
            int destroyed = test.agent.destroys.get();
            Api.Answer failed = api.post(SANDBOXES, "{}");
            assertThat(failed.status() + " " + failed.code()).isEqualTo(answer);
            if (failed.status() >= 500) {
                assertThat(failed.body()).doesNotContain("secret");
            }
            assertThat(test.agent.destroys).hasValue(destroyed + 1);
        });
        assertThat(api.get(SANDBOXES).list()).isEmpty();
    }

    @Test
    void aCallerWhoLeavesCancelsNothing() throws Exception {
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch goOn = new CountDownLatch(1);
        test.agent.onCreate = request -> {
            begun.countDown();
            Concurrently.await(goOn);
            return Optional.empty();
        };
        String key = person.withToken().post("/v1/api-keys").text("key");
        try (Socket socket = new Socket(api.url().getHost(), api.url().getPort())) {
            socket.getOutputStream()
                    .write(("POST /v1/sandboxes HTTP/1.1\r\nHost: x\r\nX-API-Key: " + key
                                    + "\r\nContent-Length: 2\r\n\r\n{}")
                            .getBytes(StandardCharsets.US_ASCII));
            socket.getOutputStream().flush();
            Concurrently.await(begun);
            assertThat(api.get(SANDBOXES).list())
                    .singleElement()
                    .satisfies(sandbox -> assertThat(sandbox).containsEntry("status", "pending"));
        }
        goOn.countDown();
        Awaitility.await()
                .untilAsserted(() -> assertThat(api.get(SANDBOXES).list())
                        .singleElement()
                        .satisfies(sandbox -> assertThat(sandbox).containsEntry("status", "running")));
    }

    // ---- idempotency

    @Test
    void theSameKeyMakesOneSandbox() {
        Api withKey = api.with("Idempotency-Key", "once");
        List<Api.Answer> answers = Concurrently.run(20, i -> withKey.post(SANDBOXES, "{\"memory_mb\":256}"));
        assertThat(answers).allSatisfy(answer -> assertThat(answer.status()).isEqualTo(201));
        assertThat(answers.stream().map(Api.Answer::body).distinct()).hasSize(1);
        assertThat(api.get(SANDBOXES).list()).hasSize(1);
        Api.Answer reordered = withKey.post(SANDBOXES, "{ \"vcpus\": 1, \"memory_mb\":256 }");
        assertThat(reordered.body()).isEqualTo(answers.getFirst().body());
        assertThat(withKey.post(SANDBOXES, "{\"memory_mb\":384}").code()).isEqualTo("conflict");
        assertThat(test.signUp()
                        .withKey()
                        .with("Idempotency-Key", "once")
                        .post(SANDBOXES, "{}")
                        .status())
                .isEqualTo(201);
    }

    @Test
    void aFailureIsRepeatedAndARefusalIsNot() {
        test.agent.onCreate = request -> Optional.of(Status.INTERNAL);
        Api failing = api.with("Idempotency-Key", "failing");
        Api.Answer first = failing.post(SANDBOXES, "{}");
        test.agent.onCreate = request -> Optional.of(Status.RESOURCE_EXHAUSTED);
        Api refused = api.with("Idempotency-Key", "refused");
        assertThat(refused.post(SANDBOXES, "{}").status()).isEqualTo(429);
        test.agent.onCreate = request -> Optional.empty();
        assertThat(failing.post(SANDBOXES, "{}").body()).isEqualTo(first.body());
        assertThat(refused.post(SANDBOXES, "{}").status()).isEqualTo(201);
    }

    // ---- delete

    @Test
    void deletingIsIdempotentAndUnknownIdsAreNotFound() {
        String id = create();
        List<Integer> statuses =
                Concurrently.run(8, i -> api.delete(SANDBOXES + "/" + id).status());
        assertThat(statuses).containsOnly(204);
        assertThat(api.delete(SANDBOXES + "/" + id).status()).isEqualTo(204);
        assertThat(api.delete(SANDBOXES + "/" + SandboxId.random()).status()).isEqualTo(404);
        assertThat(test.signUp().withKey().delete(SANDBOXES + "/" + id).status())
                .isEqualTo(404);
        assertThat(test.agent.sandboxes).doesNotContainKey(id);
    }

    @Test
    void anUnreachableHostIsToldToDeleteLater() throws Exception {
        String id = create();
        test.agent.onDestroy = sandbox -> Optional.of(Status.UNAVAILABLE);
        assertThat(api.delete(SANDBOXES + "/" + id).status()).isEqualTo(204);
        Api.Answer row = api.get(SANDBOXES + "/" + id);
        assertThat(row.text("status")).isEqualTo("error");
        assertThat(row.text("error")).contains("to be deleted");
        assertThat(api.get(SANDBOXES + "?status=error").list()).hasSize(1);
        assertThat(api.post(SANDBOXES + "/" + id + "/ping").code()).isEqualTo("invalid_state");
        test.plane.wiring().sandboxes.reconcileNow();
        assertThat(statusOf(id)).isEqualTo("error");
        test.agent.onDestroy = sandbox -> Optional.empty();
        test.plane.wiring().sandboxes.reconcileNow();
        assertThat(api.get(SANDBOXES + "/" + id).status()).isEqualTo(404);
        assertThat(test.agent.sandboxes).doesNotContainKey(id);
    }

    @Test
    void whatIsDeletedWhileItIsMadeIsGoneInTheEnd() throws Exception {
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch goOn = new CountDownLatch(1);
        test.agent.onCreate = request -> {
            begun.countDown();
            Concurrently.await(goOn);
            return Optional.empty();
        };
        CompletableFuture<Api.Answer> creating = Concurrently.start(() -> api.post(SANDBOXES, "{}"));
        Concurrently.await(begun);
        String id = String.valueOf(api.get(SANDBOXES).list().getFirst().get("id"));
        CompletableFuture<Api.Answer> deleting = Concurrently.start(() -> api.delete(SANDBOXES + "/" + id));
        Thread.sleep(300);
        goOn.countDown();
        assertThat(creating.get().status()).isEqualTo(201);
        assertThat(deleting.get().status()).isEqualTo(204);
        assertThat(test.agent.sandboxes).doesNotContainKey(id);
        assertThat(api.get(SANDBOXES + "/" + id).status()).isEqualTo(404);
    }

    // ---- settling

    @Test
    void whatTheHostHasNoLongerIsStoppedAfterTheSecondLook() throws Exception {
        String id = create();
        test.agent.vanish(id);
        test.plane.wiring().sandboxes.reconcileNow();
        assertThat(statusOf(id)).isEqualTo("running");
        test.plane.wiring().sandboxes.reconcileNow();
        Api.Answer row = api.get(SANDBOXES + "/" + id);
        assertThat(row.text("status")).isEqualTo("stopped");
        assertThat(row.json()).containsKey("error").doesNotContainKey("host_ip");
        assertThat(api.delete(SANDBOXES + "/" + id).status()).isEqualTo(204);
    }

    @Test
    void whatTheHostSaysHasStoppedIsStoppedAtOnce() throws Exception {
        String id = create();
        test.agent.statuses.put(id, SandboxStatus.STOPPED);
        test.plane.wiring().sandboxes.reconcileNow();
        assertThat(api.get(SANDBOXES + "/" + id).text("error")).isEqualTo("It powered off.");
    }

    @Test
    void whatWasInterruptedIsSettledByWhatTheHostSays() throws Exception {
        String there = create();
        String gone = create();
        test.agent.vanish(gone);
        for (String id : List.of(there, gone)) {
            test.sql("update sandboxes set status = 'pending', deadline_at = now() - interval '1 second' where id = '"
                    + id + "'");
        }
        test.plane.wiring().sandboxes.reconcileNow();
        assertThat(statusOf(there)).isEqualTo("running");
        assertThat(statusOf(gone)).isEqualTo("error");
        String young = create();
        test.sql("update sandboxes set status = 'pending', deadline_at = now() + interval '1 hour' where id = '" + young
                + "'");
        test.plane.wiring().sandboxes.reconcileNow();
        assertThat(statusOf(young)).isEqualTo("pending");
        test.sql("update sandboxes set deadline_at = now() where id = '" + young + "'");
        test.plane.wiring().sandboxes.reconcileNow();
    }

    @Test
    void aRestartSettlesWhatTheProcessBeforeLeftUnderWay() throws Exception {
        String there = create();
        String gone = create();
        test.agent.vanish(gone);
        for (String id : List.of(there, gone)) {
            test.sql("update sandboxes set status = 'pending', deadline_at = now() + interval '1 hour' where id = '"
                    + id + "'");
        }
        ControlPlaneConfiguration configuration =
                ControlPlaneConfiguration.read(new HashMap<>(test.environment), ConfigurationKeys.controlPlane());
        EmbeddedAgent agent = new EmbeddedAgent(test.agent.channel(), test.agent.hostId);
        try (ControlPlane second = ControlPlane.start(configuration, Optional.of(agent), Progress.SILENT)) {
            second.wiring().sandboxes.reconcileNow(); // the first one leads
            assertThat(statusOf(there)).isEqualTo("pending");
        }
        test.plane.wiring().sandboxes.reconcileNow();
        assertThat(statusOf(there)).isEqualTo("running");
        assertThat(statusOf(gone)).isEqualTo("error");
    }

    @Test
    void creatingDeletingAndSettlingAtOnceLeavesNothingBehind() {
        Set<String> left = new HashSet<>(Concurrently.run(12, i -> {
            if (i % 4 == 3) {
                try {
                    test.plane.wiring().sandboxes.reconcileNow();
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
                return "";
            }
            Api.Answer made = api.post(SANDBOXES, "{\"memory_mb\":128}");
            assertThat(made.status()).as(made.toString()).isEqualTo(201);
            assertThat(api.delete(SANDBOXES + "/" + made.text("id")).status()).isEqualTo(204);
            return made.text("id");
        }));
        assertThat(api.get(SANDBOXES).list()).isEmpty();
        assertThat(test.agent.sandboxes.keySet()).doesNotContainAnyElementsOf(left);
    }

    @Test
    void aPingCountsAsActivity() throws Exception {
        String id = create();
        String before = api.get(SANDBOXES + "/" + id).text("last_active_at");
        Thread.sleep(10);
        assertThat(api.post(SANDBOXES + "/" + id + "/ping/").status()).isEqualTo(204);
        assertThat(api.get(SANDBOXES + "/" + id).text("last_active_at")).isGreaterThan(before);
    }
}
