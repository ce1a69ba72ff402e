package dev.sandglass.control.sandbox;

import com.google.protobuf.Timestamp;
import dev.sandglass.contract.host.v1.CreateSandboxRequest;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.ListSandboxesResponse;
import dev.sandglass.contract.host.v1.ResumeSandboxRequest;
import dev.sandglass.contract.host.v1.ResumeSandboxResponse;
import dev.sandglass.contract.host.v1.SandboxInfo;
import dev.sandglass.contract.host.v1.SandboxRequest;
import dev.sandglass.control.host.HostDirectory;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Through the host agents. */
final class AgentMachines implements Machines {
    private static final Duration PING_LIMIT = Duration.ofSeconds(10);
    private static final Duration LIST_LIMIT = Duration.ofSeconds(10);

    private final HostDirectory hosts;

    AgentMachines(HostDirectory hosts) {
        this.hosts = hosts;
    }

    @Override
    public String create(Sandbox pending, SandboxSpec spec) {
        CreateSandboxRequest request = CreateSandboxRequest.newBuilder()
                .setSandboxId(pending.id().value())
                .setTemplateId(pending.templateId())
                .setVcpus(pending.vcpus())
                .setMemoryMb(pending.memoryMb())
                .setTimeoutSec(pending.timeoutSec())
                .putAllEnv(spec.env())
                .build();
        return hosts.require(pending.hostId())
                .call(Limits.CREATE, agent -> agent.createSandbox(request))
                .getHostIp();
    }

    @Override
    public void destroy(String hostId, String sandbox) {
        hosts.require(hostId).call(Limits.DESTROY, agent -> agent.destroySandbox(which(sandbox)));
    }

    @Override
    public void ping(Sandbox sandbox) {
        hosts.require(sandbox.hostId())
                .call(PING_LIMIT, agent -> agent.pingSandbox(which(sandbox.id().value())));
    }

    @Override
    public void pause(Sandbox sandbox) {
        hosts.require(sandbox.hostId())
                .call(
                        Limits.PAUSE,
                        agent -> agent.pauseSandbox(which(sandbox.id().value())));
    }

    @Override
    public Resumed resume(Sandbox sandbox, boolean cold) {
        ResumeSandboxRequest request = ResumeSandboxRequest.newBuilder()
                .setSandboxId(sandbox.id().value())
                .setTimeoutSec(sandbox.timeoutSec())
                .setCold(cold)
                .build();
        ResumeSandboxResponse answer =
                hosts.require(sandbox.hostId()).call(Limits.RESUME, agent -> agent.resumeSandbox(request));
        return new Resumed(answer.getHostIp(), answer.getCold());
    }

    @Override
    public HostView list(String hostId) {
        ListSandboxesResponse answer =
                hosts.require(hostId).call(LIST_LIMIT, agent -> agent.listSandboxes(Empty.getDefaultInstance()));
        Set<String> autoPaused = new HashSet<>(answer.getAutoPausedSandboxIdsList());
        Map<String, Seen> sandboxes = HashMap.newHashMap(answer.getSandboxesCount());
        for (SandboxInfo info : answer.getSandboxesList()) {
            sandboxes.put(info.getSandboxId(), seen(info, autoPaused.contains(info.getSandboxId())));
        }
        return new HostView(answer.getInstallationId(), sandboxes);
    }

    private static Seen seen(SandboxInfo info, boolean autoPaused) {
        Timestamp created = info.getCreatedAt();
        return new Seen(
                status(info),
                info.getHostIp(),
                Instant.ofEpochSecond(created.getSeconds(), created.getNanos()),
                info.getError().strip(),
                autoPaused);
    }

    private static Optional<SandboxStatus> status(SandboxInfo info) {
        return switch (info.getStatus()) {
            case PENDING -> Optional.of(SandboxStatus.PENDING);
            case RUNNING -> Optional.of(SandboxStatus.RUNNING);
            case PAUSING -> Optional.of(SandboxStatus.PAUSING);
            case PAUSED -> Optional.of(SandboxStatus.PAUSED);
            case RESUMING -> Optional.of(SandboxStatus.RESUMING);
            case STOPPED -> Optional.of(SandboxStatus.STOPPED);
            case ERROR -> Optional.of(SandboxStatus.ERROR);
            case SANDBOX_STATUS_UNSPECIFIED, UNRECOGNIZED -> Optional.empty();
        };
    }

    private static SandboxRequest which(String sandbox) {
        return SandboxRequest.newBuilder().setSandboxId(sandbox).build();
    }
}
