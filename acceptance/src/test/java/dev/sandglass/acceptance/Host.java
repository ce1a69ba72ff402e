package dev.sandglass.acceptance;

import dev.sandglass.contract.Id.ExecId;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.host.v1.CreateSandboxRequest;
import dev.sandglass.contract.host.v1.CreateSnapshotRequest;
import dev.sandglass.contract.host.v1.CreateSnapshotResponse;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.ExecRequest;
import dev.sandglass.contract.host.v1.ExecResponse;
import dev.sandglass.contract.host.v1.ExecSpec;
import dev.sandglass.contract.host.v1.HostAgentServiceGrpc;
import dev.sandglass.contract.host.v1.HostAgentServiceGrpc.HostAgentServiceBlockingStub;
import dev.sandglass.contract.host.v1.ListSandboxesResponse;
import dev.sandglass.contract.host.v1.ResumeSandboxRequest;
import dev.sandglass.contract.host.v1.ResumeSandboxResponse;
import dev.sandglass.contract.host.v1.SandboxInfo;
import dev.sandglass.contract.host.v1.SandboxRequest;
import dev.sandglass.contract.host.v1.SandboxStatus;
import dev.sandglass.contract.host.v1.SnapshotRequest;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import java.time.Duration;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;

/**
 * A host agent as its control plane sees it: the calls of the host protocol to an agent that runs alone. One connection;
 * a new one for each start of the agent.
 */
final class Host implements AutoCloseable {
    static final String TOKEN = "a-token-that-only-these-tests-use";
    static final String INSTALLATION = "acceptance0";
    private static final Duration CALL = Duration.ofSeconds(170);
    private static final int EXEC_TIMEOUT_MS = 60_000;

    private final ManagedChannel channel;
    private final HostAgentServiceBlockingStub stub;

    private Host(String address) {
        Metadata headers = new Metadata();
        headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + TOKEN);
        headers.put(Metadata.Key.of("sandglass-installation", Metadata.ASCII_STRING_MARSHALLER), INSTALLATION);
        channel = ManagedChannelBuilder.forTarget(address).usePlaintext().build();
        stub = HostAgentServiceGrpc.newBlockingStub(channel)
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
    }

    /** An agent that runs alone, not started yet: it registers where nobody listens. */
    static Installation agent(String name) {
        return Installation.of(name, "agent")
                .with("SANDGLASS_INSTALLATION", INSTALLATION)
                .with("SANDGLASS_AGENT_TOKEN", TOKEN)
                .with("SANDGLASS_AGENT_ADDR", "127.0.0.1:" + Installation.freePort())
                .with("SANDGLASS_REGISTRY_ADDR", "127.0.0.1:1");
    }

    static Host of(Installation agent) {
        return new Host(agent.variable("SANDGLASS_AGENT_ADDR"));
    }

    HostAgentServiceBlockingStub stub() {
        return stub.withDeadlineAfter(CALL.toSeconds(), TimeUnit.SECONDS);
    }

    static SandboxRequest named(String id) {
        return SandboxRequest.newBuilder().setSandboxId(id).build();
    }

    static String newId() {
        return SandboxId.random().value();
    }

    static String newSnapshotId() {
        return SnapshotId.random().value();
    }

    String create() {
        return create(newId(), "base", 0);
    }

    String create(String id, String template, int timeoutSec) {
        var _ = stub().createSandbox(CreateSandboxRequest.newBuilder()
                .setSandboxId(id)
                .setTemplateId(template)
                .setVcpus(1)
                .setMemoryMb(512)
                .setTimeoutSec(timeoutSec)
                .build());
        return id;
    }

    void destroy(String id) {
        var _ = stub().destroySandbox(named(id));
    }

    void destroyAll() {
        list().keySet().forEach(this::destroy);
    }

    void pause(String id) {
        var _ = stub().pauseSandbox(named(id));
    }

    ResumeSandboxResponse resume(String id) {
        return resume(id, 0, false);
    }

    ResumeSandboxResponse resume(String id, int timeoutSec, boolean cold) {
        return stub().resumeSandbox(ResumeSandboxRequest.newBuilder()
                .setSandboxId(id)
                .setTimeoutSec(timeoutSec)
                .setCold(cold)
                .build());
    }

    CreateSnapshotResponse snapshot(String id, String snapshot, boolean leavePaused) {
        return stub().createSnapshot(CreateSnapshotRequest.newBuilder()
                .setSandboxId(id)
                .setSnapshotId(snapshot)
                .setLeavePaused(leavePaused)
                .build());
    }

    void deleteSnapshot(String snapshot) {
        var _ = stub().deleteSnapshot(
                        SnapshotRequest.newBuilder().setSnapshotId(snapshot).build());
    }

    ListSandboxesResponse listing() {
        return stub().listSandboxes(Empty.getDefaultInstance());
    }

    Map<String, SandboxInfo> list() {
        Map<String, SandboxInfo> byId = new TreeMap<>();
        listing().getSandboxesList().forEach(info -> byId.put(info.getSandboxId(), info));
        return byId;
    }

    SandboxInfo require(String id) {
        SandboxInfo info = list().get(id);
        if (info == null) {
            throw new AssertionError("the host has no sandbox " + id);
        }
        return info;
    }

    SandboxStatus status(String id) {
        SandboxInfo info = list().get(id);
        return info == null ? SandboxStatus.SANDBOX_STATUS_UNSPECIFIED : info.getStatus();
    }

    ExecResponse exec(String id, String... argv) {
        return stub().exec(ExecRequest.newBuilder()
                .setSandboxId(id)
                .setSpec(ExecSpec.newBuilder()
                        .addAllArgv(List.of(argv))
                        .setExecId(ExecId.random().value())
                        .setTimeoutMs(EXEC_TIMEOUT_MS))
                .build());
    }

    /** Stdout of a script that must exit with 0. */
    String sh(String id, String script) {
        ExecResponse answer = exec(id, "/bin/sh", "-c", script);
        if (answer.getExitCode() != 0) {
            throw new AssertionError("in " + id + ": exit code " + answer.getExitCode() + "\n"
                    + answer.getStdout().toStringUtf8() + answer.getStderr().toStringUtf8());
        }
        return answer.getStdout().toStringUtf8().strip();
    }

    Guest guest(String id) {
        return script -> sh(id, script);
    }

    /** The code of a call that must fail. */
    static Status.Code refusal(Runnable call) {
        try {
            call.run();
        } catch (StatusRuntimeException refused) {
            return refused.getStatus().getCode();
        }
        return Status.Code.OK;
    }

    static final Set<SandboxStatus> AT_REST =
            EnumSet.of(SandboxStatus.RUNNING, SandboxStatus.PAUSED, SandboxStatus.STOPPED);

    @Override
    public void close() {
        channel.shutdownNow();
    }
}
