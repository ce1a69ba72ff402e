package dev.sandglass.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.cli.client.Json;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

class ReportTest {
    private static final MachineDescription MACHINE = new MachineDescription(
            Instant.parse("2026-01-02T03:04:05Z"),
            "Some CPU",
            2,
            24000,
            "6.1",
            0.25,
            "QEMU emulator version 7.2",
            "tcg (no svm)",
            "podman version 4.3.1, no runc",
            "http://127.0.0.1:8000");

    private static Outcome outcome() {
        Samples samples = new Samples();
        IntStream.rangeClosed(1, 100).forEach(i -> samples.add(Subject.EXEC_TRUE, Duration.ofMillis(i)));
        samples.add(Subject.PODMAN_EXEC, Duration.ofMillis(200));
        samples.add(Subject.CREATE, Duration.ofMillis(30));
        samples.add(Subject.PODMAN_RUN, Duration.ofMillis(300));
        return new Outcome(
                MACHINE,
                samples,
                Optional.of(new Burst(3, 3, Duration.ofSeconds(2))),
                Optional.of(new MemoryUse(3, 3, 120_000_000, 150_000_000)),
                Optional.of(new DiskUse(5_000_000, 10, 12_000_000, 60, 62_000_000)),
                Optional.empty(),
                Optional.empty(),
                Map.of("create_restore", new StepTimes.Total(4, 0.5)),
                List.of("podman run failed: no reason"));
    }

    @Test
    void theReportShowsFiguresRatiosAndVerdicts() {
        String text = new Report(outcome(), true).render();

        assertThat(text)
                .containsPattern(
                        "create → running, pool warm +1 +30.0 ms +30.0 ms +30.0 ms +max +10.0× faster than podman run")
                .containsPattern(
                        "exec true \\(REST\\) +100 +1.00 ms +50.0 ms +99.0 ms +p99 +4.00× faster than podman exec")
                .containsPattern("PSS, each of 3 idle clones +40.0 MB")
                .containsPattern("create_restore +4 +125.00 ms")
                .containsPattern("BROKEN +create → running, pool warm, p50 ≤ 25 ms +30.0 ms")
                .containsPattern("ok +create ≥ 5× faster than podman run +10.0×")
                .contains("Some CPU, 2 cores", "! podman run failed: no reason")
                .contains("pause, 10 MB changed")
                .doesNotContain("exec python3");
        assertThat(new Report(outcome(), false).render())
                .contains("create → running")
                .doesNotContain("pause, 10 MB changed");
    }

    @Test
    void theFirstBrokenPromiseIsFound() {
        assertThat(Report.firstBroken(outcome())).hasValue("create → running, pool warm, p50 ≤ 25 ms: 30.0 ms");
    }

    @Test
    void jsonHasEverySampleAndEveryVerdict() {
        JsonNode json = Json.parse(Json.writeIndented(JsonReport.of(outcome())));

        assertThat(json.path("machine").path("load_average_before").asDouble()).isEqualTo(0.25);
        JsonNode exec = json.path("times").path("exec_true");
        assertThat(exec.path("samples_ms").size()).isEqualTo(100);
        assertThat(exec.path("p50_ms").asDouble()).isEqualTo(50);
        assertThat(exec.path("p99_ms").asDouble()).isEqualTo(99);
        assertThat(json.path("times").path("create").has("p99_ms")).isFalse();
        assertThat(json.path("times").has("delete")).isFalse();
        assertThat(json.path("memory").path("pss_each_bytes").asLong()).isEqualTo(40_000_000);
        assertThat(json.path("steps").path("create_restore").path("mean_ms").asDouble())
                .isEqualTo(125);
        assertThat(json.path("promises")
                        .valueStream()
                        .map(p -> p.path("verdict").asString()))
                .startsWith("broken", "kept");
    }
}
