package dev.sandglass.host.agent;

import com.google.protobuf.Timestamp;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.ExecId;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.host.v1.CreateSandboxRequest;
import dev.sandglass.contract.host.v1.CreateSandboxResponse;
import dev.sandglass.contract.host.v1.CreateSnapshotRequest;
import dev.sandglass.contract.host.v1.CreateSnapshotResponse;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.ExecRequest;
import dev.sandglass.contract.host.v1.ExecResponse;
import dev.sandglass.contract.host.v1.ExecStreamRequest;
import dev.sandglass.contract.host.v1.ExecStreamResponse;
import dev.sandglass.contract.host.v1.HandshakeRequest;
import dev.sandglass.contract.host.v1.HandshakeResponse;
import dev.sandglass.contract.host.v1.HostAgentServiceGrpc;
import dev.sandglass.contract.host.v1.HostCapacity;
import dev.sandglass.contract.host.v1.KillExecRequest;
import dev.sandglass.contract.host.v1.ListDirectoryResponse;
import dev.sandglass.contract.host.v1.ListExecsResponse;
import dev.sandglass.contract.host.v1.ListSandboxesResponse;
import dev.sandglass.contract.host.v1.ListSnapshotsResponse;
import dev.sandglass.contract.host.v1.MoveRequest;
import dev.sandglass.contract.host.v1.PathRequest;
import dev.sandglass.contract.host.v1.ReadFileRequest;
import dev.sandglass.contract.host.v1.ReadFileResponse;
import dev.sandglass.contract.host.v1.ResumeSandboxRequest;
import dev.sandglass.contract.host.v1.ResumeSandboxResponse;
import dev.sandglass.contract.host.v1.SandboxInfo;
import dev.sandglass.contract.host.v1.SandboxRequest;
import dev.sandglass.contract.host.v1.SandboxStatus;
import dev.sandglass.contract.host.v1.SnapshotInfo;
import dev.sandglass.contract.host.v1.SnapshotRequest;
import dev.sandglass.contract.host.v1.WriteFileRequest;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.lifecycle.SandboxState;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.time.Instant;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * The host agent as the control plane sees it. Translates and delegates; each call runs on a virtual thread of its own
 * and blocks. The contract is host_agent.proto.
 */
final class HostAgentGrpc extends HostAgentServiceGrpc.HostAgentServiceImplBase {
    /** Version N talks to N-1; there is only one so far. */
    static final int PROTOCOL = 1;

    private final Sandboxes sandboxes;
    private final Identity identity;
    private final Supplier<HostCapacity> capacity;
    private final int vcpusMax;
    private volatile boolean ready;

    /** What an agent is, for handshakes and registration. */
    record Identity(String installation, String hostId, String version) {}

    HostAgentGrpc(Sandboxes sandboxes, Identity identity, Supplier<HostCapacity> capacity) {
        this.sandboxes = sandboxes;
        this.identity = identity;
        this.capacity = capacity;
        this.vcpusMax = Runtime.getRuntime().availableProcessors();
    }

    /** Adopting has ended: calls are served from now on. */
    void open() {
        ready = true;
    }

    // ---- Machines

    @Override
    public void handshake(HandshakeRequest request, StreamObserver<HandshakeResponse> responses) {
        answer("handshake", responses, () -> {
            if (request.getProtocol() != PROTOCOL) {
                throw new PlatformException(
                        ErrorCode.CONFLICT,
                        "The host agent speaks protocol " + PROTOCOL + ", the control plane " + request.getProtocol()
                                + "; update the older one.");
            }
            return HandshakeResponse.newBuilder()
                    .setProtocol(PROTOCOL)
                    .setInstallationId(identity.installation())
                    .setHostId(identity.hostId())
                    .setVersion(identity.version())
                    .setCapacity(capacity.get())
                    .build();
        });
    }

    @Override
    public void createSandbox(CreateSandboxRequest request, StreamObserver<CreateSandboxResponse> responses) {
        answer("create sandbox", responses, () -> {
            Sandbox sandbox = sandboxes.create(specification(request));
            return CreateSandboxResponse.newBuilder()
                    .setStatus(status(sandbox))
                    .setHostIp(hostIp(sandbox))
                    .build();
        });
    }

    private Sandboxes.Specification specification(CreateSandboxRequest request) {
        requireRange("vcpus", request.getVcpus(), 1, vcpusMax);
        long hostMb = capacity.get().getMemoryMb();
        requireRange("memory_mb", request.getMemoryMb(), 128, hostMb);
        if (request.getMemoryMb() % 128 != 0) {
            throw new PlatformException(ErrorCode.INVALID_REQUEST, "memory_mb must be a multiple of 128.");
        }
        return new Sandboxes.Specification(
                new SandboxId(request.getSandboxId()),
                request.getTemplateId().isEmpty() ? "base" : request.getTemplateId(),
                request.getVcpus(),
                request.getMemoryMb(),
                request.getTimeoutSec(),
                request.getEnvMap());
    }

