package dev.sandglass.control.testing;

import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import dev.sandglass.contract.host.v1.CreateSandboxRequest;
import dev.sandglass.contract.host.v1.CreateSandboxResponse;
import dev.sandglass.contract.host.v1.CreateSnapshotRequest;
import dev.sandglass.contract.host.v1.CreateSnapshotResponse;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.ExecRequest;
import dev.sandglass.contract.host.v1.ExecResponse;
import dev.sandglass.contract.host.v1.ExecSpec;
import dev.sandglass.contract.host.v1.ExecStreamRequest;
import dev.sandglass.contract.host.v1.ExecStreamResponse;
import dev.sandglass.contract.host.v1.Exited;
import dev.sandglass.contract.host.v1.FileInfo;
import dev.sandglass.contract.host.v1.HandshakeRequest;
import dev.sandglass.contract.host.v1.HandshakeResponse;
import dev.sandglass.contract.host.v1.HostAgentServiceGrpc.HostAgentServiceImplBase;
import dev.sandglass.contract.host.v1.HostCapacity;
import dev.sandglass.contract.host.v1.KillExecRequest;
import dev.sandglass.contract.host.v1.ListDirectoryResponse;
import dev.sandglass.contract.host.v1.ListExecsResponse;
import dev.sandglass.contract.host.v1.ListSandboxesResponse;
import dev.sandglass.contract.host.v1.ListSnapshotsResponse;
import dev.sandglass.contract.host.v1.MoveRequest;
import dev.sandglass.contract.host.v1.OutputStream;
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
import dev.sandglass.contract.host.v1.WriteTarget;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFileAttributes;
import java.time.Instant;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * A host agent whose sandboxes are directories and whose commands are processes of this machine. What it is to do
 * differently for once is told it by {@link #onCreate} and its like.
 */
public final class FakeHostAgent extends HostAgentServiceImplBase implements AutoCloseable {
    public final String hostId;
    public final String installation;
    public final Map<String, CreateSandboxRequest> sandboxes = new ConcurrentHashMap<>();
    public final Map<String, SandboxStatus> statuses = new ConcurrentHashMap<>();
    public final AtomicInteger creates = new AtomicInteger();
    public final AtomicInteger destroys = new AtomicInteger();
    public final AtomicInteger pings = new AtomicInteger();
    public final AtomicInteger pauses = new AtomicInteger();
    public final AtomicInteger resumes = new AtomicInteger();
    public final Map<String, CreateSnapshotRequest> snapshots = new ConcurrentHashMap<>();
    public final Set<String> autoPaused = ConcurrentHashMap.newKeySet();
    public final Map<String, Instant> createdAt = new ConcurrentHashMap<>();
    public final Map<String, Integer> timeouts = new ConcurrentHashMap<>();

    /** Runs before a create does anything; what it answers is the failure. */
    public volatile Function<CreateSandboxRequest, Optional<Status>> onCreate = request -> Optional.empty();

    /** As onCreate. */
    public volatile Function<String, Optional<Status>> onDestroy = id -> Optional.empty();

    /** As onCreate, with the sandbox's id. */
    public volatile Function<String, Optional<Status>> onPause = id -> Optional.empty();

    public volatile Function<String, Optional<Status>> onResume = id -> Optional.empty();

    public volatile Function<CreateSnapshotRequest, Optional<Status>> onSnapshot = request -> Optional.empty();

    public volatile Function<String, Optional<Status>> onDeleteSnapshot = id -> Optional.empty();

    /** What it says it belongs to when it lists. */
    public volatile String listedInstallation;

    /** It answers nothing but this, whatever is asked. */
    public volatile Optional<Status> down = Optional.empty();

    /** Pause, resume and snapshot are done, and this is answered all the same. */
    public volatile Optional<Status> answerLost = Optional.empty();

    public volatile HostCapacity capacity = HostCapacity.newBuilder()
            .setVcpus(8)
            .setMemoryMb(16_384)
            .setMemoryAvailableMb(8_192)
            .setDiskFreeBytes(100L << 30)
            .setAccelerator("tcg")
            .build();

    /** A disk with so much room; what is written to it counts in {@link #written}. */
    public volatile long diskBytes = Long.MAX_VALUE;

    /** Reading a file fails after so many bytes. */
    public volatile long breakAfter = Long.MAX_VALUE;

    public final AtomicLong written = new AtomicLong();
    public final AtomicLong sent = new AtomicLong();

    private final Map<String, ReentrantLock> locks = new ConcurrentHashMap<>();
    private final Map<String, FakeExec> execs = new ConcurrentHashMap<>();
    private final Path root;
    private final ExecutorService calls = Executors.newThreadPerTaskExecutor(
            Thread.ofVirtual().name("fake-agent-", 0).factory());
    private final Server server;
    private final ManagedChannel channel;

    public FakeHostAgent(String hostId, String installation) {
        this.hostId = hostId;
        this.installation = installation;
        this.listedInstallation = installation;
        try {
            root = Files.createTempDirectory("sandglass-fake-agent-");
            String name = hostId + "-" + System.nanoTime();
            server = InProcessServerBuilder.forName(name)
                    .executor(calls)
                    .intercept(outage())
                    .addService(this)
                    .build()
                    .start();
            channel = InProcessChannelBuilder.forName(name).executor(calls).build();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private ServerInterceptor outage() {
        return new ServerInterceptor() {
            @Override
            public <A, B> ServerCall.Listener<A> interceptCall(
                    ServerCall<A, B> call, Metadata headers, ServerCallHandler<A, B> next) {
                Optional<Status> outage = down;
                if (outage.isPresent()) {
                    call.close(outage.get(), new Metadata());
                    return new ServerCall.Listener<>() {};
                }
                return next.startCall(call, headers);
            }
        };
    }

    public ManagedChannel channel() {
        return channel;
    }

    /** Where a sandbox's files are. */
    public Path directory(String sandbox) {
        return root.resolve(sandbox);
    }

    @Override
    public void handshake(HandshakeRequest request, StreamObserver<HandshakeResponse> observer) {
        observer.onNext(HandshakeResponse.newBuilder()
                .setProtocol(1)
                .setInstallationId(installation)
                .setHostId(hostId)
                .setCapacity(capacity)
                .setVersion("fake")
                .build());
        observer.onCompleted();
    }

    @Override
    public void createSandbox(CreateSandboxRequest request, StreamObserver<CreateSandboxResponse> observer) {
        creates.incrementAndGet();
        Optional<Status> failure = onCreate.apply(request);
        if (failure.isPresent()) {
            observer.onError(failure.get().asException());
            return;
        }
        if (!request.getTemplateId().equals("base") && !snapshots.containsKey(request.getTemplateId())) {
            observer.onError(failure(Status.NOT_FOUND, "not_found", "There is no such template."));
            return;
        }
        try {
            Files.createDirectories(directory(request.getSandboxId()));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        createdAt.put(request.getSandboxId(), Instant.now());
        timeouts.put(request.getSandboxId(), request.getTimeoutSec());
        sandboxes.put(request.getSandboxId(), request);
        statuses.put(request.getSandboxId(), SandboxStatus.RUNNING);
        observer.onNext(CreateSandboxResponse.newBuilder()
                .setStatus(SandboxStatus.RUNNING)
                .setHostIp("10.11.0." + (sandboxes.size() % 250 + 1))
                .build());
        observer.onCompleted();
    }

    @Override
    public void destroySandbox(SandboxRequest request, StreamObserver<Empty> observer) {
        destroys.incrementAndGet();
        Optional<Status> failure = onDestroy.apply(request.getSandboxId());
        if (failure.isPresent()) {
            observer.onError(failure.get().asException());
            return;
        }
        vanish(request.getSandboxId());
        observer.onNext(Empty.getDefaultInstance());
        observer.onCompleted();
    }

    /** The sandbox is gone, and nobody has been told. */
    public void vanish(String sandbox) {
        if (sandboxes.remove(sandbox) != null) {
            TestDatabase.delete(directory(sandbox));
        }
        statuses.remove(sandbox);
        autoPaused.remove(sandbox);
    }

    // ---- pause, resume, snapshots

    /** An operation on one sandbox, one at a time. */
    private <T> void operate(String id, StreamObserver<T> observer, Operation<T> operation) {
        ReentrantLock lock = locks.computeIfAbsent(id, key -> new ReentrantLock());
        T answer;
        lock.lock();
        try {
            if (sandbox(id, observer).isEmpty()) {
                return;
            }
            answer = operation.run(statuses.getOrDefault(id, SandboxStatus.RUNNING));
        } catch (StatusException e) {
            observer.onError(e);
            return;
        } finally {
            lock.unlock();
        }
        if (answerLost.isPresent()) {
            observer.onError(answerLost.get().asException());
            return;
        }
        observer.onNext(answer);
        observer.onCompleted();
    }

    private interface Operation<T> {
        T run(SandboxStatus status) throws StatusException;
    }

    private static StatusException wrongState(String id, SandboxStatus status) {
        return failure(
                Status.FAILED_PRECONDITION,
                "invalid_state",
                "Sandbox " + id + " is " + status.name().toLowerCase(Locale.ROOT) + ".");
    }

    private static void refuse(Optional<Status> refusal) throws StatusException {
        if (refusal.isPresent()) {
            throw refusal.get().asException();
        }
    }

    @Override
    public void pauseSandbox(SandboxRequest request, StreamObserver<Empty> observer) {
        String id = request.getSandboxId();
        operate(id, observer, status -> {
            switch (status) {
                case PAUSED -> {}
                case RUNNING -> {
                    statuses.put(id, SandboxStatus.PAUSING);
                    try {
                        refuse(onPause.apply(id));
                    } catch (StatusException e) {
                        statuses.put(id, SandboxStatus.RUNNING);
                        throw e;
                    }
                    pauses.incrementAndGet();
                    statuses.put(id, SandboxStatus.PAUSED);
                }
                default -> throw wrongState(id, status);
            }
            return Empty.getDefaultInstance();
        });
    }

    @Override
    public void resumeSandbox(ResumeSandboxRequest request, StreamObserver<ResumeSandboxResponse> observer) {
        String id = request.getSandboxId();
        operate(id, observer, status -> {
            boolean cold = request.getCold() || status == SandboxStatus.STOPPED;
            switch (status) {
                case RUNNING -> cold = false;
                case PAUSED, STOPPED -> {
                    statuses.put(id, SandboxStatus.RESUMING);
                    try {
                        refuse(onResume.apply(id));
                    } catch (Refused refused) {
                        statuses.put(id, status);
                        throw refused.status;
                    } catch (StatusException e) {
                        statuses.put(id, status);
                        throw e;
                    }
                    resumes.incrementAndGet();
                    autoPaused.remove(id);
                    timeouts.put(id, request.getTimeoutSec());
                    statuses.put(id, SandboxStatus.RUNNING);
                }
                default -> throw wrongState(id, status);
            }
            return ResumeSandboxResponse.newBuilder()
                    .setStatus(SandboxStatus.RUNNING)
                    .setHostIp("10.11.0.9")
                    .setCold(cold)
                    .build();
        });
    }

    /** With an error code that the status alone does not tell. */
    public void refuseResumes(String code, String message) {
        onResume = id -> {
            throw new Refused(failure(Status.FAILED_PRECONDITION, code, message));
        };
    }

    private static final class Refused extends RuntimeException {
        private static final long serialVersionUID = 1;
        private final StatusException status;

        Refused(StatusException status) {
            this.status = status;
        }
    }

    /** As the agent does with an idle sandbox, telling nobody. */
    public void autoPause(String id) {
        statuses.put(id, SandboxStatus.PAUSED);
        autoPaused.add(id);
    }

    @Override
    public void createSnapshot(CreateSnapshotRequest request, StreamObserver<CreateSnapshotResponse> observer) {
        String id = request.getSandboxId();
        operate(id, observer, status -> {
            if (snapshots.containsKey(request.getSnapshotId())) {
                throw failure(Status.ALREADY_EXISTS, "already_exists", "The snapshot exists.");
            }
            if (status != SandboxStatus.RUNNING && status != SandboxStatus.PAUSED) {
                throw wrongState(id, status);
            }
            refuse(onSnapshot.apply(request));
            snapshots.put(request.getSnapshotId(), request);
            if (request.getLeavePaused()) {
                statuses.put(id, SandboxStatus.PAUSED);
            }
            CreateSandboxRequest created = Objects.requireNonNull(sandboxes.get(id));
            return CreateSnapshotResponse.newBuilder()
                    .setSizeBytes(12_345_678)
                    .setVcpus(created.getVcpus())
                    .setMemoryMb(created.getMemoryMb())
                    .build();
        });
    }

    @Override
    public void deleteSnapshot(SnapshotRequest request, StreamObserver<Empty> observer) {
        Optional<Status> refusal = onDeleteSnapshot.apply(request.getSnapshotId());
        if (refusal.isPresent()) {
            observer.onError(refusal.get().asException());
            return;
        }
        snapshots.remove(request.getSnapshotId());
        observer.onNext(Empty.getDefaultInstance());
        observer.onCompleted();
    }

    @Override
    public void listSnapshots(Empty request, StreamObserver<ListSnapshotsResponse> observer) {
        ListSnapshotsResponse.Builder answer =
                ListSnapshotsResponse.newBuilder().setInstallationId(listedInstallation);
        snapshots
                .keySet()
                .forEach(id -> answer.addSnapshots(SnapshotInfo.newBuilder()
                        .setSnapshotId(id)
                        .setCreatedAt(timestamp(createdAt.getOrDefault(id, Instant.EPOCH)))));
        observer.onNext(answer.build());
        observer.onCompleted();
    }

    @Override
    public void pingSandbox(SandboxRequest request, StreamObserver<Empty> observer) {
        if (running(request.getSandboxId(), observer).isEmpty()) {
            return;
        }
        pings.incrementAndGet();
        observer.onNext(Empty.getDefaultInstance());
        observer.onCompleted();
    }

    @Override
    public void listSandboxes(Empty request, StreamObserver<ListSandboxesResponse> observer) {
        ListSandboxesResponse.Builder answer =
                ListSandboxesResponse.newBuilder().setInstallationId(listedInstallation);
        sandboxes.forEach((id, created) -> answer.addSandboxes(SandboxInfo.newBuilder()
                .setSandboxId(id)
                .setStatus(statuses.getOrDefault(id, SandboxStatus.RUNNING))
                .setTemplateId(created.getTemplateId())
                .setHostIp("10.11.0.9")
                .setError(statuses.get(id) == SandboxStatus.STOPPED ? "It powered off." : "")
                .setCreatedAt(timestamp(createdAt.getOrDefault(id, Instant.EPOCH)))));
        answer.addAllAutoPausedSandboxIds(autoPaused);
        observer.onNext(answer.build());
        observer.onCompleted();
    }

    private static Timestamp timestamp(Instant instant) {
        return Timestamp.newBuilder()
                .setSeconds(instant.getEpochSecond())
                .setNanos(instant.getNano())
                .build();
    }

    // ---- exec

    private Optional<CreateSandboxRequest> running(String id, StreamObserver<?> observer) {
        return sandbox(id, observer).filter(found -> {
            SandboxStatus status = statuses.getOrDefault(id, SandboxStatus.RUNNING);
            if (status != SandboxStatus.RUNNING) {
                observer.onError(wrongState(id, status));
            }
            return status == SandboxStatus.RUNNING;
        });
    }

    private Optional<CreateSandboxRequest> sandbox(String id, StreamObserver<?> observer) {
        Optional<CreateSandboxRequest> found = Optional.ofNullable(sandboxes.get(id));
        if (found.isEmpty()) {
            observer.onError(Status.NOT_FOUND
                    .withDescription("There is no such sandbox.")
                    .asException());
        }
        return found;
    }

    private FakeExec start(CreateSandboxRequest sandbox, ExecSpec spec, boolean keepAll) throws IOException {
        FakeExec exec = new FakeExec(spec, sandbox.getEnvMap(), directory(sandbox.getSandboxId()), keepAll);
        execs.put(spec.getExecId(), exec);
        return exec;
    }

    @Override
    public void exec(ExecRequest request, StreamObserver<ExecResponse> observer) {
        Optional<CreateSandboxRequest> sandbox = running(request.getSandboxId(), observer);
        if (sandbox.isEmpty()) {
            return;
        }
        long began = System.nanoTime();
        try {
            FakeExec exec = start(sandbox.get(), request.getSpec(), true);
            try {
                exec.stdin(request.getStdin());
                exec.closeStdin();
            } catch (IOException e) {
                // the command did not want it
            }
            Exited exited = exec.awaitExit();
            observer.onNext(ExecResponse.newBuilder()
                    .setStdout(ByteString.copyFrom(exec.output(OutputStream.STDOUT)))
                    .setStderr(ByteString.copyFrom(exec.output(OutputStream.STDERR)))
                    .setExitCode(exited.getExitCode())
                    .setSignal(exited.getSignal())
                    .setTimedOut(exited.getTimedOut())
                    .setDurationMicros((System.nanoTime() - began) / 1000)
                    .build());
            observer.onCompleted();
        } catch (IOException | InterruptedException e) {
            observer.onError(
                    Status.INTERNAL.withDescription("/secret/host/path " + e).asException());
        }
    }

    @Override
    public StreamObserver<ExecStreamRequest> execStream(StreamObserver<ExecStreamResponse> observer) {
        var to = (ServerCallStreamObserver<ExecStreamResponse>) observer;
        return new StreamObserver<>() {
            private @Nullable FakeExec exec;

            @Override
            public void onNext(ExecStreamRequest request) {
                try {
                    FakeExec current = exec;
                    if (current == null) {
                        exec = begin(request, to);
                        return;
                    }
                    switch (request.getKindCase()) {
                        case STDIN -> current.stdin(request.getStdin());
                        case CLOSE_STDIN -> current.closeStdin();
                        case SIGNAL -> current.signal(request.getSignal());
                        case STOP -> current.kill();
                        default -> {}
                    }
                } catch (IOException e) {
                    // the process is gone: the output tells
                }
            }

            @Override
            public void onError(Throwable t) {
                FakeExec current = exec;
                if (current != null) {
                    current.detachAll();
                }
            }

            @Override
            public void onCompleted() {}
        };
    }

    private @Nullable FakeExec begin(ExecStreamRequest request, ServerCallStreamObserver<ExecStreamResponse> to)
            throws IOException {
        String id = request.hasStart()
                ? request.getStart().getSandboxId()
                : request.getAttach().getSandboxId();
        Optional<CreateSandboxRequest> sandbox = running(id, to);
        if (sandbox.isEmpty()) {
            return null;
        }
        FakeExec exec = request.hasStart()
                ? start(sandbox.get(), request.getStart().getSpec(), false)
                : execs.get(request.getAttach().getExecId());
        if (exec == null) {
            to.onError(
                    Status.NOT_FOUND.withDescription("There is no such exec.").asException());
            return null;
        }
        long after = request.getAttach().getAfterSeq();
        calls.execute(() -> {
            try {
                exec.deliver(after, to);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            } catch (StatusRuntimeException e) {
                // the reader has left
            }
        });
        return exec;
    }

    /** Bytes an exec has printed so far. */
    public long printed(String exec) {
        return Objects.requireNonNull(execs.get(exec)).bytesSoFar();
    }

    @Override
    public void listExecs(SandboxRequest request, StreamObserver<ListExecsResponse> observer) {
        if (running(request.getSandboxId(), observer).isEmpty()) {
            return;
        }
        ListExecsResponse.Builder answer = ListExecsResponse.newBuilder();
        execs.values().forEach(exec -> answer.addExecs(exec.info()));
        observer.onNext(answer.build());
        observer.onCompleted();
    }

    @Override
    public void killExec(KillExecRequest request, StreamObserver<Empty> observer) {
        FakeExec exec = execs.get(request.getExecId());
        if (exec == null) {
            observer.onError(
                    Status.NOT_FOUND.withDescription("There is no such exec.").asException());
            return;
        }
        exec.kill();
        observer.onNext(Empty.getDefaultInstance());
        observer.onCompleted();
    }

    // ---- files

    /** Below this nobody may do anything. */
    public static final String FORBIDDEN = "/forbidden";

    private Path guestPath(String sandbox, String path) throws AccessDeniedException {
        if (path.startsWith(FORBIDDEN)) {
            throw new AccessDeniedException(path);
        }
        Path inside = Path.of(path).normalize(); // nothing is above the root
        return directory(sandbox).resolve(Path.of("/").relativize(inside));
    }

    private static StatusException failure(Status status, String code, String message) {
        Metadata trailers = new Metadata();
        trailers.put(Metadata.Key.of("sandglass-error", Metadata.ASCII_STRING_MARSHALLER), code);
        return status.withDescription(message).asException(trailers);
    }

    private static StatusException failure(IOException e) {
        return switch (e) {
            case NoSuchFileException missing -> failure(Status.NOT_FOUND, "not_found", "There is no such file.");
            case FileAlreadyExistsException exists ->
                failure(Status.FAILED_PRECONDITION, "already_exists", "It exists already.");
            case AccessDeniedException denied ->
                failure(Status.PERMISSION_DENIED, "forbidden", "The file may not be read.");
            default -> failure(Status.INVALID_ARGUMENT, "invalid_request", "It is not a file or not a directory.");
        };
    }

    @Override
    public StreamObserver<WriteFileRequest> streamWriteFile(StreamObserver<Empty> observer) {
        return new StreamObserver<>() {
            private @Nullable Path target;
            private @Nullable Path temporary;
            private java.io.@Nullable OutputStream out;
            private boolean over;

            @Override
            public void onNext(WriteFileRequest request) {
                if (over) {
                    return;
                }
                try {
                    switch (request.getKindCase()) {
                        case TARGET -> open(request.getTarget());
                        case DATA -> write(request.getData());
                        case COMMIT -> commit();
                        case KIND_NOT_SET -> {}
                    }
                } catch (IOException e) {
                    over = true;
                    observer.onError(failure(e));
                }
            }

            private void open(WriteTarget sent) throws IOException {
                if (running(sent.getSandboxId(), observer).isEmpty()) {
                    over = true;
                    return;
                }
                Path path = guestPath(sent.getSandboxId(), sent.getPath());
                if (Files.isDirectory(path)) {
                    throw new IOException("is a directory");
                }
                Files.createDirectories(Objects.requireNonNull(path.getParent()));
                target = path;
                temporary = Files.createTempFile(path.getParent(), ".upload", "");
                out = Files.newOutputStream(temporary);
            }

            private void write(ByteString data) throws IOException {
                written.addAndGet(data.size());
                if (written.get() > diskBytes) {
                    over = true;
                    discard();
                    observer.onError(failure(Status.RESOURCE_EXHAUSTED, "disk_full", "The sandbox's disk is full."));
                    return;
                }
                data.writeTo(Objects.requireNonNull(out));
            }

            private void commit() throws IOException {
                Objects.requireNonNull(out).close();
                Files.move(
                        Objects.requireNonNull(temporary),
                        Objects.requireNonNull(target),
                        StandardCopyOption.REPLACE_EXISTING);
                temporary = null;
                observer.onNext(Empty.getDefaultInstance());
                observer.onCompleted();
                over = true;
            }

            private void discard() {
                try {
                    if (temporary != null) {
                        Files.deleteIfExists(temporary);
                        temporary = null;
                    }
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }

            @Override
            public void onError(Throwable t) {
                discard();
            }

            @Override
            public void onCompleted() {
                discard();
            }
        };
    }

    @Override
    public void streamReadFile(ReadFileRequest request, StreamObserver<ReadFileResponse> observer) {
        var to = (ServerCallStreamObserver<ReadFileResponse>) observer;
        if (running(request.getSandboxId(), observer).isEmpty()) {
            return;
        }
        try {
            Path path = guestPath(request.getSandboxId(), request.getPath());
            FileInfo info = info(path);
            if (!info.getType().equals("file")) {
                throw new IOException("a directory");
            }
            try (var in = Files.newInputStream(path)) {
                to.onNext(ReadFileResponse.newBuilder().setInfo(info).build());
                in.skipNBytes(Math.min(request.getOffset(), info.getSize()));
                long left = request.getLength() == 0 ? Long.MAX_VALUE : request.getLength();
                byte[] buffer = new byte[64 << 10];
                for (int n = in.read(buffer, 0, (int) Math.min(left, buffer.length));
                        n > 0;
                        n = in.read(buffer, 0, (int) Math.min(left, buffer.length))) {
                    while (!to.isReady() && !to.isCancelled()) {
                        Thread.sleep(1);
                    }
                    if (to.isCancelled()) {
                        return;
                    }
                    left -= n;
                    sent.addAndGet(n);
                    to.onNext(ReadFileResponse.newBuilder()
                            .setData(ByteString.copyFrom(buffer, 0, n))
                            .build());
                    if (sent.get() > breakAfter) {
                        to.onError(Status.INTERNAL
                                .withDescription("read /secret/path failed")
                                .asException());
                        return;
                    }
                }
                to.onCompleted();
            }
        } catch (IOException e) {
            to.onError(failure(e));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static FileInfo info(Path path) throws IOException {
        var attributes = Files.readAttributes(path, PosixFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
        FileInfo.Builder info = FileInfo.newBuilder()
                .setName(String.valueOf(path.getFileName()))
                .setType(attributes.isDirectory() ? "directory" : attributes.isSymbolicLink() ? "symlink" : "file")
                .setSize(attributes.size())
                .setMode((int) Files.getAttribute(path, "unix:mode", LinkOption.NOFOLLOW_LINKS) & 07777)
                .setOwner(attributes.owner().getName())
                .setGroup(attributes.group().getName())
                .setModifiedAt(Timestamp.newBuilder()
                        .setSeconds(attributes.lastModifiedTime().toMillis() / 1000));
        if (attributes.isSymbolicLink()) {
            info.setSymlinkTarget(Files.readSymbolicLink(path).toString());
        }
        return info.build();
    }

    @Override
    public void listDirectory(PathRequest request, StreamObserver<ListDirectoryResponse> observer) {
        answer(observer, request.getSandboxId(), () -> {
            try (var entries = Files.list(guestPath(request.getSandboxId(), request.getPath()))) {
                ListDirectoryResponse.Builder answer = ListDirectoryResponse.newBuilder();
                for (Path entry : entries.sorted().toList()) {
                    answer.addEntries(info(entry));
                }
                return answer.build();
            }
        });
    }

    @Override
    public void makeDirectory(PathRequest request, StreamObserver<Empty> observer) {
        answer(observer, request.getSandboxId(), () -> {
            Files.createDirectories(guestPath(request.getSandboxId(), request.getPath()));
            return Empty.getDefaultInstance();
        });
    }

    @Override
    public void move(MoveRequest request, StreamObserver<Empty> observer) {
        answer(observer, request.getSandboxId(), () -> {
            Files.move(
                    guestPath(request.getSandboxId(), request.getFrom()),
                    guestPath(request.getSandboxId(), request.getTo()));
            return Empty.getDefaultInstance();
        });
    }

    @Override
    public void remove(PathRequest request, StreamObserver<Empty> observer) {
        answer(observer, request.getSandboxId(), () -> {
            Path path = guestPath(request.getSandboxId(), request.getPath());
            if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
                throw new NoSuchFileException(path.toString());
            }
            TestDatabase.delete(path);
            return Empty.getDefaultInstance();
        });
    }

    private interface Work<T> {
        T run() throws IOException;
    }

    private <T> void answer(StreamObserver<T> observer, String sandbox, Work<T> work) {
        if (running(sandbox, observer).isEmpty()) {
            return;
        }
        try {
            observer.onNext(work.run());
            observer.onCompleted();
        } catch (IOException e) {
            observer.onError(failure(e));
        }
    }

    @Override
    public void close() {
        execs.values().forEach(FakeExec::kill);
        channel.shutdownNow();
        server.shutdownNow();
        try {
            server.awaitTermination();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        calls.shutdown();
        TestDatabase.delete(root);
    }
}
