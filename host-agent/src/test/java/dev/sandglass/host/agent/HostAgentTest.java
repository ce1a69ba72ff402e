package dev.sandglass.host.agent;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.google.protobuf.ByteString;
import dev.sandglass.contract.Id.ExecId;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.host.v1.AttachExec;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.ExecRequest;
import dev.sandglass.contract.host.v1.ExecResponse;
import dev.sandglass.contract.host.v1.ExecSpec;
import dev.sandglass.contract.host.v1.ExecStreamRequest;
import dev.sandglass.contract.host.v1.ExecStreamResponse;
import dev.sandglass.contract.host.v1.HandshakeRequest;
import dev.sandglass.contract.host.v1.HostAgentServiceGrpc;
import dev.sandglass.contract.host.v1.HostAgentServiceGrpc.HostAgentServiceBlockingStub;
import dev.sandglass.contract.host.v1.KillExecRequest;
import dev.sandglass.contract.host.v1.MoveRequest;
import dev.sandglass.contract.host.v1.PathRequest;
import dev.sandglass.contract.host.v1.ReadFileRequest;
import dev.sandglass.contract.host.v1.ReadFileResponse;
import dev.sandglass.contract.host.v1.SandboxStatus;
import dev.sandglass.contract.host.v1.StartExec;
import dev.sandglass.contract.host.v1.WriteFileRequest;
import dev.sandglass.contract.host.v1.WriteTarget;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What has to do with the life of sandboxes, with commands and with files; pausing has tests of its own. */
final class HostAgentTest extends HostAgentFixture {
    // ---- Life

    @Test
    void aSandboxRunsCommandsWithItsOwnEnvironmentAndHostName() {
        String id = create();
        ExecResponse answer = exec(id, "/bin/sh", "-c", "echo $WHERE $(hostname); echo oops >&2; exit 3");
        assertThat(answer.getStdout().toStringUtf8()).isEqualTo("sandbox " + id + "\n");
        assertThat(answer.getStderr().toStringUtf8()).isEqualTo("oops\n");
        assertThat(answer.getExitCode()).isEqualTo(3);
        assertThat(listed(id)).hasValueSatisfying(info -> {
            assertThat(info.getStatus()).isEqualTo(SandboxStatus.RUNNING);
            assertThat(info.getHostIp()).startsWith("10.11.");
        });
        stub().destroySandbox(sandbox(id));
        stub().destroySandbox(sandbox(id));
        assertThat(listed(id)).isEmpty();
    }

    @Test
    void anIdCanBeUsedOnce() {
        String id = create();
        assertThatThrownBy(() -> stub().createSandbox(specification(id).build()))
                .satisfies(failure -> assertThat(status(failure).getCode()).isEqualTo(Status.Code.FAILED_PRECONDITION));
        assertThat(exec(id, "/bin/true").getExitCode()).isZero();
    }

    @Test
    void anAgentThatComesBackAdoptsWhatRuns() throws IOException {
        String id = create();
        exec(id, "/bin/sh", "-c", "sleep 1000 & echo $! > /tmp/pid");
        running.stop();
        startAgain();
        assertThat(running.agent().livingSandboxes()).isEqualTo(1);
        assertThat(exec(id, "/bin/sh", "-c", "kill -0 $(cat /tmp/pid)").getExitCode())
                .isZero();
    }

    @Test
    void aMachineThatDiesIsStoppedWithAReasonAndKeepsItsDisk() throws IOException {
        String id = create();
        exec(id, "/bin/sh", "-c", "echo kept > /root/file; sync");
        killMachine(id);
        Awaitility.await()
                .atMost(Duration.ofSeconds(10))
                .until(() -> listed(id).orElseThrow().getStatus() == SandboxStatus.STOPPED);
        assertThat(listed(id).orElseThrow().getError()).contains("signal 9");
        assertThatThrownBy(() -> exec(id, "/bin/true"))
                .satisfies(failure -> assertThat(status(failure).getCode()).isEqualTo(Status.Code.FAILED_PRECONDITION));
        assertThat(home.resolve("sandboxes/" + id + "/disk-0001.qcow2")).isNotEmptyFile();
    }

