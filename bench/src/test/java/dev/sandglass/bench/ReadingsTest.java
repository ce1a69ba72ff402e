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
    void aSnapshotStandsStillFromTheStopToTheContinue() {
        String steps = "";
        for (String step : List.of("stop", "devices", "memory", "disk", "continue", "commit")) {
            steps += "sandglass_step_seconds_count{step=\"snapshot_" + step + "\"} 1\n";
            steps += "sandglass_step_seconds_sum{step=\"snapshot_" + step + "\"} 0.01\n";
        }
        assertThat(SnapshotStops.standing(StepTimes.parse(steps)))
                .as("devices and memory are saved side by side")
                .hasValue(Duration.ofMillis(40));
        assertThat(SnapshotStops.standing(StepTimes.parse(steps.replace("} 1\n", "} 2\n"))))
                .isEmpty();
    }

    @Test
    void thePoolsGaugeIsRead() {
        assertThat(Pool.ready("# TYPE sandglass_pool_ready gauge\nsandglass_pool_ready 3.0\n"))
                .isEqualTo(3);
        assertThat(Pool.ready("sandglass_pool_ready{host=\"a\",} 2.0\n")).isEqualTo(2);
        assertThat(Pool.ready("")).isZero();
    }

    @Test
    void aSandboxsFilesAreCountedByTheirBlocksAndItsMachineIsFound(@TempDir Path home) throws IOException {
        Path directory = Files.createDirectories(home.resolve("sandboxes/sb1/memory"));
        Files.write(directory.resolve("generation"), new byte[100_000]);
        try (var sparse =
                new java.io.RandomAccessFile(directory.resolve("sparse").toFile(), "rw")) {
            sparse.setLength(1 << 30);
        }
        HostFiles files = new HostFiles(home);
        assertThat(files.allocatedBytes("sb1")).isBetween(100_000L, 200_000L);
        assertThat(files.machine("sb1")).isEmpty();
        String machine = "vm" + "0a".repeat(10);
        String token = "5f".repeat(32);
        Files.writeString(
                home.resolve("sandboxes/sb1/ledger.json"),
                "{\"machine\":{\"name\":\"" + machine + "\",\"guestToken\":\"" + token + "\"}}");
        assertThat(files.machine("sb1")).hasValue(machine);
        assertThat(files.guestToken("sb1")).hasValue(token);
    }

    @Test
    void troublesAreWhatWasLoggedSince(@TempDir Path home) throws IOException {
        Path log = Files.createDirectories(home.resolve("log")).resolve("sandglass.log");
        Files.writeString(log, "2026-01-01T00:00:00.000 WARN  [x] A: before\n");
        HostFiles files = new HostFiles(home);
        long length = files.logLength();
        Files.writeString(
                log,
                "2026-01-01T00:00:01.000 INFO  [x] A: fine\n2026-01-01T00:00:01.000 ERROR [x] A: after\n",
                java.nio.file.StandardOpenOption.APPEND);
        assertThat(files.troublesSince(length)).containsExactly("2026-01-01T00:00:01.000 ERROR [x] A: after");
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
