package dev.sandglass.cli.server;

import dev.sandglass.contract.Installation;
import dev.sandglass.contract.host.v1.HostRegistryServiceGrpc;
import dev.sandglass.contract.host.v1.HostRegistryServiceGrpc.HostRegistryServiceBlockingStub;
import dev.sandglass.contract.host.v1.RegisterRequest;
import dev.sandglass.host.agent.HostAgent;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;
import java.net.InetSocketAddress;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Tells the control plane's registry, again and again, that this host is there. Runs on a thread of its own. */
final class Registration implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Registration.class);
    /** As in host_agent.proto. */
    private static final int PROTOCOL = 1;

    private static final long CALL_SECONDS = 5;
    private static final long RETRY_MILLIS = 2_000;
    private static final long INTERVAL_MILLIS_MIN = 500;
    private static final long INTERVAL_MILLIS_MAX = 60_000;

    private final String registry;
    private final String address;
    private final Installation installation;
    private final HostAgent agent;
    private final ManagedChannel channel;
    private final Thread thread;

    Registration(InetSocketAddress registry, Installation installation, HostAgent agent, String address) {
        this.registry = registry.getHostString() + ":" + registry.getPort();
        this.address = address;
        this.installation = installation;
        this.agent = agent;
        this.channel = Grpc.newChannelBuilder(this.registry, InsecureChannelCredentials.create())
                .build();
        this.thread = Thread.ofPlatform().daemon().name("registration").start(this::repeat);
    }

    String registry() {
        return registry;
    }

    String address() {
        return address;
    }

    private void repeat() {
        HostRegistryServiceBlockingStub stub = HostRegistryServiceGrpc.newBlockingStub(channel)
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(credentials()));
        String lastProblem = "";
        boolean registered = false;
        while (!Thread.currentThread().isInterrupted()) {
            long pause = RETRY_MILLIS;
            try {
                pause = stub.withDeadlineAfter(CALL_SECONDS, TimeUnit.SECONDS)
                        .register(request())
                        .getHeartbeatIntervalMs();
                if (!registered) {
                    log.info("registered at {}", registry);
                }
                registered = true;
                lastProblem = "";
            } catch (StatusRuntimeException e) {
                registered = false;
                String problem = e.getStatus().getCode() + " " + e.getStatus().getDescription();
                if (!problem.equals(lastProblem)) { // once, not every two seconds
                    log.warn("cannot register at {}: {}", registry, problem);
                    lastProblem = problem;
                }
            }
            try {
                Thread.sleep(Math.clamp(pause, INTERVAL_MILLIS_MIN, INTERVAL_MILLIS_MAX));
            } catch (InterruptedException e) {
                return;
            }
        }
    }

    private RegisterRequest request() {
        return RegisterRequest.newBuilder()
                .setHostId(agent.hostId())
                .setAddress(address)
                .setInstallationId(installation.id())
                .setProtocol(PROTOCOL)
                .setVersion(HostAgent.VERSION)
                .setCapacity(agent.capacity())
                .build();
    }

    private Metadata credentials() {
        Metadata metadata = new Metadata();
        metadata.put(
                Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
                "Bearer " + installation.agentToken());
        metadata.put(Metadata.Key.of("sandglass-installation", Metadata.ASCII_STRING_MARSHALLER), installation.id());
        return metadata;
    }

    @Override
    public void close() {
        thread.interrupt();
        channel.shutdownNow();
    }
}
