package dev.sandglass.control.host;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.Installation;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.host.v1.HostCapacity;
import dev.sandglass.contract.host.v1.HostRegistryServiceGrpc;
import dev.sandglass.contract.host.v1.RegisterRequest;
import dev.sandglass.control.ConfigurationKeys;
import dev.sandglass.control.ControlPlane;
import dev.sandglass.control.ControlPlaneConfiguration;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.Concurrently;
import dev.sandglass.control.testing.FakeHostAgent;
import dev.sandglass.control.testing.TestDatabase;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A control plane and agents that are reached over the network. */
final class HostRegistryTest {
    private static final Installation OURS = new Installation("registry1", "the-token-of-this-installation-1234");

    @TempDir
    private Path home;

    private ControlPlane start() {
        return start(TestDatabase.freshUrl());
    }

    private ControlPlane start(String database) {
        return ControlPlane.start(
                ControlPlaneConfiguration.read(
                        Map.of(
                                "SANDGLASS_HOME",
                                home.toString(),
                                "CP_LISTEN_ADDR",
                                "127.0.0.1:0",
                                "SANDGLASS_REGISTRY_ADDR",
                                "127.0.0.1:0",
                                "SANDGLASS_INSTALLATION",
                                OURS.id(),
                                "SANDGLASS_AGENT_TOKEN",
                                OURS.agentToken(),
                                "DATABASE_URL",
                                database),
                        ConfigurationKeys.controlPlane()),
                Optional.empty(),
                Progress.SILENT);
    }

    private static Server serve(FakeHostAgent agent) throws Exception {
        return NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .intercept(new AgentCredentials(OURS)) // what a real agent asks of its callers
                .addService(agent)
                .build()
                .start();
    }

    private static RegisterRequest request(FakeHostAgent agent, Server server) {
        return RegisterRequest.newBuilder()
                .setHostId(agent.hostId)
                .setAddress("127.0.0.1:" + server.getPort())
                .setInstallationId(agent.installation)
                .setProtocol(1)
                .setVersion("test")
                .setCapacity(HostCapacity.newBuilder()
                        .setVcpus(4)
                        .setMemoryMb(4096)
                        .setMemoryAvailableMb(2048)
                        .setAccelerator("tcg"))
                .build();
    }

    private static void refused(Status.Code code, Installation as, ManagedChannel channel, RegisterRequest request) {
        assertThatThrownBy(() -> HostRegistryServiceGrpc.newBlockingStub(new AgentCredentials(as).on(channel))
                        .register(request))
                .isInstanceOfSatisfying(
                        StatusRuntimeException.class,
                        failure -> assertThat(failure.getStatus().getCode()).isEqualTo(code));
    }

    /** Each would have connected for itself, and a second connection ended the first under those who had it. */
    @Test
    void aBurstOfFirstRequestsFindsOneConnection() throws Exception {
        String database = TestDatabase.freshUrl();
        try (FakeHostAgent agent = new FakeHostAgent("host-burst", OURS.id())) {
            Server server = serve(agent);
            try (ControlPlane first = start(database)) {
                ManagedChannel channel = Grpc.newChannelBuilder(
                                "127.0.0.1:"
                                        + first.registryAddress().orElseThrow().getPort(),
                                InsecureChannelCredentials.create())
                        .build();
                try (ControlPlane second = start(database)) {
                    HostRegistryServiceGrpc.newBlockingStub(new AgentCredentials(OURS).on(channel))
                            .register(request(agent, server));
                    Api api = Api.at(second.url()).withKey(second.createLocalKey("burst"));
                    List<Integer> answers = Concurrently.run(
                            20, _ -> api.post("/v1/sandboxes", "{}").status());
                    assertThat(answers).hasSize(20).containsOnly(201);
                } finally {
                    channel.shutdownNow();
                }
            } finally {
                server.shutdownNow();
            }
        }
    }

    @Test
    void agentsRegisterAndAreUsed() throws Exception {
        try (ControlPlane plane = start();
                FakeHostAgent one = new FakeHostAgent("host-one", OURS.id());
                FakeHostAgent two = new FakeHostAgent("host-two", OURS.id())) {
            Server serverOne = serve(one);
            Server serverTwo = serve(two);
            InetSocketAddress registry = plane.registryAddress().orElseThrow();
            ManagedChannel channel = Grpc.newChannelBuilder(
                            "127.0.0.1:" + registry.getPort(), InsecureChannelCredentials.create())
                    .build();
            try {
                Api api = Api.at(plane.url()).withKey(plane.createLocalKey("test"));
                assertThat(api.get("/readyz").status()).isEqualTo(503);
                assertThat(api.post("/v1/sandboxes", "{}").code()).isEqualTo("host_unavailable");

                Installation wrongToken = new Installation(OURS.id(), "x".repeat(40));
                refused(Status.Code.UNAUTHENTICATED, wrongToken, channel, request(one, serverOne));
                Installation another = new Installation("another00", OURS.agentToken());
                refused(Status.Code.FAILED_PRECONDITION, another, channel, request(one, serverOne));
                RegisterRequest somebodyElse =
                        request(one, serverOne).toBuilder().setHostId("host-x").build();
                refused(Status.Code.FAILED_PRECONDITION, OURS, channel, somebodyElse);
                RegisterRequest nonsense = request(one, serverOne).toBuilder()
                        .setAddress("/etc/passwd")
                        .build();
                refused(Status.Code.INVALID_ARGUMENT, OURS, channel, nonsense);

                var stub = HostRegistryServiceGrpc.newBlockingStub(new AgentCredentials(OURS).on(channel));
                for (int heartbeat = 0; heartbeat < 2; heartbeat++) {
                    assertThat(stub.register(request(one, serverOne)).getHeartbeatIntervalMs())
                            .isPositive();
                    stub.register(request(two, serverTwo));
                }
                assertThat(api.get("/readyz").status()).isEqualTo(200);

                for (int i = 0; i < 4; i++) {
                    assertThat(api.post("/v1/sandboxes", "{}").status()).isEqualTo(201);
                }
                assertThat(List.of(one.sandboxes.size(), two.sandboxes.size())).containsExactly(2, 2);
                Api.Answer ran = api.post(
                        "/v1/sandboxes/" + one.sandboxes.keySet().iterator().next() + "/exec",
                        "{\"cmd\":\"sh\",\"args\":[\"-c\",\"head -c 7000000 /dev/zero | tr '\\\\0' a\"]}");
                assertThat(ran.text("stdout")).hasSize(7_000_000);

                serverOne.shutdownNow().awaitTermination();
                String lost = one.sandboxes.keySet().iterator().next();
                Api.Answer gone = api.post("/v1/sandboxes/" + lost + "/ping");
                assertThat(gone.status()).isEqualTo(503);
                assertThat(gone.code()).isEqualTo("host_unavailable");
            } finally {
                channel.shutdownNow();
                serverOne.shutdownNow();
                serverTwo.shutdownNow();
            }
        }
    }
}
