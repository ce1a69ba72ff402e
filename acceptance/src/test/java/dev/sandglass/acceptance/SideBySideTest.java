package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Several installations on one machine. */
@Order(31)
@ExtendWith(Shared.class)
class SideBySideTest {
    @Test
    void installationsDoNotTouchEachOther(Installation shared) {
        try (Installation other = Installation.of("other").withTemplatesOf(shared)) {
            other.start();
            assertThat(other.id()).isNotEqualTo(shared.id());
            Sandbox ours = shared.api().create();
            try {
                Sandbox theirs = other.api().create();
                assertThat(theirs.hostIp()).isNotEqualTo(ours.hostIp());
                assertThat(theirs.exec("echo", "theirs").require()).isEqualTo("theirs");
                assertThat(ours.exec("echo", "ours").require()).isEqualTo("ours");
                assertThat(other.vm(theirs.id()).uid())
                        .isNotEqualTo(shared.vm(ours.id()).uid());
                assertThat(shared.api().get(theirs.path()).status()).isEqualTo(404);
                assertUnreachable(ours, theirs);
                assertUnreachable(theirs, ours);
                other.killNow();
                other.start();
                assertThat(ours.exec("echo", "still").require()).isEqualTo("still");
                assertThat(theirs.exec("echo", "still").require()).isEqualTo("still");
                other.down();
                assertThat(ours.exec("echo", "untouched").require()).isEqualTo("untouched");
                try (Sandbox fresh = shared.api().create()) {
                    assertThat(fresh.exec("true").exitCode()).isZero();
                }
            } finally {
                ours.delete();
            }
        }
    }

    private static void assertUnreachable(Sandbox from, Sandbox to) {
        String connect = "import socket; socket.create_connection(('" + to.hostIp() + "', 49983), 2)";
        assertThat(from.exec("python3", "-c", connect).exitCode())
                .as("one reaches the other")
                .isNotZero();
    }

    @Test
    void aSecondUpForTheSameHomeFindsTheFirst(Installation shared) {
        Shell.Result second = shared.cli("up")
                .with(Map.of("CP_LISTEN_ADDR", "127.0.0.1:" + Installation.freePort()))
                .run();
        assertThat(second.exitCode()).isZero();
        assertThat(second.stdout()).contains("runs already", shared.url().toString());
        assertThat(shared.api().get("/readyz").status()).isEqualTo(200);
    }

    @Test
    void aSecondUpIsReadyInSeconds(Installation shared) {
        shared.stop();
        shared.start();
        System.out.printf("second up: ready after %d ms%n", shared.sinceStart().toMillis());
        assertThat(shared.sinceStart()).isLessThan(Duration.ofSeconds(15));
    }
}
