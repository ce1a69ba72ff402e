package dev.sandglass.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.bench.Promise.Verdict;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class PromiseTest {
    private final Samples samples = new Samples();

    private void took(Subject subject, long millis) {
        samples.add(subject, Duration.ofMillis(millis));
    }

    private List<Verdict> verdicts(Optional<MemoryUse> memory) {
        return Promise.weigh(samples, memory).stream().map(Promise::verdict).toList();
    }

    @Test
    void limitsThemselvesAreStillKept() {
        took(Subject.CREATE, 500);
        took(Subject.COLD_BOOT, 4000);
        took(Subject.EXEC_TRUE, 60);
        took(Subject.PODMAN_EXEC, 61);

        assertThat(verdicts(Optional.of(new MemoryUse(2, 2, 90_000_000, 150_000_000))))
                .containsOnly(Verdict.KEPT);
    }

    @Test
    void oneBeyondALimitBreaksThePromise() {
        took(Subject.CREATE, 501);
        took(Subject.COLD_BOOT, 4000);
        took(Subject.EXEC_TRUE, 61);
        took(Subject.PODMAN_EXEC, 61);

        assertThat(verdicts(Optional.of(new MemoryUse(2, 1, 90_000_000, 150_000_002))))
                .containsOnly(Verdict.BROKEN);
    }

    @Test
    void whatWasNotMeasuredIsNeitherKeptNorBroken() {
        assertThat(verdicts(Optional.empty())).containsOnly(Verdict.NOT_MEASURED);
        took(Subject.CREATE, 100);
        assertThat(verdicts(Optional.empty())).startsWith(Verdict.KEPT, Verdict.NOT_MEASURED);
    }

    @Test
    void memoryOfASingleSandboxSaysNothingOfTheOnesBeyondIt() {
        assertThat(verdicts(Optional.of(new MemoryUse(1, 1, 90_000_000, 90_000_000))))
                .endsWith(Verdict.NOT_MEASURED, Verdict.KEPT);
    }

    @Test
    void eachBeyondTheFirstIsWhatTheOthersHaveAdded() {
        assertThat(new MemoryUse(20, 20, 100, 2000).bytesEachBeyondFirst()).isEqualTo(100);
        assertThat(new MemoryUse(20, 20, 100, 2000).bytesEach()).isEqualTo(100);
    }
}