    @Test
    void aMachineThatDiedWhileNoAgentRanIsStoppedTooWithItsExitStatus() throws IOException {
        String id = create();
        running.stop();
        killMachine(id);
        Awaitility.await().atMost(Duration.ofSeconds(10)).until(this::anExitWasWritten);
        startAgain();
        assertThat(listed(id)).hasValueSatisfying(info -> {
            assertThat(info.getStatus()).isEqualTo(SandboxStatus.STOPPED);
            assertThat(info.getError()).contains("signal 9");
        });
    }

    private boolean anExitWasWritten() throws IOException {
        try (Stream<Path> files = Files.walk(home.resolve("machines"))) {
            return files.anyMatch(file -> file.endsWith("exit"));
        }
    }

    @Test
    void aDamagedLedgerIsReportedAndLeftUntilItIsDeleted() throws IOException {
        String id = SandboxId.random().value();
        running.stop();
        Files.createDirectories(home.resolve("sandboxes/" + id));
        Files.writeString(home.resolve("sandboxes/" + id + "/ledger.json"), "{");
        startAgain();
        assertThat(listed(id).orElseThrow().getStatus()).isEqualTo(SandboxStatus.ERROR);
        stub().destroySandbox(sandbox(id));
        assertThat(listed(id)).isEmpty();
        assertThat(home.resolve("sandboxes/" + id)).doesNotExist();
    }

    // ---- Exec streams

    @Test
    void aStreamCarriesInputAndOutputAndCanBeAttachedAgain() throws InterruptedException {
        String id = create();
        Collected<ExecStreamResponse> first = new Collected<>();
        StreamObserver<ExecStreamRequest> call = streams().execStream(first);
        call.onNext(ExecStreamRequest.newBuilder()
                .setStart(StartExec.newBuilder()
                        .setSandboxId(id)
                        .setSpec(ExecSpec.newBuilder()
                                .addArgv("/bin/cat")
                                .setExecId(ExecId.random().value())))
                .build());
        String execId = ((ExecStreamResponse) first.await()).getStarted().getExecId();
        call.onNext(ExecStreamRequest.newBuilder()
                .setStdin(ByteString.copyFromUtf8("one\n"))
                .build());
        assertThat(((ExecStreamResponse) first.await()).getOutput().getData().toStringUtf8())
                .isEqualTo("one\n");
        call.onError(Status.CANCELLED.asRuntimeException());

        Collected<ExecStreamResponse> second = new Collected<>();
        StreamObserver<ExecStreamRequest> again = streams().execStream(second);
        again.onNext(ExecStreamRequest.newBuilder()
                .setAttach(AttachExec.newBuilder()
                        .setSandboxId(id)
                        .setExecId(execId)
                        .setAfterSeq(2))
                .build());
        assertThat(((ExecStreamResponse) second.await()).getStarted().getExecId())
                .isEqualTo(execId);
        assertThat(((ExecStreamResponse) second.await()).getOutput().getData().toStringUtf8())
                .isEqualTo("e\n");
        again.onNext(ExecStreamRequest.newBuilder()
                .setCloseStdin(Empty.getDefaultInstance())
                .build());
        assertThat(((ExecStreamResponse) second.await()).getExited().getExitCode())
                .isZero();
        assertThat(second.await()).isEqualTo("completed");
    }

    @Test
    void aReaderWhoStopsReadingStopsTheCommandAndNotTheSandbox() throws InterruptedException {
        String id = create();
        Collected<ExecStreamResponse> slow = new Collected<>();
        StreamObserver<ExecStreamRequest> call = streams().execStream(slow);
        call.onNext(ExecStreamRequest.newBuilder()
                .setStart(StartExec.newBuilder()
                        .setSandboxId(id)
                        .setSpec(ExecSpec.newBuilder()
                                .addArgv("/usr/bin/yes")
                                .setExecId(ExecId.random().value())))
                .build());
        assertThat(((ExecStreamResponse) slow.await()).hasStarted()).isTrue();
        assertThat(exec(id, "/bin/echo", "still here").getStdout().toStringUtf8())
                .isEqualTo("still here\n");
        call.onNext(ExecStreamRequest.newBuilder()
                .setStop(Empty.getDefaultInstance())
                .build());
        Object last = slow.await();
        while (last instanceof ExecStreamResponse response && !response.hasExited()) {
            last = slow.await();
        }
        assertThat(((ExecStreamResponse) last).getExited().getSignal()).isEqualTo(9);
    }

