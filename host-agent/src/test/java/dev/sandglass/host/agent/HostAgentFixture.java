package dev.sandglass.host.agent;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.Id.ExecId;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.host.v1.CreateSandboxRequest;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.ExecRequest;
import dev.sandglass.contract.host.v1.ExecResponse;
import dev.sandglass.contract.host.v1.ExecSpec;
import dev.sandglass.contract.host.v1.HostAgentServiceGrpc;
import dev.sandglass.contract.host.v1.HostAgentServiceGrpc.HostAgentServiceBlockingStub;
import dev.sandglass.contract.host.v1.SandboxInfo;
import dev.sandglass.contract.host.v1.SandboxRequest;
import dev.sandglass.host.linux.Command;
import dev.sandglass.host.vmm.TestImages;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** The host agent as the control plane uses it, with real VMs: over gRPC, in this process. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
abstract class HostAgentFixture {
    static final String INSTALLATION =
            "hatest" + Long.toString(ProcessHandle.current().pid(), 36) + "00";
    static final String TOKEN = "t".repeat(32);

    Path home;
    Running running;

    /** What differs from the standard of these tests. */
    HostAgentConfiguration configuration(HostAgentConfiguration standard) {
        return standard;
    }

    /** Whether the standard template is frozen at each start. */
    boolean freezes() {
        return true;
    }

    /** An agent with a server and a channel to it. */
    record Running(HostAgent agent, Server server, ManagedChannel channel) {
        static Running start(HostAgentConfiguration configuration, boolean freezes) throws IOException {
            HostAgent agent = HostAgent.start(configuration, Progress.SILENT);
            if (freezes) {
                agent.ensureDefaultTemplate(Progress.SILENT);
            }
            String name = InProcessServerBuilder.generateName();
            Server server = InProcessServerBuilder.forName(name)
                    .executor(Executors.newVirtualThreadPerTaskExecutor())
                    .addService(agent.service())
                    .build()
                    .start();
            return new Running(
                    agent, server, InProcessChannelBuilder.forName(name).build());
        }

        /** VMs go on. */
        void stop() {
            channel.shutdownNow();
            server.shutdownNow();
            agent.close();
        }
    }

    @BeforeAll
    void startAgent(@TempDir Path directory) throws IOException {
        home = directory;
        TestImages.build();
        running = start();
    }

    void startAgain() throws IOException {
        running = start();
    }

    private Running start() throws IOException {
        return Running.start(
                configuration(new HostAgentConfiguration(
                        home,
                        INSTALLATION,
                        TOKEN,
                        TestImages.directory(),
                        Optional.empty(),
                        Optional.empty(),
                        2,
                        0,
                        1 << 20,
                        128,
                        4.0,
                        8L << 30,
                        2)),
                freezes());
    }

    @AfterEach
    void everySandboxIsGoneAndNothingIsLeft() throws IOException {
        running.agent().destroyAll(Progress.SILENT);
        try (Stream<Path> folders = Files.list(home.resolve("sandboxes"))) {
            assertThat(folders).isEmpty();
        }
        assertThat(ownProcesses()).isEmpty();
    }

    @AfterAll
    void stopAgentAndNothingIsLeft() {
        // Kernel objects are named after the host: "host", then the characters of which the first eight are used.
        String prefix = running.agent().hostId().substring(4, 12);
        assertThat(Command.of("ip", "netns", "list").run()).as("while it runs").contains(prefix);
        running.stop();
        assertThat(Command.of("ip", "netns", "list").run()).doesNotContain(prefix);
        assertThat(Command.of("nft", "list", "tables").run()).doesNotContain(prefix);
    }

    List<String> ownProcesses() {
        return Command.of("ps", "-eo", "args")
                .run()
                .lines()
                .filter(line -> line.contains(home.toString()) && !line.contains("java"))
                .toList();
    }

    // ---- Callers

    HostAgentServiceBlockingStub stub() {
        return stub(TOKEN, INSTALLATION);
    }

    HostAgentServiceBlockingStub stub(String token, String installation) {
        Metadata headers = new Metadata();
        headers.put(Authentication.AUTHORIZATION, "Bearer " + token);
        headers.put(Authentication.INSTALLATION, installation);
        return HostAgentServiceGrpc.newBlockingStub(running.channel())
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
    }

    HostAgentServiceGrpc.HostAgentServiceStub streams() {
        Metadata headers = new Metadata();
        headers.put(Authentication.AUTHORIZATION, "Bearer " + TOKEN);
        headers.put(Authentication.INSTALLATION, INSTALLATION);
        return HostAgentServiceGrpc.newStub(running.channel())
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers));
    }

    String create() {
        String id = SandboxId.random().value();
        stub().createSandbox(specification(id).build());
        return id;
    }

    static CreateSandboxRequest.Builder specification(String id) {
        return CreateSandboxRequest.newBuilder()
                .setSandboxId(id)
                .setVcpus(1)
                .setMemoryMb(512)
                .putEnv("WHERE", "sandbox");
    }

    ExecResponse exec(String id, String... argv) {
        return stub().exec(ExecRequest.newBuilder()
                .setSandboxId(id)
                .setSpec(ExecSpec.newBuilder()
                        .addAllArgv(List.of(argv))
                        .setExecId(ExecId.random().value())
                        .setTimeoutMs(20_000))
                .build());
    }

    static SandboxRequest sandbox(String id) {
        return SandboxRequest.newBuilder().setSandboxId(id).build();
    }

    Optional<SandboxInfo> listed(String id) {
        return stub().listSandboxes(Empty.getDefaultInstance()).getSandboxesList().stream()
                .filter(info -> info.getSandboxId().equals(id))
                .findFirst();
    }

    /** Collects a stream of responses. */
    static final class Collected<T> implements StreamObserver<T> {
        final BlockingQueue<Object> events = new LinkedBlockingQueue<>();

        @Override
        public void onNext(T value) {
            events.add(value);
        }

        @Override
        public void onError(Throwable failure) {
            events.add(failure);
        }

        @Override
        public void onCompleted() {
            events.add("completed");
        }

        Object await() throws InterruptedException {
            Object event = events.poll(30, TimeUnit.SECONDS);
            assertThat(event).as("an event within 30 s").isNotNull();
            return event;
        }
    }

    static Status status(Throwable failure) {
        return ((StatusRuntimeException) failure).getStatus();
    }

    static void assertMachineEnded(Throwable failure) {
        StatusRuntimeException refused = (StatusRuntimeException) failure;
        assertThat(refused.getTrailers()).isNotNull();
        assertThat(refused.getTrailers().get(GrpcErrors.ERROR)).isEqualTo("agent_error");
        assertThat(refused.getStatus().getDescription()).contains("signal 9", "its disk is kept");
    }

    int pid(String id) throws IOException {
        String ledger = Files.readString(home.resolve("sandboxes/" + id + "/ledger.json"));
        Matcher pid = Pattern.compile("\"pid\":(\\d+)").matcher(ledger);
        assertThat(pid.find()).as(ledger).isTrue();
        return Integer.parseInt(pid.group(1));
    }

    void killMachine(String id) throws IOException {
        Command.of("kill", "-9", Integer.toString(pid(id))).run();
    }
}
