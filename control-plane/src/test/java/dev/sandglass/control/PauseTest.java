package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.host.v1.SandboxStatus;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.Concurrently;
import dev.sandglass.control.testing.TestPlane;
import io.grpc.Status;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
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
final class PauseTest {
    private static final String SANDBOXES = "/v1/sandboxes/";
    private TestPlane test;
    private TestPlane.Person person;
    private Api api;
    private String id;

    @BeforeAll
    void start() {
        test = TestPlane.start(Map.of("SANDGLASS_TEAM_MEMORY_MB_MAX", "1024"));
    }

    @AfterAll
    void stop() {
        test.close();
    }

    @BeforeEach
    void aSandbox() {
        person = test.signUp();
        api = person.withKey();
        id = api.post("/v1/sandboxes", "{\"timeout_sec\":77}").text("id");
    }

    @AfterEach
    void asBefore() {
        test.agent.onPause = sandbox -> Optional.empty();
        test.agent.onResume = sandbox -> Optional.empty();
        test.agent.answerLost = Optional.empty();
        test.agent.down = Optional.empty();
    }

    private Api.Answer pause() {
        return api.post(SANDBOXES + id + "/pause");
    }

    private Api.Answer resume() {
        return api.post(SANDBOXES + id + "/resume");
    }

    private Api.Answer row() {
        return api.get(SANDBOXES + id);
    }

    private static String outcome(Api.Answer answer) {
        return answer.status() + " " + (answer.status() < 400 ? answer.text("status") : answer.code());
    }

    // ---- the ways through

    @Test
    void aSandboxIsPausedAndResumed() {
        Api.Answer paused = pause();
        assertThat(outcome(paused)).isEqualTo("200 paused");
        assertThat(paused.json()).doesNotContainKeys("host_ip", "error", "cold");
        assertThat(row().json()).isEqualTo(paused.json());
        assertThat(api.get("/v1/sandboxes?status=paused").list()).hasSize(1);
        assertThat(outcome(api.post(SANDBOXES + id + "/exec", "{\"cmd\":\"true\"}")))
                .isEqualTo("409 invalid_state");
        assertThat(outcome(api.post(SANDBOXES + id + "/files/read", "{\"path\":\"/a\"}")))
                .isEqualTo("409 invalid_state");
        assertThat(outcome(api.post(SANDBOXES + id + "/ping"))).isEqualTo("409 invalid_state");

        Api.Answer resumed = resume();
        assertThat(outcome(resumed)).isEqualTo("200 running");
        assertThat(resumed.json()).containsEntry("host_ip", "10.11.0.9").doesNotContainKey("cold");
        assertThat(test.agent.timeouts).containsEntry(id, 77);
        assertThat(api.post(SANDBOXES + id + "/exec", "{\"cmd\":\"true\"}").status())
                .isEqualTo(200);
    }

    @Test
    void pausingThePausedAndResumingTheRunningChangesNothing() {
        Api.Answer running = row();
        Api.Answer resumed = resume();
        assertThat(outcome(resumed)).isEqualTo("200 running");
        assertThat(resumed.text("last_updated")).isEqualTo(running.text("last_updated"));
        Api.Answer paused = pause();
        assertThat(pause().body()).isEqualTo(paused.body());
    }

    @Test
    void ofManyPausesAtOnceOneDoesItAndAllSucceed() {
        int before = test.agent.pauses.get();
        test.agent.onPause = sandbox -> {
            sleep(200);
            return Optional.empty();
        };
        assertThat(Concurrently.run(8, i -> outcome(pause()))).containsOnly("200 paused");
        assertThat(test.agent.pauses).hasValue(before + 1);
        int resumes = test.agent.resumes.get();
        test.agent.onResume = test.agent.onPause;
        assertThat(Concurrently.run(8, i -> outcome(resume()))).containsOnly("200 running");
        assertThat(test.agent.resumes).hasValue(resumes + 1);
    }

