package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;

/** What must not be the same in two clones, and what must be right before user code goes on. */
@Order(24)
@ExtendWith(Shared.class)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@SuppressWarnings("NullAway.Init")
class UniquenessTest {
    /**
     * Without a pause between two looks: the time of day, of the monotonic clock, and random bytes. Remembers the last
     * look before and the first one after each gap of the wall clock.
     */
    private static final String WITNESS = """
            import os, time
            last, gaps = (time.time(), os.getrandom(16).hex()), 0
            open('/run/witnessing', 'w').close()
            while True:
                before = time.monotonic()
                now = (time.time(), os.getrandom(16).hex())
                after = time.monotonic()
                if now[0] - last[0] > 0.3 or now[0] < last[0]:
                    gaps += 1
                    with open('/run/new-gap', 'w') as out:
                        out.write(f'{last[0]:.3f} {now[0]:.3f} {now[1]} {now[0] - after:.3f} {now[0] - before:.3f}\\n')
                    os.rename('/run/new-gap', f'/run/gap-{gaps}')
                last = now
            """;

    /** Of twenty readings the one that the least came between. */
    private static final String CLOCKS_APART = """
            python3 -c '
            import time
            def reading():
                before, clock, after = time.monotonic(), time.time(), time.monotonic()
                return after - before, clock - before
            print(min(reading() for _ in range(20))[1])'
            """;

    private static final String RANDOM = "head -c 16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/uuid; "
            + "python3 -c 'import uuid, random, os; print(uuid.uuid4()); print(random.SystemRandom().random())'; "
            + "if command -v ssh-keygen >/dev/null; then ssh-keygen -q -t ed25519 -N '' -f /tmp/key && cat /tmp/key.pub; fi";

    /** How far the clock may be off, in seconds. */
    private static final double CLOCK = 0.05;

    private Outside outside;
    private Installation agent;
    private Host host;

    @BeforeAll
    void start(Installation shared) {
        outside = new Outside();
        agent = Host.agent("unique").withTemplatesOf(shared).with("SANDGLASS_DNS", Outside.RESOLVER);
        agent.start();
        host = Host.of(agent);
    }

    @AfterAll
    void end() {
        try (Outside _ = outside;
                Installation _ = agent;
                Host closing = host) {
            closing.destroyAll();
        }
    }

    private static void assertDifferent(String one, String other) {
        List<String> first = one.lines().toList();
        List<String> second = other.lines().toList();
        assertThat(first).hasSameSizeAs(second).doesNotContainAnyElementsOf(second);
    }

    @Test
    void clonesOfATemplateAndOfASnapshotShareNoRandomness() {
        String one = host.create();
        String two = host.create();
        assertDifferent(host.sh(one, RANDOM), host.sh(two, RANDOM));
        String snapshot = Host.newSnapshotId();
        var _ = host.snapshot(one, snapshot, false);
        String three = host.create(Host.newId(), snapshot, 0);
        String four = host.create(Host.newId(), snapshot, 0);
        String later = "rm -f /tmp/key*; " + RANDOM;
        assertDifferent(host.sh(three, later), host.sh(four, later));
        assertDifferent(host.sh(one, later), host.sh(three, later));
        for (String id : List.of(three, four)) {
            assertThat(host.sh(id, "hostname; cat /proc/sys/kernel/hostname")).isEqualTo(id + "\n" + id);
        }
        for (String id : List.of(one, two, three, four)) {
            host.destroy(id);
        }
        host.deleteSnapshot(snapshot);
    }

    @Test
    void aProcessThatLooksAllTheTimeSeesNoWrongTimeAndNothingThatAnotherCloneSees() {
        String id = host.create();
        var _ = host.sh(
                id,
                "cat >/run/witness.py <<'END'\n" + WITNESS + "END\n"
                        + "setsid python3 /run/witness.py </dev/null >/dev/null 2>&1 & "
                        + "until [ -e /run/witnessing ]; do sleep 0.05; done");
        String snapshot = Host.newSnapshotId();
        var _ = host.snapshot(id, snapshot, true);
        Installation.pause(Duration.ofSeconds(1));
        double middle = now();
        Installation.pause(Duration.ofSeconds(1));
        Map<String, Gap> gaps = new TreeMap<>();
        for (int clone = 0; clone < 3; clone++) {
            double before = now();
            String name = id;
            if (clone == 0) {
                var _ = host.resume(id);
            } else {
                name = host.create(Host.newId(), snapshot, 0);
            }
            Gap gap = gapAround(middle, name);
            double after = now(); // a busy host may let it look some time after the resume was answered
            gaps.put(name, gap);
            assertThat(gap.first)
                    .as("the first time it sees, of the host's from %.3f to %.3f", before, after)
                    .isBetween(before - CLOCK, after + CLOCK);
            double earliest = now();
            double guest = Double.parseDouble(host.sh(name, "date +%s.%N"));
            assertThat(guest).as("its clock later").isBetween(earliest - CLOCK, now() + CLOCK);
            assertThat(Double.parseDouble(host.sh(name, CLOCKS_APART)))
                    .as("wall clock less monotonic one: it was then what it is now, from %s to %s", gap.least, gap.most)
                    .isBetween(gap.least - CLOCK, gap.most + CLOCK);
        }
        // Frozen at the same moment: one that had looked at a wrong clock before it looked at a right one differs.
        assertThat(gaps.values().stream().map(Gap::last).distinct()).hasSize(1);
        assertThat(gaps.values().stream().map(Gap::random)).doesNotHaveDuplicates();
        gaps.keySet().forEach(host::destroy);
        host.deleteSnapshot(snapshot);
    }

