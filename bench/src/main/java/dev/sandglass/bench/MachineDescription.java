package dev.sandglass.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Optional;

/**
 * What the figures belong to.
 *
 * @param loadAverage of the last minute, before the run
 * @param accelerator what runs the guests' code: {@code tcg} or {@code kvm}, and why
 */
record MachineDescription(
        Instant startedAt,
        String cpu,
        int cores,
        long memoryMb,
        String kernel,
        double loadAverage,
        String qemu,
        String accelerator,
        String podman,
        String server) {
    private static final Duration ASK = Duration.ofSeconds(10);

    /** Without accelerator and server, which become known later. */
    static MachineDescription ofThis() {
        return new MachineDescription(
                Instant.now().truncatedTo(ChronoUnit.SECONDS),
                field("/proc/cpuinfo", "model name").orElse("unknown"),
                Runtime.getRuntime().availableProcessors(),
                field("/proc/meminfo", "MemTotal")
                        .map(text -> Long.parseLong(text.replaceAll("\\D", "")) / 1024)
                        .orElse(0L),
                System.getProperty("os.version"),
                read("/proc/loadavg")
                        .map(text -> Double.parseDouble(text.split(" ", 2)[0]))
                        .orElse(0.0),
                version("qemu-system-x86_64"),
                "unknown",
                version("podman") + ", " + version("runc"),
                "none");
    }

    MachineDescription withAccelerator(String text) {
        return new MachineDescription(startedAt, cpu, cores, memoryMb, kernel, loadAverage, qemu, text, podman, server);
    }

    MachineDescription withServer(String text) {
        return new MachineDescription(
                startedAt, cpu, cores, memoryMb, kernel, loadAverage, qemu, accelerator, podman, text);
    }

    /** Others' work on the machine was enough to spoil the figures. */
    boolean busy() {
        return loadAverage > cores * 0.75;
    }

    private static String version(String program) {
        return Program.run(ASK, program, "--version")
                .filter(result -> result.exitCode() == 0)
                .flatMap(result -> result.output().lines().findFirst())
                .orElse("no " + program);
    }

    private static Optional<String> field(String file, String name) {
        return read(file)
                .flatMap(text ->
                        text.lines().filter(line -> line.startsWith(name)).findFirst())
                .map(line -> line.substring(line.indexOf(':') + 1).strip());
    }

    private static Optional<String> read(String file) {
        try {
            return Optional.of(Files.readString(Path.of(file)));
        } catch (IOException e) {
            return Optional.empty();
        }
    }
}
