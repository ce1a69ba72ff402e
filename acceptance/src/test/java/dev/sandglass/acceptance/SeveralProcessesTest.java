package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;

/** A control plane and two host agents as three processes, each with a home of its own. */
@Order(34)
@ExtendWith(Shared.class)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@SuppressWarnings("NullAway.Init")
class SeveralProcessesTest {
    private Installation controlPlane;
    private Installation one;
    private Installation two;

    @BeforeAll
    void start(Installation shared) {
        String registry = "127.0.0.1:" + Installation.freePort();
        controlPlane = Installation.of("control-plane", "control-plane").with("SANDGLASS_REGISTRY_ADDR", registry);
        controlPlane.launch();
        Awaitility.await()
                .atMost(Installation.START)
                .until(() -> controlPlane.home().resolve("client.json").toFile().exists());
        one = agent("agent-one", shared, registry);
        two = agent("agent-two", shared, registry);
        one.start();
        two.start();
        controlPlane.awaitReady(Installation.START);
    }

    private Installation agent(String name, Installation shared, String registry) {
        return Installation.of(name, "agent")
                .withTemplatesOf(shared)
                .with("SANDGLASS_INSTALLATION", controlPlane.installation())
                .with(
                        "SANDGLASS_AGENT_TOKEN",
                        Installation.read(controlPlane.home().resolve("installation/agent-token"))
                                .strip())
                .with("SANDGLASS_AGENT_ADDR", "127.0.0.1:" + Installation.freePort())
                .with("SANDGLASS_REGISTRY_ADDR", registry)
                // The agent serves no API: that the control plane of the same machine does is nothing to it.
                .with("CP_LISTEN_ADDR", "127.0.0.1:" + controlPlane.port());
    }

    @AfterAll
    void end() {
        try (Installation _ = controlPlane;
                Installation _ = one;
                Installation last = two) {
            controlPlane.cli("rm", "--all").run();
            last.assertNothingBeyond(last.footprint());
        }
    }

    private static Set<String> sandboxesOf(Installation agent) {
        return agent.footprint().sandboxes();
    }

    private List<Sandbox> create(int count) {
        List<Sandbox> made = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            made.add(controlPlane.api().create());
        }
        return made;
    }

    @Test
    void sandboxesLandOnBothHostsAndWorkAlike() throws Exception {
        List<Sandbox> made = create(4);
        try {
            assertThat(sandboxesOf(one)).isNotEmpty();
            assertThat(sandboxesOf(two)).isNotEmpty();
            assertThat(sandboxesOf(one).size() + sandboxesOf(two).size()).isEqualTo(4);
            for (Sandbox sandbox : made) {
                assertThat(sandbox.exec("echo", sandbox.id()).require()).isEqualTo(sandbox.id());
                sandbox.api()
                        .put(sandbox.path() + "/files/stream?path=/tmp/x", new byte[100_000])
                        .require(204);
                assertThat(sandbox.api()
                                .post(sandbox.path() + "/files/stream/read", Map.of("path", "/tmp/x"))
                                .require(200)
                                .bytes())
                        .hasSize(100_000);
                try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
                    stream.send(Map.of("type", "start", "cmd", "echo", "args", List.of("streamed")));
                    stream.until("exit");
                    assertThat(stream.stdout()).isEqualTo("streamed\n");
                }
            }
        } finally {
            made.forEach(Sandbox::delete);
        }
        assertThat(sandboxesOf(one)).isEmpty();
        assertThat(sandboxesOf(two)).isEmpty();
    }

    @Test
    void anAgentThatIsKilledComesBackWithItsSandboxes() {
        List<Sandbox> made = create(4);
        try {
            Set<String> atRisk = sandboxesOf(two);
            List<Sandbox> theirs = made.stream()
                    .filter(sandbox -> atRisk.contains(sandbox.id()))
                    .toList();
            List<Sandbox> others = made.stream()
                    .filter(sandbox -> !atRisk.contains(sandbox.id()))
                    .toList();
            assertThat(theirs).isNotEmpty();
            assertThat(others).isNotEmpty();
            String pid =
                    theirs.getFirst().sh("sleep 999 >/dev/null 2>&1 & echo $!").require();
            two.killNow();
            assertThat(others.getFirst().exec("echo", "unharmed").require()).isEqualTo("unharmed");
            int status = controlPlane
                    .api()
                    .post(theirs.getFirst().path() + "/exec", Map.of("cmd", "true"))
                    .status();
            assertThat(status).isIn(502, 503);
            assertThat(theirs.getFirst().status()).isEqualTo("running");
            // New ones go where somebody answers.
            Awaitility.await()
                    .atMost(Duration.ofSeconds(40))
                    .pollInterval(Duration.ofSeconds(1))
                    .untilAsserted(() -> controlPlane.api().create().delete());
            two.start();
            Awaitility.await()
                    .atMost(Duration.ofSeconds(20))
                    .pollInterval(Duration.ofMillis(200))
                    .untilAsserted(() -> assertThat(
                                    theirs.getFirst().exec("kill", "-0", pid).exitCode())
                            .isZero());
        } finally {
            if (!two.isRunning()) {
                two.start();
            }
            Awaitility.await().atMost(Duration.ofSeconds(30)).untilAsserted(() -> made.forEach(Sandbox::delete));
        }
        assertThat(sandboxesOf(two)).isEmpty();
    }

    @Test
    void aControlPlaneThatIsKilledComesBackWithEverything() {
        List<Sandbox> made = create(2);
        try {
            controlPlane.killNow();
            controlPlane.launch();
            controlPlane.awaitReady(Installation.START);
            for (Sandbox sandbox : made) {
                Awaitility.await()
                        .atMost(Duration.ofSeconds(15))
                        .ignoreExceptionsInstanceOf(UncheckedIOException.class)
                        .untilAsserted(() ->
                                assertThat(sandbox.exec("true").exitCode()).isZero());
            }
        } finally {
            made.forEach(Sandbox::delete);
        }
    }
}