    /**
     * Between two looks of the witness; times in seconds since the epoch.
     *
     * @param least what the wall clock was ahead of the monotonic one at the first look after it, at least
     * @param most and at most: the machine may have done something else between the readings
     */
    private record Gap(double last, double first, String random, double least, double most) {
        static Gap of(String line) {
            String[] words = line.split(" ", 5);
            return new Gap(
                    Double.parseDouble(words[0]),
                    Double.parseDouble(words[1]),
                    words[2],
                    Double.parseDouble(words[3]),
                    Double.parseDouble(words[4]));
        }
    }

    /** A busy machine makes more gaps than the one that is meant. */
    private Gap gapAround(double time, String id) {
        List<Gap> found = new ArrayList<>();
        Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> {
            host.sh(id, "cat /run/gap-* 2>/dev/null || true")
                    .lines()
                    .map(Gap::of)
                    .filter(gap -> gap.last <= time && time <= gap.first)
                    .forEach(found::add);
            return !found.isEmpty();
        });
        return found.getFirst();
    }

    private static double now() {
        return System.currentTimeMillis() / 1000.0;
    }

    /** The service waits for a request that never comes and sends nothing: only the guest's own kernel can end this. */
    @Test
    void aConnectionThatWasOpenIsResetForReaderAndWriter() {
        String id = host.create();
        String program = """
                import socket, sys, time
                s = socket.create_connection(('%s', %d), 10)
                s.recv(4096); open('/run/open-' + sys.argv[1], 'w')
                try:
                    if sys.argv[1] == 'reader':
                        s.recv(4096)
                    else:
                        while True:
                            time.sleep(0.2); s.send(b'x')
                    result = 'ended'
                except OSError as e:
                    result = type(e).__name__
                open('/run/result-' + sys.argv[1], 'w').write(result)
                """.formatted(Outside.PUBLIC, Outside.HOLD_PORT);
        var _ = host.sh(
                id,
                "cat >/run/client.py <<'END'\n" + program + "END\n"
                        + "for what in reader writer; do setsid python3 /run/client.py $what </dev/null >/run/$what.log 2>&1 & done; "
                        + "i=0; until [ -e /run/open-reader ] && [ -e /run/open-writer ]; do i=$((i + 1)); "
                        + "[ $i -lt 300 ] || { cat /run/*.log >&2; exit 1; }; sleep 0.05; done");
        host.pause(id);
        Installation.pause(Duration.ofSeconds(1));
        var _ = host.resume(id);
        Awaitility.await()
                .atMost(Duration.ofSeconds(8))
                .untilAsserted(() -> assertThat(host.sh(
                                id,
                                "cd /run; for what in reader writer; do "
                                        + "cat result-$what 2>/dev/null || echo hangs; echo; done | tr -s '\\n' ' '"))
                        .matches("(ConnectionResetError|ConnectionAbortedError|BrokenPipeError|TimeoutError|OSError) "
                                + "(ConnectionResetError|ConnectionAbortedError|BrokenPipeError|OSError)"));
        assertThat(host.sh(
                        id,
                        "python3 -c \"import socket; socket.create_connection(('" + Outside.PUBLIC + "', "
                                + Outside.HOLD_PORT + "), 5)\" && echo again"))
                .as("new connections work")
                .isEqualTo("again");
        host.destroy(id);
    }

    /** Under emulation a clock may drift: still right after a minute. */
    @Test
    void theClockIsRightAMinuteLater() {
        if (!Boolean.getBoolean("acceptance.full")) {
            return;
        }
        String id = host.create();
        host.pause(id);
        Installation.pause(Duration.ofSeconds(5));
        var _ = host.resume(id);
        Installation.pause(Duration.ofSeconds(60));
        double before = now();
        double guest = Double.parseDouble(host.sh(id, "date +%s.%N"));
        assertThat(guest).isBetween(before - CLOCK, now() + CLOCK);
        host.destroy(id);
    }
}