    private static void requireRange(String name, long value, long least, long most) {
        if (value < least || value > most) {
            throw new PlatformException(
                    ErrorCode.INVALID_REQUEST,
                    name + " must be between " + least + " and " + most + " on this host, not " + value + ".");
        }
    }

    @Override
    public void destroySandbox(SandboxRequest request, StreamObserver<Empty> responses) {
        answer("delete sandbox", responses, () -> {
            sandboxes.destroy(new SandboxId(request.getSandboxId()));
            return Empty.getDefaultInstance();
        });
    }

    @Override
    public void pingSandbox(SandboxRequest request, StreamObserver<Empty> responses) {
        answer("ping sandbox", responses, () -> {
            Sandbox sandbox = sandboxes.require(new SandboxId(request.getSandboxId()));
            sandbox.use().close();
            return Empty.getDefaultInstance();
        });
    }

    @Override
    public void pauseSandbox(SandboxRequest request, StreamObserver<Empty> responses) {
        answer("pause sandbox", responses, () -> {
            sandboxes.pause(new SandboxId(request.getSandboxId()));
            return Empty.getDefaultInstance();
        });
    }

    @Override
    public void resumeSandbox(ResumeSandboxRequest request, StreamObserver<ResumeSandboxResponse> responses) {
        answer("resume sandbox", responses, () -> {
            SandboxId id = new SandboxId(request.getSandboxId());
            boolean cold = sandboxes.resume(id, request.getTimeoutSec(), request.getCold());
            Sandbox sandbox = sandboxes.require(id);
            return ResumeSandboxResponse.newBuilder()
                    .setStatus(status(sandbox))
                    .setHostIp(hostIp(sandbox))
                    .setCold(cold)
                    .build();
        });
    }

    @Override
    public void createSnapshot(CreateSnapshotRequest request, StreamObserver<CreateSnapshotResponse> responses) {
        answer("create snapshot", responses, () -> {
            TakeSnapshot.Taken taken = sandboxes.takeSnapshot(
                    new SandboxId(request.getSandboxId()),
                    new SnapshotId(request.getSnapshotId()),
                    request.getLeavePaused());
            return CreateSnapshotResponse.newBuilder()
                    .setSizeBytes(taken.sizeBytes())
                    .setVcpus(taken.vcpus())
                    .setMemoryMb(taken.memoryMb())
                    .build();
        });
    }

    @Override
    public void deleteSnapshot(SnapshotRequest request, StreamObserver<Empty> responses) {
        answer("delete snapshot", responses, () -> {
            sandboxes.deleteSnapshot(new SnapshotId(request.getSnapshotId()));
            return Empty.getDefaultInstance();
        });
    }

    @Override
    public void listSnapshots(Empty request, StreamObserver<ListSnapshotsResponse> responses) {
        answer("list snapshots", responses, () -> {
            ListSnapshotsResponse.Builder list =
                    ListSnapshotsResponse.newBuilder().setInstallationId(identity.installation());
            sandboxes
                    .snapshots()
                    .forEach(snapshot -> list.addSnapshots(SnapshotInfo.newBuilder()
                            .setSnapshotId(snapshot.id().value())
                            .setCreatedAt(timestamp(snapshot.createdAt()))));
            return list.build();
        });
    }

    @Override
    public void listSandboxes(Empty request, StreamObserver<ListSandboxesResponse> responses) {
        answer("list sandboxes", responses, () -> {
            ListSandboxesResponse.Builder list =
                    ListSandboxesResponse.newBuilder().setInstallationId(identity.installation());
            sandboxes.all().forEach(sandbox -> {
                list.addSandboxes(info(sandbox));
                if (sandbox.state() instanceof SandboxState.Paused paused && paused.idle()) {
                    list.addAutoPausedSandboxIds(sandbox.id().value());
                }
            });
            sandboxes
                    .damaged()
                    .forEach((id, reason) -> list.addSandboxes(SandboxInfo.newBuilder()
                            .setSandboxId(id.value())
                            .setStatus(SandboxStatus.ERROR)
                            .setError(reason)));
            return list.build();
        });
    }

    private static SandboxInfo info(Sandbox sandbox) {
        Ledger.Entry entry = sandbox.entry();
        SandboxInfo.Builder info = SandboxInfo.newBuilder()
                .setSandboxId(entry.id().value())
                .setStatus(status(sandbox))
                .setTemplateId(entry.templateId())
                .setVcpus(entry.vcpus())
                .setMemoryMb(entry.memoryMb())
                .setTimeoutSec(entry.timeoutSec())
                .setCreatedAt(timestamp(entry.createdAt()))
                .setLastActiveAt(timestamp(sandbox.lastActiveAt()))
                .setGeneration(sandbox.generations())
                .setHostIp(hostIp(sandbox));
        if (entry.state() instanceof SandboxState.Stopped stopped) {
            info.setError(stopped.reason());
        }
        return info.build();
    }

    private static String hostIp(Sandbox sandbox) {
        Sandbox.Live live = sandbox.live();
        return live == null ? "" : live.machine().slot().hostAddress().getHostAddress();
    }