    // ---- Files

    @Test
    void aFileComesBackAsItWasWrittenAndAnAbortedUploadChangesNothing() throws InterruptedException {
        String id = create();
        byte[] content = new byte[300_000];
        new java.util.Random(1).nextBytes(content);
        assertThat(upload(id, "/root/new/file", content, true)).isEqualTo(Empty.getDefaultInstance());
        upload(id, "/root/new/file", new byte[10], false);
        assertThat(download(id, "/root/new/file", 0, 0)).isEqualTo(content);
        assertThat(download(id, "/root/new/file", 100, 5)).isEqualTo(java.util.Arrays.copyOfRange(content, 100, 105));
        assertThat(stub().listDirectory(path(id, "/root/new")).getEntriesList())
                .singleElement()
                .satisfies(file -> assertThat(file.getSize()).isEqualTo(content.length));
    }

    private Object upload(String id, String path, byte[] content, boolean commit) throws InterruptedException {
        Collected<Empty> answer = new Collected<>();
        StreamObserver<WriteFileRequest> call = streams().streamWriteFile(answer);
        call.onNext(WriteFileRequest.newBuilder()
                .setTarget(WriteTarget.newBuilder().setSandboxId(id).setPath(path))
                .build());
        for (int at = 0; at < content.length; at += 65536) {
            call.onNext(WriteFileRequest.newBuilder()
                    .setData(ByteString.copyFrom(content, at, Math.min(65536, content.length - at)))
                    .build());
        }
        if (commit) {
            call.onNext(WriteFileRequest.newBuilder()
                    .setCommit(Empty.getDefaultInstance())
                    .build());
        }
        call.onCompleted();
        return answer.await();
    }

    private byte[] download(String id, String path, long offset, long length) {
        Iterator<ReadFileResponse> chunks = stub().streamReadFile(ReadFileRequest.newBuilder()
                .setSandboxId(id)
                .setPath(path)
                .setOffset(offset)
                .setLength(length)
                .build());
        List<ByteString> data = new ArrayList<>();
        chunks.forEachRemaining(chunk -> data.add(chunk.getData()));
        return ByteString.copyFrom(data).toByteArray();
    }

    private static PathRequest path(String id, String path) {
        return PathRequest.newBuilder().setSandboxId(id).setPath(path).build();
    }

    // ---- Bad input

    private static Arguments bad(String name, Status.Code expected, Consumer<HostAgentServiceBlockingStub> call) {
        return Arguments.of(Named.of(name, call), expected);
    }

