package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * Pauses and resumes, again and again, with agents that come and go between: a program in the guest knows every byte,
 * and the agent compares in each pause what it saved with what the process has.
 */
@Order(43)
@ExtendWith(Shared.class)
class OracleTest {
    private static final int ROUNDS = 12;

    /** Takes nearly all memory of a guest with 512 MB, gives it back, and begins again. */
    private static final String PRESSURE = "setsid python3 -c 'while True: x = bytearray(b\"m\") * (330 << 20); del x' "
            + "</dev/null >/dev/null 2>&1 & echo $!";

    @Test
    @Timeout(400)
    void noByteIsWrongAfterTwelveRounds(Installation shared) {
        try (Installation agent = Host.agent("oracle").withTemplatesOf(shared)) {
            agent.start();
            Host host = Host.of(agent);
            try {
                String id = host.create();
                Oracle.start(host.guest(id));
                int seen = 0;
                for (int round = 0; round < ROUNDS; round++) {
                    boolean pressed = round == 5 || round == 8;
                    String pid = pressed ? host.sh(id, PRESSURE) : "";
                    String address = host.require(id).getHostIp();
                    // Answered by the guest's kernel, so that its devices are busy when it is stopped.
                    Process pings = flood(address);
                    long began = System.nanoTime();
                    try {
                        host.pause(id);
                    } finally {
                        pings.destroyForcibly();
                    }
                    long paused = System.nanoTime();
                    if (round % 4 == 1) {
                        agent.killNow();
                    } else if (round % 4 == 3) {
                        agent.stop();
                    }
                    if (!agent.isRunning()) {
                        host.close();
                        agent.start();
                        host = Host.of(agent);
                    }
                    long before = System.nanoTime();
                    assertThat(host.resume(id).getCold()).isFalse();
                    seen = Oracle.check(host.guest(id), seen);
                    System.out.printf(
                            "round %d%s: pause with comparison %d ms, resume and a whole check %d ms%n",
                            round,
                            pressed ? " under pressure" : "",
                            (paused - began) / 1_000_000,
                            (System.nanoTime() - before) / 1_000_000);
                    if (pressed) {
                        host.sh(id, "kill -9 " + pid);
                    }
                }
                assertThat(host.sh(id, "dmesg | grep -ciE 'ext4.*error|i/o error|bug:|call trace' || true"))
                        .isEqualTo("0");
                assertThat(agent.logText()).doesNotContain("saved memory differs");
                host.destroy(id);
            } finally {
                host.close();
            }
        }
    }

    /** As fast as one process can: a hundred echo requests of 1400 bytes at a time, by a program that needs no ping. */
    private static Process flood(String address) {
        String program = """
                import socket, struct, sys
                s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                def packet(n):
                    body = struct.pack('!BBHHH', 8, 0, 0, 7, n & 0xffff) + bytes(1400)
                    total = sum(struct.unpack('!%dH' % (len(body) // 2), body))
                    while total >> 16: total = (total & 0xffff) + (total >> 16)
                    return body[:2] + struct.pack('!H', ~total & 0xffff) + body[4:]
                n = 0
                while True:
                    n += 1
                    try: s.sendto(packet(n), (sys.argv[1], 0))
                    except OSError: pass
                """;
        Process flood = Shell.of("python3", "-c", program, address).start();
        Installation.pause(Duration.ofMillis(200));
        return flood;
    }
}
