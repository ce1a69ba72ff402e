package dev.sandglass.host.agent;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.ListSandboxesResponse;
import dev.sandglass.contract.host.v1.SandboxInfo;
import dev.sandglass.contract.host.v1.SandboxStatus;
import dev.sandglass.host.lifecycle.Machine;
import dev.sandglass.host.lifecycle.SandboxState;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

/**
 * What an agent does every few seconds, with a thousand sandboxes. The promise is 50 ms for each; the bounds here are for
 * machines that others use at the same time. No VM is needed.
 */
final class ThousandSandboxesTest extends HostAgentFixture {
    private static final int COUNT = 1000;
    private static final Duration MOST = Duration.ofMillis(500);
    private static final Machine MACHINE = new Machine("vm00000000000000000000", 0, 1, 1, "ab".repeat(32));

    @Override
    boolean freezes() {
        return false;
    }

    private static Ledger.Entry entry(SandboxState state) {
        return new Ledger.Entry(
                SandboxId.random(),
                "base",
                "tpl00000000000000000000",
                false,
                1,
                512,
                1,
                Map.of("A", "b"),
                Instant.now().minusSeconds(3600),
                state);
    }

    private static void measure(String what, Runnable work) {
        long[] times = new long[15];
        for (int i = 0; i < times.length; i++) {
            long began = System.nanoTime();
            work.run();
            times[i] = System.nanoTime() - began;
        }
        Arrays.sort(times);
        Duration median = Duration.ofNanos(times[times.length / 2]);
        System.out.printf("%d sandboxes: %s %.2f ms (median)%n", COUNT, what, median.toNanos() / 1e6);
        assertThat(median).as(what).isLessThan(MOST);
    }

    @Test
    void theIdleReaperLooksAtAllOfThemInAMoment() throws InterruptedException {
        List<Sandbox> running = Stream.generate(() -> new Sandbox(entry(new SandboxState.Running(MACHINE))))
                .limit(COUNT)
                .toList();
        AtomicInteger pausing = new AtomicInteger();
        CountDownLatch slow = new CountDownLatch(1);
        try (IdleReaper reaper = new IdleReaper(() -> running, sandbox -> {
            pausing.incrementAndGet();
            try {
                slow.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        })) {
            measure("idle reaper, none idle", reaper::tick);
            assertThat(pausing).hasValue(0);
            Thread.sleep(1100); // the shortest idle time there is
            measure("idle reaper, all idle", reaper::tick);
            Awaitility.await().until(() -> pausing.get() > 0);
            assertThat(pausing).as("at once").hasValueLessThan(20);
            slow.countDown();
        }
    }

    @Test
    void theyAreListedInAMomentAndFoundAgainByTheNextAgent() throws IOException {
        running.stop();
        Path sandboxes = home.resolve("sandboxes");
        byte[] like = likePaused(sandboxes);
        List<String> ids = IntStream.range(0, COUNT)
                .mapToObj(i -> SandboxId.random().value())
                .toList();
        String text = new String(like, StandardCharsets.UTF_8);
        String id = text.replaceFirst("(?s).*\"id\":\"(sb[0-9a-z]+)\".*", "$1");
        for (String one : ids) {
            Path folder = Files.createDirectory(sandboxes.resolve(one));
            Files.writeString(folder.resolve("ledger.json"), text.replace(id, one));
        }
        long began = System.nanoTime();
        startAgain();
        System.out.printf("%d sandboxes: start of the agent %d ms%n", COUNT, (System.nanoTime() - began) / 1_000_000);
        measure("list", () -> assertThat(list().getSandboxesCount()).isEqualTo(COUNT));
        assertThat(list().getAutoPausedSandboxIdsCount()).isEqualTo(COUNT);
        assertThat(list().getSandboxesList()).extracting(SandboxInfo::getStatus).containsOnly(SandboxStatus.PAUSED);
        running.stop();
        for (String one : ids) {
            Host.removeDirectory(sandboxes.resolve(one));
        }
        startAgain();
    }

    private ListSandboxesResponse list() {
        return stub().listSandboxes(Empty.getDefaultInstance());
    }

    /** What a ledger writes of an idle one that is paused. */
    private static byte[] likePaused(Path sandboxes) throws IOException {
        Ledger.Entry paused = entry(new SandboxState.Paused("cd".repeat(32), true));
        Ledger ledger = new Ledger(sandboxes);
        Files.createDirectory(ledger.directory(paused.id()));
        ledger.write(paused);
        byte[] written = Files.readAllBytes(ledger.directory(paused.id()).resolve("ledger.json"));
        Host.removeDirectory(ledger.directory(paused.id()));
        return written;
    }
}