    private static void sleep(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Test
    void pausesAndResumesInAnyOrderEndInWhatTheHostSays() {
        List<String> outcomes = Concurrently.run(16, i -> outcome(i % 2 == 0 ? pause() : resume()));
        assertThat(outcomes).allMatch(outcome -> outcome.startsWith("200 "));
        assertThat(test.agent.statuses)
                .containsEntry(id, SandboxStatus.valueOf(row().text("status").toUpperCase(Locale.ROOT)));
    }

    @Test
    void aStoppedSandboxIsBootedFromItsDisk() throws Exception {
        test.agent.statuses.put(id, SandboxStatus.STOPPED);
        test.plane.wiring().sandboxes.reconcileNow();
        assertThat(row().text("error")).isEqualTo("It powered off.");
        assertThat(outcome(pause())).isEqualTo("409 invalid_state");
        Api.Answer resumed = resume();
        assertThat(outcome(resumed)).isEqualTo("200 running");
        assertThat(resumed.json()).containsEntry("cold", true).doesNotContainKey("error");
    }

    @Test
    void coldGivesTheMemoryOfAPausedOneUp() {
        pause();
        Api.Answer resumed = api.post(SANDBOXES + id + "/resume", "{\"cold\":true}");
        assertThat(resumed.json()).containsEntry("cold", true).containsEntry("status", "running");
    }

    @Test
    void unknownSandboxesAreNotFound() {
        String unknown = SANDBOXES + SandboxId.random();
        assertThat(outcome(api.post(unknown + "/pause"))).isEqualTo("404 not_found");
        assertThat(outcome(api.post(unknown + "/resume"))).isEqualTo("404 not_found");
        Api stranger = test.signUp().withKey();
        assertThat(outcome(stranger.post(SANDBOXES + id + "/pause"))).isEqualTo("404 not_found");
        assertThat(outcome(stranger.post(SANDBOXES + id + "/resume"))).isEqualTo("404 not_found");
        api.delete(SANDBOXES + id);
        assertThat(outcome(pause())).isEqualTo("404 not_found");
    }

    @Test
    void resumingNeedsRoomInTheQuota() {
        pause();
        assertThat(api.post("/v1/sandboxes", "{\"memory_mb\":640}").status()).isEqualTo(201);
        Api.Answer refused = resume();
        assertThat(outcome(refused)).isEqualTo("429 quota_exceeded");
        assertThat(refused.body()).contains("1024 MiB");
        assertThat(row().text("status")).isEqualTo("paused");
    }

    // ---- failures

    @Test
    void aSandboxWhosePauseFailsGoesOn() {
        Map<Status, String> expected = Map.of(
                Status.INTERNAL, "502 agent_error",
                Status.FAILED_PRECONDITION, "409 conflict",
                Status.RESOURCE_EXHAUSTED, "429 quota_exceeded",
                Status.UNAVAILABLE, "503 host_unavailable");
        expected.forEach((status, outcome) -> {
            test.agent.onPause = sandbox -> Optional.of(status.withDescription("/secret/path"));
            assertThat(outcome(pause())).isEqualTo(outcome);
            assertThat(outcome(row())).isEqualTo("200 running");
        });
        test.agent.onPause = sandbox -> Optional.empty();
        assertThat(outcome(pause())).isEqualTo("200 paused");
    }

    @Test
    void aSandboxWhoseResumeFailsIsPausedStill() {
        pause();
        test.agent.onResume = sandbox -> Optional.of(Status.INTERNAL);
        assertThat(outcome(resume())).isEqualTo("502 agent_error");
        assertThat(outcome(row())).isEqualTo("200 paused");
        test.agent.onResume = sandbox -> Optional.empty();
        assertThat(outcome(resume())).isEqualTo("200 running");
    }

    @Test
    void aMemoryThatCannotBeLoadedAnyMoreIsSaidSo() {
        pause();
        test.agent.refuseResumes("incompatible_snapshot", "It was saved by QEMU 10.0, this host has 11.0.");
        Api.Answer refused = resume();
        assertThat(outcome(refused)).isEqualTo("409 incompatible_snapshot");
        assertThat(refused.body()).contains("QEMU 10.0");
        assertThat(outcome(row())).isEqualTo("200 paused");
    }

    @Test
    void aLostAnswerIsMadeUpForByAsking() {
        test.agent.answerLost = Optional.of(Status.UNAVAILABLE);
        assertThat(outcome(pause())).isEqualTo("200 paused");
        assertThat(outcome(resume())).isEqualTo("200 running");
    }

    @Test
    void whatAHostThatWentAwayWasDoingIsSettledWhenItIsBack() throws Exception {
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch goOn = new CountDownLatch(1);
        test.agent.onPause = sandbox -> {
            begun.countDown();
            Concurrently.await(goOn);
            return Optional.of(Status.UNAVAILABLE);
        };
        CompletableFuture<Api.Answer> pausing = Concurrently.start(this::pause);
        Concurrently.await(begun);
        assertThat(outcome(row())).isEqualTo("200 pausing");
        assertThat(outcome(api.post(SANDBOXES + id + "/exec", "{\"cmd\":\"true\"}")))
                .isEqualTo("409 invalid_state");
        test.agent.down = Optional.of(Status.UNAVAILABLE);
        goOn.countDown();
        assertThat(outcome(pausing.get())).isEqualTo("503 host_unavailable");
        assertThat(outcome(row())).isEqualTo("200 pausing");
        test.agent.down = Optional.empty();
        test.plane.wiring().sandboxes.reconcileNow();
        assertThat(outcome(row())).isEqualTo("200 running");
    }

    @Test
    void aCallerWhoLeavesDoesNotCancelAPause() throws Exception {
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch goOn = new CountDownLatch(1);
        test.agent.onPause = sandbox -> {
            begun.countDown();
            Concurrently.await(goOn);
            return Optional.empty();
        };
        String key = person.withToken().post("/v1/api-keys").text("key");
        try (Socket socket = new Socket(api.url().getHost(), api.url().getPort())) {
            socket.getOutputStream()
                    .write(("POST /v1/sandboxes/" + id + "/pause HTTP/1.1\r\nHost: x\r\nX-API-Key: " + key
                                    + "\r\nContent-Length: 0\r\n\r\n")
                            .getBytes(StandardCharsets.US_ASCII));
            socket.getOutputStream().flush();
            Concurrently.await(begun);
        }
        goOn.countDown();
        Awaitility.await().untilAsserted(() -> assertThat(outcome(row())).isEqualTo("200 paused"));
    }

    @Test
    void whatIsDeletedWhileItPausesIsGoneInTheEnd() {
        test.agent.onPause = sandbox -> {
            sleep(300);
            return Optional.empty();
        };
        CompletableFuture<Api.Answer> pausing = Concurrently.start(this::pause);
        Awaitility.await().untilAsserted(() -> assertThat(outcome(row())).isEqualTo("200 pausing"));
        assertThat(api.delete(SANDBOXES + id).status()).isEqualTo(204);
        assertThat(pausing.join().status()).isIn(200, 409);
        assertThat(row().status()).isEqualTo(404);
        assertThat(test.agent.sandboxes).doesNotContainKey(id);
    }

    // ---- auto-pause

    @Test
    void anAutoPauseIsSeenByTheReconcilerAndNeverTakenForADeath() throws Exception {
        test.agent.autoPause(id);
        test.plane.wiring().sandboxes.reconcileNow();
        test.plane.wiring().sandboxes.reconcileNow();
        assertThat(outcome(row())).isEqualTo("200 paused");
        assertThat(outcome(resume())).isEqualTo("200 running");
    }

    @Test
    void workInASandboxThatHasPausedItselfSettlesItsRowAtOnce() {
        for (String work : List.of("exec", "ping", "files/read", "files/mkdir")) {
            test.agent.autoPause(id);
            Api.Answer refused = api.post(SANDBOXES + id + "/" + work, "{\"cmd\":\"true\",\"path\":\"/a\"}");
            assertThat(outcome(refused)).as(work).isEqualTo("409 invalid_state");
            assertThat(refused.body()).contains("is paused");
            assertThat(outcome(row())).as(work).isEqualTo("200 paused");
            assertThat(outcome(resume())).isEqualTo("200 running");
        }
    }

    @Test
    void resumingASandboxThatHasPausedItselfUnseenResumesIt() {
        test.agent.autoPause(id);
        int before = test.agent.resumes.get();
        assertThat(outcome(resume())).isEqualTo("200 running");
        assertThat(test.agent.resumes).hasValue(before + 1);
        test.agent.autoPause(id);
        assertThat(outcome(pause())).isEqualTo("200 paused");
    }
}