    static Stream<Arguments> badCalls() {
        String unknown = SandboxId.random().value();
        Status.Code invalid = Status.Code.INVALID_ARGUMENT;
        Status.Code missing = Status.Code.NOT_FOUND;
        return Stream.of(
                bad(
                        "protocol 0",
                        Status.Code.FAILED_PRECONDITION,
                        s -> s.handshake(HandshakeRequest.getDefaultInstance())),
                bad(
                        "create without id",
                        invalid,
                        s -> s.createSandbox(specification("").build())),
                bad(
                        "create ../x",
                        invalid,
                        s -> s.createSandbox(
                                specification("sb../../../../etc/x00").build())),
                bad(
                        "no vcpus",
                        invalid,
                        s -> s.createSandbox(specification(unknown).setVcpus(0).build())),
                bad(
                        "1000 vcpus",
                        invalid,
                        s -> s.createSandbox(
                                specification(unknown).setVcpus(1000).build())),
                bad(
                        "no memory",
                        invalid,
                        s -> s.createSandbox(
                                specification(unknown).setMemoryMb(0).build())),
                bad(
                        "odd memory",
                        invalid,
                        s -> s.createSandbox(
                                specification(unknown).setMemoryMb(500).build())),
                bad(
                        "too much memory",
                        invalid,
                        s -> s.createSandbox(
                                specification(unknown).setMemoryMb(128 << 20).build())),
                bad(
                        "unknown template",
                        missing,
                        s -> s.createSandbox(
                                specification(unknown).setTemplateId("snp0").build())),
                bad("destroy nonsense", invalid, s -> s.destroySandbox(sandbox("x"))),
                bad("ping unknown", missing, s -> s.pingSandbox(sandbox(unknown))),
                bad("list execs of unknown", missing, s -> s.listExecs(sandbox(unknown))),
                bad(
                        "exec in unknown",
                        missing,
                        s -> s.exec(
                                ExecRequest.newBuilder().setSandboxId(unknown).build())),
                bad(
                        "kill in unknown",
                        missing,
                        s -> s.killExec(KillExecRequest.newBuilder()
                                .setSandboxId(unknown)
                                .build())),
                bad(
                        "read in unknown",
                        missing,
                        s -> s.streamReadFile(ReadFileRequest.newBuilder()
                                        .setSandboxId(unknown)
                                        .build())
                                .next()),
                bad("list directory of unknown", missing, s -> s.listDirectory(path(unknown, "/"))),
                bad("mkdir in unknown", missing, s -> s.makeDirectory(path(unknown, "/x"))),
                bad(
                        "move in unknown",
                        missing,
                        s -> s.move(
                                MoveRequest.newBuilder().setSandboxId(unknown).build())),
                bad("remove in unknown", missing, s -> s.remove(path(unknown, "/x"))));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("badCalls")
    void badCallsAreRefused(Consumer<HostAgentServiceBlockingStub> call, Status.Code expected) {
        Throwable failure = catchThrowableOfType(StatusRuntimeException.class, () -> call.accept(stub()));
        assertThat(status(failure).getCode()).isEqualTo(expected);
        assertThat(status(failure).getDescription()).doesNotContain("/tmp", "Exception", "\tat ");
    }

    private record BadPath(String name, Status.Code expected, Consumer<String> call) {}

    @Test
    void badPathsAreRefusedByTheGuest() {
        Status.Code invalid = Status.Code.INVALID_ARGUMENT;
        List<BadPath> table = List.of(
                new BadPath("read missing", Status.Code.NOT_FOUND, id -> download(id, "/no/such/file", 0, 0)),
                new BadPath("read a directory", invalid, id -> download(id, "/etc", 0, 0)),
                new BadPath("read a relative path", invalid, id -> download(id, "etc/passwd", 0, 0)),
                new BadPath("list missing", Status.Code.NOT_FOUND, id -> stub().listDirectory(path(id, "/no/such"))),
                new BadPath("remove the root", invalid, id -> stub().remove(path(id, "/"))),
                new BadPath("remove nothing", invalid, id -> stub().remove(path(id, ""))),
                new BadPath("empty command", invalid, id -> exec(id, "")));
        String id = create();
        for (BadPath row : table) {
            Throwable failure = catchThrowableOfType(
                    StatusRuntimeException.class, () -> row.call().accept(id));
            assertThat(failure).as(row.name()).isNotNull();
            assertThat(status(failure).getCode()).as(row.name()).isEqualTo(row.expected());
        }
        assertThat(exec(id, "no-such-command").getExitCode()).isEqualTo(127);
        assertThat(exec(id, "/bin/true").getExitCode()).isZero();
    }

    @Test
    void aWrongTokenAndAForeignInstallationAreTurnedAway() {
        assertThatThrownBy(() -> stub("x".repeat(32), INSTALLATION).listSandboxes(Empty.getDefaultInstance()))
                .satisfies(failure -> assertThat(status(failure).getCode()).isEqualTo(Status.Code.UNAUTHENTICATED));
        assertThatThrownBy(() -> HostAgentServiceGrpc.newBlockingStub(running.channel())
                        .listSandboxes(Empty.getDefaultInstance()))
                .satisfies(failure -> assertThat(status(failure).getCode()).isEqualTo(Status.Code.UNAUTHENTICATED));
        assertThatThrownBy(() -> stub(TOKEN, "other000").listSandboxes(Empty.getDefaultInstance()))
                .satisfies(failure -> assertThat(status(failure).getCode()).isEqualTo(Status.Code.FAILED_PRECONDITION));
    }
}
