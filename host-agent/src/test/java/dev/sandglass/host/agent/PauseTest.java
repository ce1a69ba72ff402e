package dev.sandglass.host.agent;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.host.v1.CreateSnapshotRequest;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.ExecResponse;
import dev.sandglass.contract.host.v1.ListSnapshotsResponse;
import dev.sandglass.contract.host.v1.PathRequest;
import dev.sandglass.contract.host.v1.ResumeSandboxRequest;
import dev.sandglass.contract.host.v1.ResumeSandboxResponse;
import dev.sandglass.contract.host.v1.SandboxStatus;
import dev.sandglass.contract.host.v1.SnapshotInfo;
import dev.sandglass.contract.host.v1.SnapshotRequest;
import dev.sandglass.host.linux.Command;
import io.grpc.Status;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Pausing, resuming and snapshots with real VMs; in every pause what is saved is compared with what the process has. */
final class PauseTest extends HostAgentFixture {
    /** Counts in memory, and appends to a file. */
    private static final String COUNTER = """
            import os, time
            n, block = 0, bytearray(os.urandom(1 << 20))
            while True:
                n += 1
                block[n % len(block)] = n % 256
                with open('/root/log', 'a') as log:
                    log.write(f'{n}\\n')
                    log.flush()
                    os.fsync(log.fileno())
                with open('/tmp/count.new', 'w') as out:
                    out.write(str(n))
                os.rename('/tmp/count.new', '/tmp/count')
                time.sleep(0.05)
            """;

    private static final String LOG_IS_WHOLE =
            "n=$(tail -n1 /root/log); seq $n > /tmp/expected; head -n $n /root/log | cmp - /tmp/expected";

    @BeforeAll
    static void verifyEveryPause() {
        System.setProperty(SavedMemory.VERIFY_PROPERTY, "true");
    }

    private ResumeSandboxResponse resume(String id, boolean cold) {
        return stub().resumeSandbox(ResumeSandboxRequest.newBuilder()
                .setSandboxId(id)
                .setCold(cold)
                .build());
    }

    private String sh(String id, String script) {
        ExecResponse answer = exec(id, "/bin/sh", "-c", script);
        assertThat(answer.getExitCode()).as(answer.getStderr().toStringUtf8()).isZero();
        return answer.getStdout().toStringUtf8().strip();
    }

