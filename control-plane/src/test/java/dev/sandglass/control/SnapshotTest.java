package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.host.v1.CreateSandboxRequest;
import dev.sandglass.contract.host.v1.CreateSnapshotRequest;
import dev.sandglass.contract.host.v1.SandboxStatus;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.Concurrently;
import dev.sandglass.control.testing.TestPlane;
import io.grpc.Status;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class SnapshotTest {
    private static final String SNAPSHOTS = "/v1/snapshots";
    private TestPlane test;
    private Api api;
    private String sandbox;

    @BeforeAll
    void start() {
        test = TestPlane.start();
    }

    @AfterAll
    void stop() {
        test.close();
    }

    @BeforeEach
    void aSandbox() {
        api = test.signUp().withKey();
        sandbox = api.post("/v1/sandboxes", "{\"vcpus\":2,\"memory_mb\":256}").text("id");
        test.agent.snapshots.clear();
    }

    @AfterEach
    void asBefore() {
        test.agent.onSnapshot = request -> Optional.empty();
        test.agent.onDeleteSnapshot = id -> Optional.empty();
        test.agent.answerLost = Optional.empty();
        test.agent.down = Optional.empty();
    }

    private Api.Answer create(String name) {
        return create(api, sandbox, name, "");
    }

    private static Api.Answer create(Api api, String sandbox, String name, String query) {
        return api.post(SNAPSHOTS + query, "{\"sandbox_id\":\"" + sandbox + "\",\"name\":\"" + name + "\"}");
    }

    private String status() {
        return api.get("/v1/sandboxes/" + sandbox).text("status");
    }

    private static String outcome(Api.Answer answer) {
        return answer.status() + (answer.status() < 400 ? "" : " " + answer.code());
    }

    private CreateSandboxRequest asked(String id) {
        return Objects.requireNonNull(test.agent.sandboxes.get(id));
    }

    private void reconcile() {
        try {
            test.plane.wiring().sandboxes.reconcileNow();
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private List<Object> names(String query) {
        return api.get(SNAPSHOTS + query).list().stream()
                .map(snapshot -> snapshot.get("name"))
                .toList();
    }

    // ---- rows and hosts

    private String onHost(Instant createdAt) {
        String id = SnapshotId.random().value();
        test.agent.snapshots.put(id, CreateSnapshotRequest.getDefaultInstance());
        test.agent.createdAt.put(id, createdAt);
        return id;
    }

    @Test
    void whatNoRowKnowsIsRemovedFromItsHostWhenItIsLittleAndOld() {
        String kept = create("kept").text("id");
        onHost(Instant.EPOCH);
        onHost(Instant.EPOCH);
        String young = onHost(Instant.now());
        reconcile();
        assertThat(test.agent.snapshots).containsOnlyKeys(kept, young);
    }

    @Test
    void whatNoRowKnowsIsLeftAloneWhenItIsMuch() {
        String kept = create("one").text("id");
        List<String> theirs =
                Stream.generate(() -> onHost(Instant.EPOCH)).limit(4).toList();
        reconcile();
        reconcile();
        assertThat(test.agent.snapshots).hasSize(5).containsKey(kept).containsKeys(theirs.toArray(String[]::new));
    }

    @Test
    void anotherInstallationsSnapshotsAreLeftAlone() {
        create("one");
        onHost(Instant.EPOCH);
        String ours = test.agent.listedInstallation;
        test.agent.listedInstallation = "another00";
        try {
            reconcile();
            assertThat(test.agent.snapshots).hasSize(2);
        } finally {
            test.agent.listedInstallation = ours;
        }
    }

    @Test
    void aSnapshotThatComesBackAfterItsDeletionWasConfirmedIsRemovedAgain() {
        String id = create("late").text("id");
        create("other");
        assertThat(api.delete(SNAPSHOTS + "/late").status()).isEqualTo(204);
        assertThat(test.agent.snapshots).doesNotContainKey(id);
        test.agent.snapshots.put(id, CreateSnapshotRequest.getDefaultInstance());
        reconcile();
        assertThat(test.agent.snapshots).doesNotContainKey(id);
    }

    @Test
    void aRowWhoseDataAreGoneSaysSoUntilTheyAreBack() {
        String id = create("gone").text("id");
        CreateSnapshotRequest data = Objects.requireNonNull(test.agent.snapshots.remove(id));
        reconcile();
        assertThat(api.get(SNAPSHOTS + "/gone").json()).as("once").doesNotContainKey("error");
        reconcile();
        assertThat(api.get(SNAPSHOTS + "/gone").text("error")).contains("gone from its host");
        assertThat(api.post("/v1/sandboxes", "{\"template\":\"gone\"}").status())
                .isEqualTo(404);
        test.agent.snapshots.put(id, data);
        reconcile();
        assertThat(api.get(SNAPSHOTS + "/gone").json()).doesNotContainKey("error");
    }

    // ---- the ways through

    @Test
    void aRunningSandboxGoesOnAndSandboxesAreMadeFromItsSnapshot() {
        Api.Answer made = create("one");
        assertThat(outcome(made)).isEqualTo("201");
        assertThat(made.json())
                .containsEntry("name", "one")
                .containsEntry("type", "snapshot")
                .containsEntry("vcpus", 2)
                .containsEntry("memory_mb", 256)
                .containsEntry("size_bytes", 12_345_678)
                .containsKeys("id", "created_at");
        assertThat(status()).isEqualTo("running");
        assertThat(api.get(SNAPSHOTS + "/one").json()).isEqualTo(made.json());

        Api.Answer clone = api.post("/v1/sandboxes", "{\"template\":\"one\"}");
        assertThat(clone.json())
                .containsEntry("template", "one")
                .containsEntry("vcpus", 2)
                .containsEntry("memory_mb", 256);
        CreateSandboxRequest asked = asked(clone.text("id"));
        assertThat(asked.getTemplateId()).isEqualTo(made.text("id"));
        assertThat(asked.getMemoryMb()).isEqualTo(256);
        assertThat(api.post("/v1/sandboxes", "{\"template\":\"one\",\"vcpus\":2,\"memory_mb\":256}")
                        .status())
                .isEqualTo(201);
    }

    @Test
    void otherShapesThanTheSnapshotsAreRefusedByName() {
        create("shape");
        Map<String, String> refused = Map.of(
                "\"vcpus\":1", "leave out vcpus.",
                "\"memory_mb\":512", "leave out memory_mb.",
                "\"vcpus\":1,\"memory_mb\":512", "leave out vcpus and memory_mb.");
        refused.forEach((shape, message) -> {
            Api.Answer answer = api.post("/v1/sandboxes", "{\"template\":\"shape\"," + shape + "}");
            assertThat(outcome(answer)).isEqualTo("400 invalid_request");
            assertThat(answer.body()).contains(message);
        });
    }

    @Test
    void withoutANameOneIsMadeUp() {
        Api.Answer made = api.post(SNAPSHOTS, "{\"sandbox_id\":\"" + sandbox + "\"}");
        assertThat(made.text("name")).matches("snapshot-[0-9a-z]{8}");
    }

    @Test
    void aPausedSandboxStaysPausedAndPauseLeavesARunningOnePaused() {
        Api.Answer pausing = api.post(SNAPSHOTS, "{\"sandbox_id\":\"" + sandbox + "\",\"name\":\"p\",\"pause\":true}");
        assertThat(outcome(pausing)).isEqualTo("201");
        assertThat(status()).isEqualTo("paused");
        assertThat(outcome(create("again"))).isEqualTo("201");
        assertThat(status()).isEqualTo("paused");
        assertThat(api.post("/v1/sandboxes/" + sandbox + "/resume").status()).isEqualTo(200);
    }

    @Test
    void listsAreNewestFirstAndBaseTemplatesAreInThem() {
        create("a");
        create("b");
        create("c");
        assertThat(names("")).containsExactly("c", "b", "a", "base");
        assertThat(names("?type=snapshot")).containsExactly("c", "b", "a");
        assertThat(names("?type=base")).containsExactly("base");
        assertThat(api.get(SNAPSHOTS + "/base").json())
                .containsEntry("type", "base")
                .doesNotContainKeys("vcpus", "memory_mb");
    }

    @Test
    void deletedIsGoneAtOnceAndItsSandboxesStay() {
        Api.Answer made = create("gone");
        String clone = api.post("/v1/sandboxes", "{\"template\":\"gone\"}").text("id");
        assertThat(api.delete(SNAPSHOTS + "/gone").status()).isEqualTo(204);
        assertThat(test.agent.snapshots).doesNotContainKey(made.text("id"));
        assertThat(outcome(api.delete(SNAPSHOTS + "/gone"))).isEqualTo("404 not_found");
        assertThat(outcome(api.get(SNAPSHOTS + "/gone"))).isEqualTo("404 not_found");
        assertThat(outcome(api.post("/v1/sandboxes", "{\"template\":\"gone\"}")))
                .isEqualTo("404 not_found");
        assertThat(api.get("/v1/sandboxes/" + clone).text("status")).isEqualTo("running");
        assertThat(outcome(create("gone"))).isEqualTo("201");
    }

    // ---- names

    @Test
    void aTakenNameIsRefusedUnlessItIsToBeOverwritten() {
        String first = create("name").text("id");
        assertThat(outcome(create("name"))).isEqualTo("409 already_exists");
        String clone = api.post("/v1/sandboxes", "{\"template\":\"name\"}").text("id");
        Api.Answer second = create(api, sandbox, "name", "?overwrite=true");
        assertThat(outcome(second)).isEqualTo("201");
        assertThat(second.text("id")).isNotEqualTo(first);
        assertThat(test.agent.snapshots).containsOnlyKeys(second.text("id"));
        assertThat(asked(clone).getTemplateId()).isEqualTo(first); // what it was made from is not exchanged under it
        String later = api.post("/v1/sandboxes", "{\"template\":\"name\"}").text("id");
        assertThat(asked(later).getTemplateId()).isEqualTo(second.text("id"));
        assertThat(names("?type=snapshot")).containsExactly("name");
    }

    @Test
    void anOverwriteThatFailsLeavesTheOldOne() {
        String first = create("kept").text("id");
        test.agent.onSnapshot = request -> Optional.of(Status.INTERNAL);
        assertThat(outcome(create(api, sandbox, "kept", "?overwrite=true"))).isEqualTo("502 agent_error");
        assertThat(api.get(SNAPSHOTS + "/kept").text("id")).isEqualTo(first);
        assertThat(test.agent.snapshots).containsOnlyKeys(first);
        assertThat(status()).isEqualTo("running");
    }

    @Test
    void untilTheNewOneIsCompleteTheOldOneIsUsed() throws Exception {
        String first = create("swap").text("id");
        CountDownLatch begun = new CountDownLatch(1);
        CountDownLatch goOn = new CountDownLatch(1);
        test.agent.onSnapshot = request -> {
            begun.countDown();
            Concurrently.await(goOn);
            return Optional.empty();
        };
        var swapping = Concurrently.start(() -> create(api, sandbox, "swap", "?overwrite=true"));
        Concurrently.await(begun);
        assertThat(api.get(SNAPSHOTS + "/swap").text("id")).isEqualTo(first);
        assertThat(names("?type=snapshot")).containsExactly("swap");
        goOn.countDown();
        assertThat(api.get(SNAPSHOTS + "/swap").text("id"))
                .isIn(first, swapping.get().text("id"));
        assertThat(api.get(SNAPSHOTS + "/swap").text("id"))
                .isEqualTo(swapping.get().text("id"));
    }

    @Test
    void ofManyWithOneNameOneIsMadeAndNothingIsLeftOfTheOthers() {
        List<String> outcomes = Concurrently.run(6, i -> outcome(create("race")));
        assertThat(outcomes).containsOnly("201", "409 already_exists");
        assertThat(outcomes.stream().filter("201"::equals)).hasSize(1);
        assertThat(test.agent.snapshots).hasSize(1);
        assertThat(Concurrently.run(6, i -> outcome(create(api, sandbox, "race", "?overwrite=true"))))
                .containsOnly("201");
        assertThat(test.agent.snapshots)
                .containsOnlyKeys(api.get(SNAPSHOTS + "/race").text("id"));
    }

    @Test
    void aBaseTemplatesNameIsNotForTeams() {
        assertThat(outcome(create("base"))).isEqualTo("409 already_exists");
        assertThat(outcome(create(api, sandbox, "base", "?overwrite=true"))).isEqualTo("409 already_exists");
        assertThat(outcome(api.delete(SNAPSHOTS + "/base"))).isEqualTo("403 forbidden");
        assertThat(test.agent.snapshots).isEmpty();
    }

    @Test
    void whatIsWrongIsFoundInItsOrder() {
        create("order");
        Api.Answer badName = create(api, SandboxId.random().value(), "../etc", "");
        assertThat(outcome(badName)).isEqualTo("400 invalid_request");
        assertThat(outcome(create(api, SandboxId.random().value(), "order", "")))
                .isEqualTo("404 not_found");
        assertThat(outcome(create(api, "no-id", "order", ""))).isEqualTo("404 not_found");
        test.agent.statuses.put(sandbox, SandboxStatus.STOPPED);
        reconcile();
        assertThat(outcome(create("order"))).isEqualTo("409 invalid_state");
        test.agent.statuses.put(sandbox, SandboxStatus.RUNNING);
        reconcile();
        assertThat(outcome(create("order"))).isEqualTo("409 already_exists");
    }

    // ---- teams

    @Test
    void anotherTeamsSnapshotsAreUnknownUnderTheSameNameToo() {
        String ours = create("secret").text("id");
        Api stranger = test.signUp().withKey();
        String theirSandbox = stranger.post("/v1/sandboxes", "{}").text("id");
        assertThat(outcome(stranger.get(SNAPSHOTS + "/secret"))).isEqualTo("404 not_found");
        assertThat(outcome(stranger.delete(SNAPSHOTS + "/secret"))).isEqualTo("404 not_found");
        assertThat(outcome(stranger.post("/v1/sandboxes", "{\"template\":\"secret\"}")))
                .isEqualTo("404 not_found");
        assertThat(outcome(stranger.post("/v1/sandboxes", "{\"template\":\"" + ours + "\"}")))
                .isEqualTo("404 not_found");
        assertThat(outcome(create(stranger, sandbox, "mine", ""))).isEqualTo("404 not_found");
        assertThat(stranger.get(SNAPSHOTS + "?type=snapshot").list()).isEmpty();

        Api.Answer theirs = create(stranger, theirSandbox, "secret", "?overwrite=true");
        assertThat(outcome(theirs)).isEqualTo("201");
        assertThat(test.agent.snapshots).containsOnlyKeys(ours, theirs.text("id"));
        String made =
                stranger.post("/v1/sandboxes", "{\"template\":\"secret\"}").text("id");
        assertThat(asked(made).getTemplateId()).isEqualTo(theirs.text("id"));
        assertThat(api.get(SNAPSHOTS + "/secret").text("id")).isEqualTo(ours);
    }

    // ---- failures

    @Test
    void aSnapshotThatFailsLeavesTheSandboxAsItWas() {
        for (boolean pause : List.of(false, true)) {
            test.agent.onSnapshot = request -> Optional.of(Status.INTERNAL.withDescription("/secret/path"));
            Api.Answer failed =
                    api.post(SNAPSHOTS, "{\"sandbox_id\":\"" + sandbox + "\",\"name\":\"f\",\"pause\":" + pause + "}");
            assertThat(outcome(failed)).isEqualTo("502 agent_error");
            assertThat(failed.body()).doesNotContain("secret");
            assertThat(status()).isEqualTo("running");
            assertThat(names("?type=snapshot")).isEmpty();
        }
        test.agent.onSnapshot = request -> Optional.empty();
        assertThat(outcome(create("f"))).isEqualTo("201");
    }

    @Test
    void whatCameOfALostAnswerIsDeletedOnItsHost() {
        test.agent.answerLost = Optional.of(Status.UNAVAILABLE);
        Api.Answer lost = api.post(SNAPSHOTS, "{\"sandbox_id\":\"" + sandbox + "\",\"name\":\"l\",\"pause\":true}");
        assertThat(outcome(lost)).isEqualTo("503 host_unavailable");
        assertThat(test.agent.snapshots).isEmpty();
        assertThat(status()).isEqualTo("paused");
        assertThat(outcome(api.get(SNAPSHOTS + "/l"))).isEqualTo("404 not_found");
    }

    @Test
    void aDeletionThatItsHostDidNotHearOfIsMadeUpFor() {
        String id = create("later").text("id");
        test.agent.onDeleteSnapshot = snapshot -> Optional.of(Status.UNAVAILABLE);
        assertThat(api.delete(SNAPSHOTS + "/later").status()).isEqualTo(204);
        assertThat(outcome(api.get(SNAPSHOTS + "/later"))).isEqualTo("404 not_found");
        reconcile();
        assertThat(test.agent.snapshots).containsKey(id);
        test.agent.onDeleteSnapshot = snapshot -> Optional.empty();
        reconcile();
        assertThat(test.agent.snapshots).isEmpty();
    }

    /** As after the death of a control plane in the middle. */
    @Test
    void whatWasNeverCompletedIsDeletedOnItsHostAfterItsTime() {
        String id = create("half").text("id");
        test.sql("update snapshots set completed_at = null, deadline_at = now() + interval '1 hour' where id = '" + id
                + "'");
        reconcile();
        assertThat(test.agent.snapshots).containsKey(id);
        assertThat(names("?type=snapshot")).isEmpty();
        test.sql("update snapshots set deadline_at = now() - interval '1 second' where id = '" + id + "'");
        reconcile();
        assertThat(test.agent.snapshots).isEmpty();
    }

    @Test
    void withoutItsHostASnapshotCannotBeUsed() {
        create("away");
        test.sql("insert into hosts (id, installation_id, version, vcpus, memory_mb, memory_available_mb,"
                + " disk_free_bytes, accelerator, status, heartbeat_at) select 'host-away', installation_id, version, 8,"
                + " 1024, 1024, 1, 'tcg', 'down', now() - interval '1 hour' from hosts on conflict do nothing");
        test.sql("update snapshots set host_id = 'host-away' where name = 'away'");
        Api.Answer refused = api.post("/v1/sandboxes", "{\"template\":\"away\"}");
        assertThat(outcome(refused)).isEqualTo("503 host_unavailable");
        assertThat(outcome(api.get(SNAPSHOTS + "/away"))).isEqualTo("200");
        test.sql("update snapshots set host_id = (select id from hosts where id <> 'host-away') where name = 'away'");
    }

    // ---- idempotency

    @Test
    void theSameKeyMakesOneSnapshot() {
        Api withKey = api.with("Idempotency-Key", "once");
        List<Api.Answer> answers = Concurrently.run(8, i -> create(withKey, sandbox, "idem", ""));
        assertThat(answers.stream().map(Api.Answer::toString).distinct()).hasSize(1);
        assertThat(outcome(answers.getFirst())).isEqualTo("201");
        assertThat(test.agent.snapshots).hasSize(1);
        assertThat(outcome(create(withKey, sandbox, "other", ""))).isEqualTo("409 conflict");
        assertThat(outcome(withKey.post("/v1/sandboxes", "{}"))).isEqualTo("409 conflict");
        assertThat(outcome(create(api.with("Idempotency-Key", "refused"), sandbox, "idem", "")))
                .isEqualTo("409 already_exists");
        assertThat(outcome(create(api.with("Idempotency-Key", "refused"), sandbox, "free", "")))
                .isEqualTo("201");
    }
}
