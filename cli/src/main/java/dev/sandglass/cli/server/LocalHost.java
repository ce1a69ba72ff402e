package dev.sandglass.cli.server;

import dev.sandglass.contract.Installation;
import dev.sandglass.contract.Progress;
import dev.sandglass.control.EmbeddedAgent;
import dev.sandglass.control.observe.Telemetry;
import dev.sandglass.host.agent.HostAgent;
import dev.sandglass.host.image.ImageBuilder;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/** A host agent in this process, with the images it needs, reached through an in-process channel. */
final class LocalHost implements AutoCloseable {
    private static final long SHUTDOWN_SECONDS = 10;

    private final HostAgent agent;
    private final ExecutorService calls = Executors.newVirtualThreadPerTaskExecutor();
    private final Server server;
    private final ManagedChannel channel;

    private LocalHost(HostAgent agent, String name) throws IOException {
        this.agent = agent;
        this.server = InProcessServerBuilder.forName(name)
                .executor(calls)
                .addService(agent.service())
                .build()
                .start();
        this.channel = InProcessChannelBuilder.forName(name).executor(calls).build();
    }

    static LocalHost start(ServerSettings settings, Progress progress) throws IOException {
        Home home = settings.settings().home();
        Installation installation = settings.control().installation();
        Telemetry.collectProcess();
        HostAgent agent = HostAgent.start(settings.host().configuration(home, installation), progress);
        try {
            return new LocalHost(agent, "host-agent-" + installation.id());
        } catch (IOException | RuntimeException e) {
            agent.close();
            throw e;
        }
    }

    /** Builds what has changed of guest agent and images. */
    static void buildImages(Path root, Home home, Progress progress) throws IOException {
        progress.step("building the guest agent");
        run(List.of("make", "-s", "-C", root.resolve("guest-agent").toString()));
        progress.step("checking the images");
        new ImageBuilder(
                        root.resolve("images"),
                        root.resolve("guest-agent/build/sandglass-guest-agent"),
                        home.path().resolve("images"))
                .build(progress);
    }

    private static void run(List<String> argv) throws IOException {
        Process process = new ProcessBuilder(argv).redirectErrorStream(true).start();
        process.getOutputStream().close();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        try {
            if (process.waitFor() != 0) {
                throw new IOException("`" + String.join(" ", argv) + "` failed:\n" + output);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
    }

    HostAgent agent() {
        return agent;
    }

    EmbeddedAgent embedded() {
        return new EmbeddedAgent(channel, agent.hostId());
    }

    /** Calls first, then the agent; its VMs live on. */
    @Override
    public void close() {
        channel.shutdown();
        server.shutdown();
        try {
            if (!server.awaitTermination(SHUTDOWN_SECONDS, TimeUnit.SECONDS)) {
                server.shutdownNow();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            server.shutdownNow();
        }
        channel.shutdownNow();
        agent.close();
        calls.shutdown();
    }
}
