package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.host.v1.SandboxStatus;
import java.io.IOException;
import java.io.InputStream;
import java.net.http.HttpRequest.BodyPublishers;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Sandboxes that nobody uses are paused, those that somebody uses are not. */
@Order(23)
@ExtendWith(Shared.class)
class IdleTest {
    private static final int TIMEOUT_SEC = 4;
    /** Look every 2 s, a pause, and the row that follows within 5 s. */
    private static final Duration PAUSED = Duration.ofSeconds(25);

    /** A byte every 200 ms for as long as it is wanted. */
    private static final class SlowBytes extends InputStream {
        private final AtomicBoolean goOn;

        SlowBytes(AtomicBoolean goOn) {
            this.goOn = goOn;
        }

        @Override
        public int read() {
            Installation.pause(Duration.ofMillis(200));
            return goOn.get() ? 'x' : -1;
        }

        @Override
        public int read(byte[] into, int offset, int length) throws IOException {
            int next = read();
            if (next < 0) {
                return -1;
            }
            into[offset] = (byte) next;
            return 1;
        }
    }

    private static Sandbox create(Installation server) {
        return server.api().create(Map.of("timeout_sec", TIMEOUT_SEC));
    }

    private static void assertPauses(Sandbox sandbox) {
        Awaitility.await().atMost(PAUSED).pollInterval(Duration.ofMillis(100)).untilAsserted(() -> {
            String status = sandbox.status();
            assertThat(status).as("it is never said to be stopped").isNotIn("stopped", "error");
            assertThat(status).isEqualTo("paused");
        });
    }

    @Test
    void useKeepsASandboxAwakeAndItsTimeoutOutlivesThePause(Installation server) throws Exception {
        AtomicBoolean busy = new AtomicBoolean(true);
        Sandbox idle = create(server);
        Sandbox pinged = create(server);
        Sandbox computing = create(server);
        Sandbox receiving = create(server);
        List<Sandbox> all = List.of(idle, pinged, computing, receiving);
        try (ExecSocket stream = ExecSocket.open(server.api(), computing.id())) {
            stream.send(Map.of("type", "start", "cmd", "sleep", "args", List.of("1000")));
            var _ = stream.until("start");
            Thread pings = Thread.startVirtualThread(() -> {
                while (busy.get()) {
                    var _ = server.api().post(pinged.path() + "/ping");
                    Installation.pause(Duration.ofSeconds(1));
                }
            });
            Thread upload = Thread.startVirtualThread(() -> server.api()
                    .call(
                            "PUT",
                            receiving.path() + "/files/stream?path=/tmp/slow",
                            BodyPublishers.ofInputStream(() -> new SlowBytes(busy)),
                            "application/octet-stream"));
            assertPauses(idle);
            Installation.pause(Duration.ofSeconds(TIMEOUT_SEC));
            for (Sandbox used : List.of(pinged, computing, receiving)) {
                assertThat(used.status()).isEqualTo("running");
            }
            // The same sandbox once more: its timeout is what it was.
            server.api().post(idle.path() + "/resume", Map.of()).require(200);
            assertThat(idle.now().path("timeout_sec").asInt(0)).isEqualTo(TIMEOUT_SEC);
            assertThat(idle.exec("echo", "back").require()).isEqualTo("back");
            busy.set(false);
            stream.send(Map.of("type", "stop"));
            for (Sandbox used : all) {
                assertPauses(used);
            }
            pings.join();
            upload.join();
            server.stop();
            server.start();
            for (Sandbox used : all) {
                assertThat(used.status()).isEqualTo("paused");
            }
            assertThat(server.vms()).isEmpty();
        } finally {
            busy.set(false);
            all.forEach(Sandbox::delete);
        }
    }

    @Test
    void aTermSignalInTheMiddleOfAPauseCompletesIt(Installation shared) {
        try (Installation agent = Host.agent("term").withTemplatesOf(shared)) {
            agent.start();
            String id;
            try (Host host = Host.of(agent)) {
                id = host.create(Host.newId(), "base", 2);
                // Enough to save that the signal comes in the middle of it.
                var _ = host.sh(
                        id,
                        "setsid python3 -c 'import os, time; x = os.urandom(200 << 20); open(\"/run/ready\", \"w\"); "
                                + "time.sleep(1000)' </dev/null >/dev/null 2>&1 & "
                                + "until [ -e /run/ready ]; do sleep 0.05; done");
                Awaitility.await()
                        .atMost(PAUSED)
                        .pollInterval(Duration.ofMillis(10))
                        .until(() -> host.status(id) == SandboxStatus.PAUSING);
            }
            assertThat(agent.stop()).isIn(0, 130, 143);
            assertThat(agent.ledger(id).path("state").asString("")).isEqualTo("paused");
            assertThat(agent.vms()).isEmpty();
            agent.start();
            try (Host host = Host.of(agent)) {
                assertThat(host.listing().getAutoPausedSandboxIdsList()).containsExactly(id);
                var _ = host.resume(id);
                assertThat(host.sh(id, "pgrep -c python3")).isEqualTo("1");
                host.destroy(id);
            }
        }
    }
}
