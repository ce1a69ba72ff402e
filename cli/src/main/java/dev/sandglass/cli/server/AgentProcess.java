package dev.sandglass.cli.server;

import dev.sandglass.cli.server.Home.Role;
import dev.sandglass.cli.server.Home.Running;
import dev.sandglass.contract.Progress;
import dev.sandglass.host.agent.HostAgent;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.file.Path;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** A host agent alone in this process: its gRPC service on an address, and its registration with the control plane. */
public final class AgentProcess implements AutoCloseable {
    private static final long SHUTDOWN_SECONDS = 10;
    /** Chunks of data are at most 64 KiB; this leaves room for lists. */
    private static final int MESSAGE_BYTES_MAX = 16 << 20;

    private final Home.Lock lock;
    private final HostAgent agent;
    private final ExecutorService calls = Executors.newVirtualThreadPerTaskExecutor();
    private final Server server;
    private final Registration registration;

    private AgentProcess(Home.Lock lock, HostAgent agent, ServerSettings settings) throws IOException {
        this.lock = lock;
        this.agent = agent;
        InetSocketAddress listen = settings.host().listen();
        try {
            this.server = NettyServerBuilder.forAddress(listen, InsecureServerCredentials.create())
                    .executor(calls)
                    .maxInboundMessageSize(MESSAGE_BYTES_MAX)
                    .addService(agent.service())
                    .build()
                    .start();
        } catch (IOException e) {
            throw new IOException(
                    "The agent cannot serve at " + listen.getHostString() + ":" + listen.getPort()
                            + ": stop what listens there, or set SANDGLASS_AGENT_ADDR to another address",
                    e);
        }
        String address = listen.getHostString() + ":" + server.getPort();
        this.registration =
                new Registration(registryOf(settings), settings.control().installation(), agent, address);
    }

    static AgentProcess open(Home.Lock lock, HostAgent agent, ServerSettings settings) throws IOException {
        return new AgentProcess(lock, agent, settings);
    }

    public static AgentProcess start(Settings plain, Path root, Progress progress) throws IOException {
        Home home = plain.home();
        home.create();
        Home.Lock lock = LocalServer.requireLock(home, Role.AGENT);
        ServerLog.toStderr(ServerSettings.log(plain));
        try {
            ServerSettings settings = ServerSettings.read(plain);
            LocalHost.buildImages(root, home, progress);
            HostAgent agent = HostAgent.start(
                    settings.host().configuration(home, settings.control().installation()), progress);
            try {
                agent.ensureDefaultTemplate(progress);
                AgentProcess process = open(lock, agent, settings);
                home.writeRunning(
                        Role.AGENT,
                        new Running(ProcessHandle.current().pid(), URI.create("grpc://" + process.address())));
                return process;
            } catch (IOException | RuntimeException e) {
                agent.close();
                throw e;
            }
        } catch (IOException | RuntimeException e) {
            lock.close();
            throw e;
        }
    }

    /** By default the control plane of the same machine, beside its API. */
    private static InetSocketAddress registryOf(ServerSettings settings) {
        InetSocketAddress api = settings.control().listen();
        return settings.host()
                .registry()
                .orElseGet(() -> new InetSocketAddress(
                        api.getAddress().isAnyLocalAddress() ? "127.0.0.1" : api.getHostString(),
                        api.getPort() % 65_535 + 1));
    }

    public String address() {
        return registration.address();
    }

    public String registry() {
        return registration.registry();
    }

    public String acceleration() {
        return agent.acceleration();
    }

    public int livingSandboxes() {
        return agent.livingSandboxes();
    }

    @Override
    public void close() {
        registration.close();
        server.shutdown();
        try {
            if (!server.awaitTermination(SHUTDOWN_SECONDS, TimeUnit.SECONDS)) {
                server.shutdownNow();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            server.shutdownNow();
        }
        try (lock) {
            agent.close();
        }
        calls.shutdown();
    }
}
