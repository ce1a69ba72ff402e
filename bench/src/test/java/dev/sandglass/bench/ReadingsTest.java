package dev.sandglass.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is read from texts that others write. */
class ReadingsTest {
    private static final String METRICS = """
            # HELP sandglass_step_seconds
            # TYPE sandglass_step_seconds summary
            sandglass_step_seconds_count{step="create_restore",} 3
            sandglass_step_seconds_sum{step="create_restore",} 0.6
            sandglass_step_seconds_count{host="a",step="destroy_vm"} 1
            sandglass_step_seconds_sum{host="a",step="destroy_vm"} 0.1
            sandglass_step_seconds_max{step="create_restore",} 0.3
            jvm_threads_live_threads 20.0
            """;

    @Test
    void stepTimersAreReadFromMetrics() {
        assertThat(StepTimes.parse(METRICS))
                .containsEntry("create_restore", new StepTimes.Total(3, 0.6))
                .containsEntry("destroy_vm", new StepTimes.Total(1, 0.1))
                .hasSize(2);
        assertThat(StepTimes.parse("")).isEmpty();
    }

    @Test
    void onlyStepsThatHappenedBetweenTwoReadingsCount() {
        var later = StepTimes.parse(METRICS.replace("\",} 3", "\",} 5").replace("0.6", "1.0"));

        var passed = StepTimes.between(StepTimes.parse(METRICS), later);

        assertThat(passed)
                .hasSize(1)
                .hasEntrySatisfying(
                        "create_restore",
                        total -> assertThat(total.meanMillis()).isBetween(199.9, 200.1));
    }

    @Test
    void memoryIsThatOfProcessesWithASandboxOnTheirCommandLine(@TempDir Path proc) throws IOException {
        process(proc, 10, "qemu\0-name\0abc-sb1111", 100);
        process(proc, 11, "sh\0supervise\0abc-sb1111", 7);
        process(proc, 12, "qemu\0-name\0abc-sb2222", 1000);
        Files.createDirectories(proc.resolve("sys"));

        assertThat(VmMemory.proportionalBytes(proc, List.of("sb1111"))).isEqualTo(107 * 1024);
        assertThat(VmMemory.proportionalBytes(proc, List.of("sb3333"))).isZero();
    }

    private static void process(Path proc, int pid, String commandLine, int kibibytes) throws IOException {
        Path directory = Files.createDirectories(proc.resolve(Integer.toString(pid)));
        Files.writeString(directory.resolve("cmdline"), commandLine);
        Files.writeString(
                directory.resolve("smaps_rollup"), "Rss: 999 kB\nPss:      " + kibibytes + " kB\nPss_Anon:  1 kB\n");
    }

    @Test
    void thisProcessHasMemory() throws IOException {
        assertThat(VmMemory.pss(Files.readString(Path.of("/proc/self/smaps_rollup"))))
                .isPositive();
    }

    @Test
    void aProgramIsTimedAndItsOutputKept() {
        Program.Result result = Program.run(Duration.ofSeconds(5), "sh", "-c", "echo first; echo last >&2; exit 3")
                .orElseThrow();

        assertThat(result.exitCode()).isEqualTo(3);
        assertThat(result.output()).contains("first");
        assertThat(result.lastLine()).isEqualTo("last");
        assertThat(Program.run(Duration.ofMillis(50), "sleep", "20")).isEmpty();
        assertThat(Program.run(Duration.ofSeconds(5), "no-such-program-here")).isEmpty();
    }

    @Test
    void unitsHaveThreeSignificantDigits() {
        assertThat(Units.time(Duration.ofNanos(1_234_567))).isEqualTo("1.23 ms");
        assertThat(Units.time(Duration.ofMillis(45))).isEqualTo("45.0 ms");
        assertThat(Units.time(Duration.ofMillis(4567))).isEqualTo("4.57 s");
        assertThat(Units.ratio(12.34)).isEqualTo("12.3×");
        assertThat(Units.megabytes(45_678_900)).isEqualTo("45.7 MB");
    }

    @Test
    void thisMachineIsDescribed() {
        MachineDescription machine = MachineDescription.ofThis();

        assertThat(machine.cores()).isPositive();
        assertThat(machine.memoryMb()).isPositive();
        assertThat(machine.cpu()).isNotEmpty();
    }
}
