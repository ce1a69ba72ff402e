package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.acceptance.Api.Answer;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;

/** Pause and resume as a client program uses them, and as several do at once. */
@Order(22)
@ExtendWith(Shared.class)
class PauseTest {
    private static final Duration SOON = Duration.ofSeconds(20);

    private static Guest guest(Sandbox sandbox) {
        return script -> sandbox.sh(script).require();
    }

    private static Answer pause(Sandbox sandbox) {
        return sandbox.api().post(sandbox.path() + "/pause");
    }

    private static Answer resume(Sandbox sandbox, boolean cold) {
        return sandbox.api().post(sandbox.path() + "/resume", Map.of("cold", cold));
    }

    @Test
    void aSandboxIsPausedAndGoesOnWhereItWas(Installation server) {
        try (Sandbox sandbox = server.api().create(Map.of("timeout_sec", 3600))) {
            Oracle.start(guest(sandbox));
            int seen = Oracle.check(guest(sandbox));
            assertThat(pause(sandbox).require(200).json().path("status").asString(""))
                    .isEqualTo("paused");
            pause(sandbox).require(200);
            assertThat(server.vms()).isEmpty();
            Answer refused = server.api().post(sandbox.path() + "/exec", Map.of("cmd", "true"));
            assertThat(refused.status()).isEqualTo(409);
            assertThat(server.api().post(sandbox.path() + "/ping").status()).isEqualTo(409);
            server.killNow();
            server.start();
            JsonNode back = resume(sandbox, false).require(200).json();
            assertThat(back.path("status").asString("")).isEqualTo("running");
            assertThat(back.path("timeout_sec").asInt(0)).isEqualTo(3600);
            resume(sandbox, false).require(200);
            seen = Oracle.check(guest(sandbox), seen);
            // Its memory is given up, its disk is not.
            pause(sandbox).require(200);
            resume(sandbox, true).require(200);
            assertThat(Oracle.fileAfterTheEnd(guest(sandbox))).isGreaterThanOrEqualTo(seen);
        }
    }

    /** Whoever asks for a pause and hangs up has asked for it all the same. */
    @Test
    void aCallerWhoHangsUpCancelsNothing(Installation server) {
        try (Sandbox sandbox = server.api().create()) {
            Oracle.start(guest(sandbox));
            int seen = Oracle.check(guest(sandbox));
            for (String what : List.of("/pause", "/resume", "/pause", "/resume")) {
                hangUp(server, "POST " + sandbox.path() + what);
                String wanted = what.equals("/pause") ? "paused" : "running";
                Awaitility.await()
                        .atMost(SOON)
                        .untilAsserted(() -> assertThat(sandbox.status()).isEqualTo(wanted));
            }
            var _ = Oracle.check(guest(sandbox), seen);
        }
    }

    private static void hangUp(Installation server, String request) {
        String key = server.api().headers().getOrDefault("X-API-Key", "");
        try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.port());
                OutputStream out = socket.getOutputStream()) {
            out.write((request + " HTTP/1.1\r\nHost: localhost\r\nX-API-Key: " + key + "\r\nContent-Length: 0\r\n\r\n")
                    .getBytes(StandardCharsets.US_ASCII));
            out.flush();
            Installation.pause(Duration.ofMillis(40));
            socket.setSoLinger(true, 0); // a reset and no friendly end
        } catch (IOException e) {
            throw new UncheckedIOException("hang up", e);
        }
    }

    /** Callers and the agent's own idle timer, all on one sandbox. */
    @Test
    void whatComesAtTheSameTimeComesOneAfterTheOther(Installation server) {
        long seed = Long.getLong("acceptance.seed", System.nanoTime());
        System.out.println("seed " + seed + " (-Dacceptance.seed)");
        try (Sandbox sandbox = server.api().create(Map.of("timeout_sec", 1))) {
            Oracle.start(guest(sandbox));
            int seen = Oracle.check(guest(sandbox));
            Queue<String> wrong = new ConcurrentLinkedQueue<>();
            List<Thread> callers = new ArrayList<>();
            long end = System.nanoTime() + Duration.ofSeconds(12).toNanos();
            for (int caller = 0; caller < 4; caller++) {
                Random random = new Random(seed + caller);
                callers.add(Thread.startVirtualThread(() -> {
                    while (System.nanoTime() < end) {
                        Answer answer = anything(server, sandbox, random);
                        if (answer.status() != 409 && answer.status() >= 300) {
                            wrong.add(answer.status() + " " + answer.text());
                        }
                        Installation.pause(Duration.ofMillis(random.nextInt(300)));
                    }
                }));
            }
            for (Thread caller : callers) {
                caller.join();
            }
            assertThat(wrong).isEmpty();
            Awaitility.await().atMost(SOON).untilAsserted(() -> {
                assertThat(sandbox.status()).isIn("running", "paused");
                resume(sandbox, false).require(200);
                assertThat(sandbox.status()).isEqualTo("running");
            });
            var _ = Oracle.check(guest(sandbox), seen);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        } finally {
            server.api()
                    .get("/v1/snapshots?type=snapshot")
                    .require(200)
                    .json()
                    .forEach(snapshot -> server.api()
                            .delete("/v1/snapshots/" + snapshot.path("name").asString("")));
        }
    }

    private static Answer anything(Installation server, Sandbox sandbox, Random random) {
        return switch (random.nextInt(6)) {
            case 0 -> pause(sandbox);
            case 1, 2 -> resume(sandbox, false);
            case 3 ->
                server.api().post("/v1/snapshots?overwrite=true", Map.of("sandbox_id", sandbox.id(), "name", "race"));
            case 4 -> server.api().post(sandbox.path() + "/ping");
            default -> server.api().post(sandbox.path() + "/exec", Map.of("cmd", "true"));
        };
    }
}