    private void startCounter(String id) {
        sh(id, "cat > /root/counter.py <<'E'\n" + COUNTER + "E\nsetsid python3 /root/counter.py >/dev/null 2>&1 &");
        Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> count(id) > 3);
    }

    private int count(String id) {
        String text = sh(id, "cat /tmp/count 2>/dev/null || echo 0");
        return text.isEmpty() ? 0 : Integer.parseInt(text);
    }

    @Test
    void aPausedSandboxGoesOnWhereItWas() {
        String id = create();
        startCounter(id);
        int before = count(id);
        stub().pauseSandbox(sandbox(id));
        stub().pauseSandbox(sandbox(id));
        assertThat(listed(id).orElseThrow().getStatus()).isEqualTo(SandboxStatus.PAUSED);
        assertThat(running.agent().livingSandboxes()).isZero();
        assertThat(ownProcesses()).isEmpty();
        assertThatThrownBy(() -> exec(id, "/bin/true"))
                .satisfies(failure -> assertThat(status(failure).getCode()).isEqualTo(Status.Code.FAILED_PRECONDITION));

        assertThat(resume(id, false).getCold()).isFalse();
        assertThat(resume(id, false).getStatus()).isEqualTo(SandboxStatus.RUNNING);
        int after = count(id);
        assertThat(after).isBetween(before, before + 60);
        Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> count(id) > after);
        assertThat(sh(id, "hostname")).isEqualTo(id);
        assertThat(Math.abs(Instant.now().toEpochMilli() - Long.parseLong(sh(id, "date +%s%3N"))))
                .as("milliseconds the guest's clock is off, the exec included")
                .isLessThan(1000);
    }

    @Test
    void roundsOfPausesWithAgentsThatComeAndGoLoseNothing() throws IOException {
        String id = create();
        startCounter(id);
        for (int round = 0; round < 12; round++) {
            int before = count(id);
            stub().pauseSandbox(sandbox(id));
            if (round % 3 == 1) {
                running.stop();
                startAgain();
            }
            resume(id, false);
            assertThat(count(id)).as("round %d", round).isGreaterThanOrEqualTo(before);
        }
        sh(id, LOG_IS_WHOLE);
        assertThat(sh(id, "dmesg | grep -ci 'ext4.*error' || true")).isEqualTo("0");
    }

    @Test
    void aStoppedSandboxBootsFromItsDiskAndCanBePausedThen() throws IOException {
        String id = create();
        sh(id, "echo kept > /root/file; sync");
        killMachine(id);
        Awaitility.await()
                .atMost(Duration.ofSeconds(10))
                .until(() -> listed(id).orElseThrow().getStatus() == SandboxStatus.STOPPED);
        assertThat(resume(id, false).getCold()).isTrue();
        assertThat(sh(id, "cat /root/file; hostname")).isEqualTo("kept\n" + id);
        startCounter(id);
        int before = count(id);
        stub().pauseSandbox(sandbox(id));
        assertThat(resume(id, false).getCold()).isFalse();
        assertThat(count(id)).isGreaterThanOrEqualTo(before);
        stub().pauseSandbox(sandbox(id));
        assertThat(resume(id, true).getCold()).isTrue();
        assertThat(sh(
                        id,
                        "cat /root/file; test -e /proc/$(pgrep -f counter.py || echo none) && echo alive || echo gone"))
                .isEqualTo("kept\ngone");
    }

    private SnapshotId snapshot(String id, boolean leavePaused) {
        SnapshotId snapshot = SnapshotId.random();
        long size = stub().createSnapshot(CreateSnapshotRequest.newBuilder()
                        .setSandboxId(id)
                        .setSnapshotId(snapshot.value())
                        .setLeavePaused(leavePaused)
                        .build())
                .getSizeBytes();
        assertThat(size).isPositive();
        return snapshot;
    }

    private List<String> listedSnapshots() {
        ListSnapshotsResponse list = stub().listSnapshots(Empty.getDefaultInstance());
        assertThat(list.getInstallationId()).isEqualTo(INSTALLATION);
        assertThat(list.getSnapshotsList())
                .allSatisfy(snapshot -> assertThat(snapshot.getCreatedAt().getSeconds())
                        .isBetween(
                                Instant.now().getEpochSecond() - 300,
                                Instant.now().getEpochSecond() + 1));
        return list.getSnapshotsList().stream().map(SnapshotInfo::getSnapshotId).toList();
    }

    private String createFrom(SnapshotId snapshot) {
        String id = dev.sandglass.contract.Id.SandboxId.random().value();
        stub().createSandbox(specification(id).setTemplateId(snapshot.value()).build());
        return id;
    }

    @Test
    void aRunningSandboxGoesOnWhileItsSnapshotsLiveOnTheirOwn() {
        String id = create();
        startCounter(id);
        SnapshotId first = snapshot(id, false);
        int atFirst = count(id);
        sh(id, "echo later > /root/later; sync");
        SnapshotId second = snapshot(id, false);
        Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> count(id) > atFirst);

        assertThat(listedSnapshots()).containsExactlyInAnyOrder(first.value(), second.value());
        String one = createFrom(first);
        String two = createFrom(second);
        String three = createFrom(second);
        assertThat(sh(one, "cat /root/later 2>/dev/null || echo none")).isEqualTo("none");
        assertThat(sh(two, "cat /root/later; echo two > /root/later; hostname")).isEqualTo("later\n" + two);
        assertThat(sh(three, "cat /root/later; hostname")).isEqualTo("later\n" + three);
        assertThat(count(one)).isPositive();
        String random = "head -c 16 /dev/urandom | od -An -tx1";
        assertThat(sh(two, random)).isNotEqualTo(sh(three, random));

        stub().destroySandbox(sandbox(id));
        stub().deleteSnapshot(SnapshotRequest.newBuilder()
                .setSnapshotId(second.value())
                .build());
        stub().pauseSandbox(sandbox(two));
        resume(two, false);
        assertThat(sh(two, "cat /root/later")).isEqualTo("two");
        sh(two, LOG_IS_WHOLE);
        sh(one, LOG_IS_WHOLE);
        stub().deleteSnapshot(SnapshotRequest.newBuilder()
                .setSnapshotId(first.value())
                .build());
        stub().deleteSnapshot(SnapshotRequest.newBuilder()
                .setSnapshotId(first.value())
                .build());
        assertThat(home.resolve("snapshots")).isEmptyDirectory();
    }

    @Test
    void aSnapshotCanBeTakenOfAPausedSandbox() {
        String id = create();
        startCounter(id);
        SnapshotId snapshot = snapshot(id, true);
        assertThat(listed(id).orElseThrow().getStatus()).isEqualTo(SandboxStatus.PAUSED);
        String clone = createFrom(snapshot);
        resume(id, false);
        sh(id, LOG_IS_WHOLE);
        sh(clone, LOG_IS_WHOLE);
        assertThat(sh(clone, "hostname")).isEqualTo(clone);
        stub().deleteSnapshot(SnapshotRequest.newBuilder()
                .setSnapshotId(snapshot.value())
                .build());
    }

    @Test
    void aMachineThatEndsWhileItIsPausedIsStoppedAndTheCallerIsTold() throws Exception {
        String id = create();
        sh(id, "echo kept > /root/file; sync");
        int pid = pid(id);
        Command.of("kill", "-STOP", Integer.toString(pid)).run(); // so that the pause waits for the guest
        CompletableFuture<Throwable> pause = failureOf(() -> stub().pauseSandbox(sandbox(id)));
        Awaitility.await()
                .atMost(Duration.ofSeconds(10))
                .until(() -> listed(id).orElseThrow().getStatus() == SandboxStatus.PAUSING);
        killMachine(id);
        assertThat(pause.get(30, TimeUnit.SECONDS)).satisfies(HostAgentFixture::assertMachineEnded);
        assertStoppedWithItsDisk(id);
    }

    @Test
    void aMachineThatEndsWhileASnapshotIsTakenIsStoppedAndTheCallerIsTold() throws Exception {
        String id = create();
        sh(id, "echo kept > /root/file; sync");
        Command.of("kill", "-STOP", Integer.toString(pid(id))).run();
        CompletableFuture<Throwable> taking = failureOf(() -> snapshot(id, false));
        Thread.sleep(200); // wherever it is by then
        killMachine(id);
        assertThat(taking.get(30, TimeUnit.SECONDS)).satisfies(HostAgentFixture::assertMachineEnded);
        assertStoppedWithItsDisk(id);
        assertThat(home.resolve("snapshots")).isEmptyDirectory();
    }

    private void assertStoppedWithItsDisk(String id) {
        assertThat(listed(id)).hasValueSatisfying(info -> {
            assertThat(info.getStatus()).isEqualTo(SandboxStatus.STOPPED);
            assertThat(info.getError()).contains("signal 9");
        });
        assertThat(resume(id, false).getCold()).isTrue();
        assertThat(sh(id, "cat /root/file")).isEqualTo("kept");
    }

    private static CompletableFuture<Throwable> failureOf(Runnable call) {
        CompletableFuture<Throwable> failure = new CompletableFuture<>();
        Thread.startVirtualThread(() -> {
            try {
                call.run();
                failure.completeExceptionally(new AssertionError("it succeeded"));
            } catch (RuntimeException e) {
                failure.complete(e);
            }
        });
        return failure;
    }

    @Test
    void commandsAndTransfersThatMeetALiveSnapshotWaitAndThenRun() throws Exception {
        String id = create();
        AtomicBoolean over = new AtomicBoolean();
        AtomicInteger done = new AtomicInteger();
        List<CompletableFuture<Void>> users = new ArrayList<>();
        for (int user = 0; user < 3; user++) {
            String file = "/root/" + user;
            users.add(CompletableFuture.runAsync(
                    () -> {
                        while (!over.get()) {
                            assertThat(sh(id, "echo here")).isEqualTo("here");
                            stub().makeDirectory(PathRequest.newBuilder()
                                    .setSandboxId(id)
                                    .setPath(file)
                                    .build());
                            done.incrementAndGet();
                        }
                    },
                    task -> Thread.ofVirtual().start(task)));
        }
        for (int round = 0; round < 5; round++) {
            int before = done.get();
            SnapshotId taken = snapshot(id, false);
            stub().deleteSnapshot(SnapshotRequest.newBuilder()
                    .setSnapshotId(taken.value())
                    .build());
            Awaitility.await()
                    .atMost(Duration.ofSeconds(20))
                    .until(() -> done.get() > before || users.stream().anyMatch(CompletableFuture::isDone));
        }
        over.set(true);
        for (CompletableFuture<Void> user : users) {
            user.get(30, TimeUnit.SECONDS);
        }
    }

    @Test
    void whatNobodyUsesIsPausedByItself() throws IOException {
        String id = dev.sandglass.contract.Id.SandboxId.random().value();
        stub().createSandbox(specification(id).setTimeoutSec(2).build());
        Awaitility.await()
                .atMost(Duration.ofSeconds(20))
                .until(() -> listed(id).orElseThrow().getStatus() == SandboxStatus.PAUSED);
        assertThat(stub().listSandboxes(Empty.getDefaultInstance()).getAutoPausedSandboxIdsList())
                .containsExactly(id);
        running.stop();
        startAgain();
        assertThat(stub().listSandboxes(Empty.getDefaultInstance()).getAutoPausedSandboxIdsList())
                .containsExactly(id);
        resume(id, false);
        assertThat(sh(id, "echo back")).isEqualTo("back");
    }
}
