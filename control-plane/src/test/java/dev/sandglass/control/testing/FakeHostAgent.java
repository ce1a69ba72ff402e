package dev.sandglass.control.testing;

import com.google.protobuf.Timestamp;
import dev.sandglass.contract.host.v1.CreateSandboxRequest;
import dev.sandglass.contract.host.v1.CreateSandboxResponse;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.HandshakeRequest;
import dev.sandglass.contract.host.v1.HandshakeResponse;
import dev.sandglass.contract.host.v1.HostAgentServiceGrpc.HostAgentServiceImplBase;
import dev.sandglass.contract.host.v1.HostCapacity;
import dev.sandglass.contract.host.v1.ListSandboxesResponse;
import dev.sandglass.contract.host.v1.SandboxInfo;
import dev.sandglass.contract.host.v1.SandboxRequest;
import dev.sandglass.contract.host.v1.SandboxStatus;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;

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

    /** Runs before a create does anything; what it answers is the failure. */
    public volatile Function<CreateSandboxRequest, Optional<Status>> onCreate = request -> Optional.empty();

    /** As onCreate. */
    public volatile Function<String, Optional<Status>> onDestroy = id -> Optional.empty();

    public volatile HostCapacity capacity = HostCapacity.newBuilder()
            .setVcpus(8)
            .setMemoryMb(16_384)
            .setMemoryAvailableMb(8_192)
            .setDiskFreeBytes(100L << 30)
            .setAccelerator("tcg")
            .build();

    private final Path root;
    private final ExecutorService calls = Executors.newThreadPerTaskExecutor(
            Thread.ofVirtual().name("fake-agent-", 0).factory());
    private final Server server;
    private final ManagedChannel channel;

    public FakeHostAgent(String hostId, String installation) {
        this.hostId = hostId;
        this.installation = installation;
        try {
            root = Files.createTempDirectory("sandglass-fake-agent-");
            String name = hostId + "-" + System.nanoTime();
            server = InProcessServerBuilder.forName(name)
                    .executor(calls)
                    .addService(this)
                    .build()
                    .start();
            channel = InProcessChannelBuilder.forName(name).executor(calls).build();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
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
        try {
            Files.createDirectories(directory(request.getSandboxId()));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
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
    }

    @Override
    public void pingSandbox(SandboxRequest request, StreamObserver<Empty> observer) {
        if (!sandboxes.containsKey(request.getSandboxId())) {
            observer.onError(Status.NOT_FOUND
                    .withDescription("There is no such sandbox.")
                    .asException());
            return;
        }
        pings.incrementAndGet();
        observer.onNext(Empty.getDefaultInstance());
        observer.onCompleted();
    }

    @Override
    public void listSandboxes(Empty request, StreamObserver<ListSandboxesResponse> observer) {
        ListSandboxesResponse.Builder answer =
                ListSandboxesResponse.newBuilder().setInstallationId(installation);
        sandboxes.forEach((id, created) -> answer.addSandboxes(SandboxInfo.newBuilder()
                .setSandboxId(id)
                .setStatus(statuses.getOrDefault(id, SandboxStatus.RUNNING))
                .setTemplateId(created.getTemplateId())
                .setHostIp("10.11.0.9")
                .setError(statuses.get(id) == SandboxStatus.STOPPED ? "It powered off." : "")
                .setCreatedAt(Timestamp.getDefaultInstance())));
        observer.onNext(answer.build());
        observer.onCompleted();
    }

    @Override
    public void close() {
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
