package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.acceptance.Api.Answer;
import java.time.Duration;
import java.util.Map;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** A machine that ends by itself. */
@Order(21)
@ExtendWith(Shared.class)
class VmDeathTest {
    private static final Duration NOTICED = Duration.ofSeconds(12);

    static void assertStopped(Sandbox sandbox) {
        Awaitility.await()
                .atMost(NOTICED)
                .pollInterval(Duration.ofMillis(100))
                .untilAsserted(() -> assertThat(sandbox.status()).isEqualTo("stopped"));
        assertThat(sandbox.now().path("error").asString("")).as("the reason").isNotBlank();
        Answer refused = sandbox.api().post(sandbox.path() + "/exec", Map.of("cmd", "true"));
        assertThat(refused.status()).as(refused.text()).isEqualTo(409);
        assertThat(refused.errorCode()).isEqualTo("invalid_state");
        assertThat(sandbox.api().get(sandbox.path() + "/files?path=/").status()).isEqualTo(409);
        assertThat(sandbox.api().post(sandbox.path() + "/ping").status()).isEqualTo(409);
    }

    @Test
    void aKilledVmIsStoppedWithAReason(Installation server) {
        Sandbox sandbox = server.api().create();
        try {
            Shell.of("kill", "-9", Integer.toString(server.vm(sandbox.id()).pid()))
                    .run()
                    .require();
            assertStopped(sandbox);
        } finally {
            sandbox.delete();
        }
        assertThat(server.api().get(sandbox.path()).status()).isEqualTo(404);
    }

    @Test
    void aGuestMayPowerItselfOff(Installation server) throws Exception {
        Sandbox sandbox = server.api().create();
        try {
            // An answer is not owed, the end is.
            try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
                stream.send(Map.of(
                        "type",
                        "start",
                        "cmd",
                        "python3",
                        "args",
                        java.util.List.of("-c", "import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)")));
                Installation.pause(Duration.ofSeconds(2));
            }
            assertStopped(sandbox);
        } finally {
            sandbox.delete();
        }
    }

    @Test
    void anExecUnderWayEndsWithAnError(Installation server) throws Exception {
        Sandbox sandbox = server.api().create();
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of("type", "start", "cmd", "sleep", "args", java.util.List.of("300")));
            stream.until("start");
            Shell.of("kill", "-9", Integer.toString(server.vm(sandbox.id()).pid()))
                    .run()
                    .require();
            assertThat(ExecSocket.type(stream.next(NOTICED))).isIn("error", "closed");
        } finally {
            sandbox.delete();
        }
    }
}