    private static SandboxStatus status(Sandbox sandbox) {
        Sandbox.Transition transition = sandbox.transition();
        if (transition != null) {
            return switch (transition) {
                case PAUSING -> SandboxStatus.PAUSING;
                case RESUMING -> SandboxStatus.RESUMING;
            };
        }
        return switch (sandbox.state()) {
            case SandboxState.Creating _ -> SandboxStatus.PENDING;
            case SandboxState.Running _ -> SandboxStatus.RUNNING;
            case SandboxState.Paused _ -> SandboxStatus.PAUSED;
            case SandboxState.Resuming _ -> SandboxStatus.RESUMING;
            case SandboxState.Stopped _, SandboxState.Destroying _ -> SandboxStatus.STOPPED;
        };
    }

    static Timestamp timestamp(Instant instant) {
        return Timestamp.newBuilder()
                .setSeconds(instant.getEpochSecond())
                .setNanos(instant.getNano())
                .build();
    }

    // ---- Exec

    @Override
    public void exec(ExecRequest request, StreamObserver<ExecResponse> responses) {
        answer("exec", responses, () -> {
            requireReady();
            return Execs.run(sandboxes.require(new SandboxId(request.getSandboxId())), request);
        });
    }

    @Override
    public StreamObserver<ExecStreamRequest> execStream(StreamObserver<ExecStreamResponse> responses) {
        return ExecCall.begin(sandboxes, (ServerCallStreamObserver<ExecStreamResponse>) responses);
    }

    @Override
    public void listExecs(SandboxRequest request, StreamObserver<ListExecsResponse> responses) {
        inGuest("list execs", request.getSandboxId(), responses, guest -> {
            ListExecsResponse.Builder list = ListExecsResponse.newBuilder();
            guest.listExecs().forEach(exec -> list.addExecs(Execs.info(exec)));
            return list.build();
        });
    }

    @Override
    public void killExec(KillExecRequest request, StreamObserver<Empty> responses) {
        inGuest("kill exec", request.getSandboxId(), responses, guest -> {
            guest.signalExec(new ExecId(request.getExecId()).value(), Execs.SIGKILL);
            return Empty.getDefaultInstance();
        });
    }

    // ---- Files

    @Override
    public StreamObserver<WriteFileRequest> streamWriteFile(StreamObserver<Empty> responses) {
        return WriteFileCall.begin(sandboxes, (ServerCallStreamObserver<Empty>) responses);
    }

    @Override
    public void streamReadFile(ReadFileRequest request, StreamObserver<ReadFileResponse> responses) {
        ReadFileCall.run(sandboxes, request, (ServerCallStreamObserver<ReadFileResponse>) responses);
    }

    @Override
    public void listDirectory(PathRequest request, StreamObserver<ListDirectoryResponse> responses) {
        inGuest("list directory", request.getSandboxId(), responses, guest -> {
            ListDirectoryResponse.Builder list = ListDirectoryResponse.newBuilder();
            guest.listDirectory(request.getPath()).forEach(file -> list.addEntries(ReadFileCall.info(file)));
            return list.build();
        });
    }

    @Override
    public void makeDirectory(PathRequest request, StreamObserver<Empty> responses) {
        inGuest("make directory", request.getSandboxId(), responses, guest -> {
            guest.makeDirectory(request.getPath());
            return Empty.getDefaultInstance();
        });
    }

    @Override
    public void move(MoveRequest request, StreamObserver<Empty> responses) {
        inGuest("move", request.getSandboxId(), responses, guest -> {
            guest.move(request.getFrom(), request.getTo());
            return Empty.getDefaultInstance();
        });
    }

    @Override
    public void remove(PathRequest request, StreamObserver<Empty> responses) {
        inGuest("remove", request.getSandboxId(), responses, guest -> {
            guest.remove(request.getPath());
            return Empty.getDefaultInstance();
        });
    }

    // ---- Frame

    private <T> void inGuest(
            String operation, String sandboxId, StreamObserver<T> responses, Function<GuestClient, T> work) {
        answer(operation, responses, () -> {
            Sandbox sandbox = sandboxes.require(new SandboxId(sandboxId));
            try (Sandbox.Use use = sandbox.use()) {
                return work.apply(use.guest());
            }
        });
    }

    private void requireReady() {
        if (!ready) {
            throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "The host agent is starting; try again.");
        }
    }

    /** The work is finished even if the caller is gone; then nobody is told. */
    private <T> void answer(String operation, StreamObserver<T> responses, Supplier<T> work) {
        ServerCallStreamObserver<T> call = (ServerCallStreamObserver<T>) responses;
        call.setOnCancelHandler(() -> {}); // without it, answering a caller who is gone would throw
        T response;
        try {
            requireReady();
            response = work.get();
        } catch (RuntimeException | Error failure) {
            call.onError(GrpcErrors.toStatus(operation, failure));
            return;
        }
        call.onNext(response);
        call.onCompleted();
    }
}
