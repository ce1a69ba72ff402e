package dev.sandglass.control.host;

import dev.sandglass.contract.Installation;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.host.v1.HostRegistryServiceGrpc.HostRegistryServiceImplBase;
import dev.sandglass.contract.host.v1.RegisterRequest;
import dev.sandglass.contract.host.v1.RegisterResponse;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Where agents that are processes of their own register and send heartbeats. */
public final class HostRegistry implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(HostRegistry.class);
    private static final int MESSAGE_BYTES_MAX = 64 << 10;

    private final Server server;
    private final ExecutorService calls;

    private HostRegistry(Server server, ExecutorService calls) {
        this.server = server;
        this.calls = calls;
    }

    public static HostRegistry start(
            InetSocketAddress listen, Installation installation, HostDirectory directory, HostStore store) {
        ExecutorService calls = Executors.newThreadPerTaskExecutor(
                Thread.ofVirtual().name("registry-", 0).factory());
        Server server = NettyServerBuilder.forAddress(listen, InsecureServerCredentials.create())
                .executor(calls)
                .maxInboundMessageSize(MESSAGE_BYTES_MAX)
                .intercept(new AgentCredentials(installation))
                .addService(new Service(installation, directory, store))
                .build();
        try {
            server.start();
        } catch (IOException e) {
            calls.shutdown();
            throw new IllegalStateException(
                    "Host agents cannot register at " + listen.getHostString() + ":" + listen.getPort()
                            + ": stop what listens there, or set SANDGLASS_REGISTRY_ADDR to another address.",
                    e);
        }
        return new HostRegistry(server, calls);
    }

    public int port() {
        return server.getPort();
    }

    @Override
    public void close() {
        server.shutdown();
        try {
            if (!server.awaitTermination(5, TimeUnit.SECONDS)) {
                server.shutdownNow();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            server.shutdownNow();
        }
        calls.shutdown();
    }

    private static final class Service extends HostRegistryServiceImplBase {
        private final Installation installation;
        private final HostDirectory directory;
        private final HostStore store;

        Service(Installation installation, HostDirectory directory, HostStore store) {
            this.installation = installation;
            this.directory = directory;
            this.store = store;
        }

        @Override
        public void register(RegisterRequest request, StreamObserver<RegisterResponse> observer) {
            try {
                check(request);
                if (!directory.isConnected(request.getHostId(), request.getAddress())) {
                    directory.connect(request.getHostId(), request.getAddress());
                    log.atInfo()
                            .addKeyValue("host", request.getHostId())
                            .addKeyValue("address", request.getAddress())
                            .addKeyValue("version", request.getVersion())
                            .log("host registered");
                }
                directory.heardOf(request.getHostId());
                store.heartbeat(
                        request.getHostId(),
                        Optional.of(request.getAddress()),
                        request.getVersion(),
                        request.getCapacity());
                observer.onNext(RegisterResponse.newBuilder()
                        .setHeartbeatIntervalMs((int) HostMonitor.HEARTBEAT.toMillis())
                        .build());
                observer.onCompleted();
            } catch (IllegalArgumentException e) {
                observer.onError(
                        Status.INVALID_ARGUMENT.withDescription(e.getMessage()).asException());
            } catch (PlatformException e) {
                observer.onError(Status.FAILED_PRECONDITION
                        .withDescription("the agent cannot be used at " + request.getAddress() + ": " + e.reason())
                        .asException());
            } catch (IllegalStateException e) {
                observer.onError(Status.FAILED_PRECONDITION
                        .withDescription(e.getMessage())
                        .asException());
            }
        }

        private void check(RegisterRequest request) {
            if (!request.getInstallationId().equals(installation.id())) {
                throw new IllegalStateException("this is another installation");
            }
            if (request.getProtocol() < HostDirectory.PROTOCOL) {
                throw new IllegalStateException("the agent's protocol is older than this control plane speaks");
            }
            if (!request.getHostId().matches("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")) {
                throw new IllegalArgumentException("not a host id");
            }
            if (!request.getAddress().matches("[A-Za-z0-9.:\\[\\]-]{1,255}:[0-9]{1,5}")) {
                throw new IllegalArgumentException("not an address like 10.0.0.2:9100");
            }
        }
    }
}
