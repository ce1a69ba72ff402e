package dev.sandglass.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.bench.Promise.Verdict;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class PromiseTest {
    private final Samples samples = new Samples();
    private Optional<Burst> burst = Optional.empty();
    private Optional<MemoryUse> memory = Optional.empty();
    private Optional<DiskUse> disk = Optional.empty();
    private Optional<ApiUse> api = Optional.empty();
    private Optional<SoakResult> soak = Optional.empty();

    private void took(Subject subject, long millis) {
        samples.add(subject, Duration.ofMillis(millis));
    }

    private List<Promise> weighed() {
        MachineDescription machine =
                new MachineDescription(Instant.EPOCH, "cpu", 2, 1, "6.1", 0, "qemu", "tcg", "podman", "here");
        return Promise.weigh(new Outcome(machine, samples, burst, memory, disk, api, soak, Map.of(), List.of()));
    }

    private Promise promise(String beginning) {
        return weighed().stream()
                .filter(promise -> promise.text().startsWith(beginning))
                .findFirst()
                .orElseThrow();
    }

    /** Each figure is its limit plus {@code beyond}. */
    private void everything(int beyond) {
        took(Subject.CREATE, 25 + beyond);
        took(Subject.PODMAN_RUN, 125);
        took(Subject.COLD_BOOT, 200);
        took(Subject.CREATE_ECHO, 75 + beyond);
        took(Subject.CREATE_PYTHON, 250 + beyond);
        took(Subject.EXEC_TRUE, 60 + beyond);
        took(Subject.PODMAN_EXEC, 61);
        for (int i = 0; i < 100; i++) {
            took(Subject.BURST_CREATE, 3000 + beyond);
        }
        took(Subject.PAUSE, 60 + beyond);
        took(Subject.PAUSE_LARGE, 80 + 2 * beyond);
        took(Subject.PAUSE_SECOND, 100);
        took(Subject.PAUSE_TENTH, 120 + beyond);
        took(Subject.RESUME_ECHO, 350 + beyond);
        took(Subject.SNAPSHOT_STOP, 60 + beyond);
        took(Subject.EXEC_REST, 14 + beyond);
        took(Subject.EXEC_GUEST, 10);
        took(Subject.ECHO_WEBSOCKET, 15 + beyond);
        took(Subject.ECHO_GUEST, 10);
        took(Subject.UPLOAD, 1000 + beyond);
        took(Subject.UPLOAD_PLAIN, 700);
        took(Subject.DOWNLOAD, 1000 + beyond);
        took(Subject.DOWNLOAD_PLAIN, 700);
        burst = Optional.of(new Burst(100, 100, Duration.ofMillis(30_000 + beyond)));
        memory = Optional.of(new MemoryUse(2, 2 - beyond, 100_000_000 + 2L * beyond, 200_000_000));
        disk = Optional.of(new DiskUse(6_000_000 + beyond, 10, 13_000_000, 60, 68_000_000 + 50L * beyond));
        api = Optional.of(new ApiUse(
                8,
                List.of(3000.0 - beyond),
                List.of(10_000.0),
                new Latencies(),
                List.of(slice(1000, 50_000_000), slice(1500 + beyond, 66_000_000 + beyond))));
        List<String> troubles = beyond == 0 ? List.of() : List.of("sb1: a wrong byte");
        soak = Optional.of(new SoakResult(20, 1000, Duration.ofMinutes(10), troubles, List.of()));
    }

    @Test
    void limitsThemselvesAreStillKept() {
        everything(0);
        assertThat(weighed())
                .allSatisfy(promise -> assertThat(promise.verdict()).isEqualTo(Verdict.KEPT));
    }

    @Test
    void oneBeyondALimitBreaksThePromise() {
        everything(1);
        // The tail of a single create is not known.
        assertThat(weighed().stream().filter(promise -> !promise.text().contains("pool warm, p99")))
                .allSatisfy(promise -> assertThat(promise.verdict()).isEqualTo(Verdict.BROKEN));
    }

    @Test
    void whatWasNotMeasuredIsNeitherKeptNorBroken() {
        assertThat(weighed()).extracting(Promise::verdict).containsOnly(Verdict.NOT_MEASURED);
        took(Subject.CREATE, 10);
        assertThat(promise("create → running, pool warm, p50").verdict()).isEqualTo(Verdict.KEPT);
        assertThat(promise("create ≥ 5×").verdict()).isEqualTo(Verdict.NOT_MEASURED);
    }

    @Test
    void aTailOfFewSamplesKeepsAPromiseOrSaysNothing() {
        took(Subject.CREATE, 99);
        assertThat(promise("create → running, pool warm, p99").verdict()).isEqualTo(Verdict.KEPT);
        took(Subject.CREATE, 101);
        assertThat(promise("create → running, pool warm, p99"))
                .isEqualTo(new Promise(
                        "create → running, pool warm, p99 ≤ 100 ms",
                        "max 101 ms of 2, too few for a percentile",
                        Verdict.NOT_MEASURED));
        for (int i = 0; i < 100; i++) {
            took(Subject.CREATE, 20);
        }
        assertThat(promise("create → running, pool warm, p99").verdict()).isEqualTo(Verdict.KEPT);
        took(Subject.CREATE, 101);
        assertThat(promise("create → running, pool warm, p99").measured()).isEqualTo("101 ms of 103");
    }

    @Test
    void aMissingCreateBreaksTheBurst() {
        burst = Optional.of(new Burst(100, 99, Duration.ofSeconds(1)));
        assertThat(promise("all creates of a burst").verdict()).isEqualTo(Verdict.BROKEN);
    }

    @Test
    void eachMegabyteIsWhatMuchAddsToLittle() {
        assertThat(new DiskUse(0, 10, 12_000_000, 60, 64_000_000).bytesPerMegabyte())
                .isEqualTo(1_040_000);
    }

    private static ApiUse.Slice slice(long medianMicros, long heapBytes) {
        return new ApiUse.Slice(1000, Duration.ofNanos(medianMicros * 1000), Duration.ofMillis(5), heapBytes);
    }

    @Test
    void readsAreWeighedBesidePgbenchRoundByRound() {
        api = Optional.of(new ApiUse(
                8,
                List.of(3000.0, 300.0, 3100.0),
                List.of(10_000.0, 1000.0, 10_000.0),
                new Latencies(),
                List.of(slice(1000, 50_000_000), slice(1400, 60_000_000))));
        assertThat(promise("reads by id ≥").verdict()).isEqualTo(Promise.Verdict.KEPT);
        assertThat(promise("reads by id stay flat").verdict()).isEqualTo(Promise.Verdict.KEPT);

        api = Optional.of(new ApiUse(
                8,
                List.of(2900.0),
                List.of(10_000.0),
                new Latencies(),
                List.of(slice(1000, 50_000_000), slice(1000, 70_000_000))));
        assertThat(promise("reads by id ≥").verdict()).isEqualTo(Promise.Verdict.BROKEN);
        assertThat(promise("reads by id stay flat").verdict()).isEqualTo(Promise.Verdict.BROKEN);
    }

    @Test
    void percentilesOfManyLatenciesAreRightToThreePercent() {
        Latencies latencies = new Latencies();
        for (int i = 1; i <= 100_000; i++) {
            latencies.add(i * 1000L);
        }
        assertThat(latencies.percentile(0.5).toNanos()).isBetween(49_900_000L, 51_700_000L);
        assertThat(latencies.percentile(0.99).toNanos()).isBetween(98_900_000L, 102_200_000L);
        latencies.add(1);
        assertThat(latencies.percentile(0.000009).toNanos()).isEqualTo(1);
    }
}
