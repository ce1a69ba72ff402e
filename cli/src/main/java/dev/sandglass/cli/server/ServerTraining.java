package dev.sandglass.cli.server;

import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.ApiFailure;
import dev.sandglass.cli.client.CreateRequest;
import dev.sandglass.cli.machine.Machine;
import dev.sandglass.contract.Installation;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.host.v1.HandshakeRequest;
import dev.sandglass.contract.host.v1.HandshakeResponse;
import dev.sandglass.contract.host.v1.HostAgentServiceGrpc.HostAgentServiceImplBase;
import dev.sandglass.control.ControlPlane;
import dev.sandglass.control.EmbeddedAgent;
import dev.sandglass.host.linux.Linux;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Stream;

/**
 * A server's start and first requests, gone through once by the build for the JVM to learn what they load (its AOT
 * cache): a control plane with a database of its own in a temporary home, and an agent that has no machines. What the
 * real agent does needs root and changes the machine, so it is left out.
 */
public final class ServerTraining {
    private static final String HOST = "host00000000000000000000";

    private ServerTraining() {}

    public static void run() throws IOException {
        Path home = Files.createTempDirectory("sandglass-training-");
        try {
            // The database's user has to get through.
            Files.setPosixFilePermissions(home, PosixFilePermissions.fromString("rwx--x--x"));
            run(new Settings(Map.of("SANDGLASS_HOME", home.toString(), "CP_LISTEN_ADDR", "127.0.0.1:0")));
        } finally {
            remove(home);
        }
    }

    private static void run(Settings plain) throws IOException {
        Home home = plain.home();
        home.create();
        ServerLog.toFile(home.log(), ServerSettings.log(plain));
        ServerSettings.check(plain);
        ServerSettings settings = ServerSettings.read(plain);
        new Machine(new HashMap<>(System.getenv()), home.path(), plain.listen(), false).inspect();
        Linux.statx(home.path());
        var agent = InProcessServerBuilder.forName("training")
                .directExecutor()
                .addService(new NoMachines(settings.control().installation()))
                .build()
                .start();
        var channel =
                InProcessChannelBuilder.forName("training").directExecutor().build();
        try (ControlPlane plane = ControlPlane.start(
                settings.control(), Optional.of(new EmbeddedAgent(channel, HOST)), Progress.SILENT)) {
            try (Api api = new Api(LocalServer.ensureAccess(home, plane))) {
                api.isReady();
                api.list();
                api.create(new CreateRequest(
                        Optional.empty(),
                        OptionalInt.empty(),
                        OptionalInt.empty(),
                        OptionalInt.empty(),
                        Map.of(),
                        Map.of()));
            } catch (ApiFailure e) {
                // There is no room for a sandbox, which is as far as this can go.
            }
        } finally {
            channel.shutdownNow();
            agent.shutdownNow();
        }
    }

    private static void remove(Path directory) throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        }
    }

    private static final class NoMachines extends HostAgentServiceImplBase {
        private final Installation installation;

        NoMachines(Installation installation) {
            this.installation = installation;
        }

        @Override
        public void handshake(HandshakeRequest request, StreamObserver<HandshakeResponse> responses) {
            responses.onNext(HandshakeResponse.newBuilder()
                    .setProtocol(request.getProtocol())
                    .setInstallationId(installation.id())
                    .setHostId(HOST)
                    .build());
            responses.onCompleted();
        }
    }
}
