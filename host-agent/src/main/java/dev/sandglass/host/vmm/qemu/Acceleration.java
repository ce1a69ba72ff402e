package dev.sandglass.host.vmm.qemu;

import dev.sandglass.host.linux.Command;
import dev.sandglass.host.linux.CommandFailed;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * How guests' code is run, and why so.
 *
 * @param reason for people, a clause: "the processor has neither svm nor vmx"
 */
public record Acceleration(boolean kvm, String reason) {
    public enum Choice {
        AUTOMATIC,
        KVM,
        EMULATION
    }

    /** A booted kernel is the only proof; on real hardware it takes under a second, in a nested emulation 10. */
    private static final Duration TRIAL = Duration.ofSeconds(40);

    private static final Path CPUINFO = Path.of("/proc/cpuinfo");
    private static final Path KVM = Path.of("/dev/kvm");

    /** {@code kvm} or {@code tcg}, as QEMU calls it. */
    public String accelerator() {
        return kvm ? "kvm" : "tcg";
    }

    /** Everything but the trial: without a kernel at hand, what {@link #probe} would most likely find. */
    public static Acceleration examine(Choice choice) {
        return switch (choice) {
            case KVM -> new Acceleration(true, "KVM is asked for by the configuration");
            case EMULATION -> new Acceleration(false, "emulation is asked for by the configuration");
            case AUTOMATIC ->
                obstacle()
                        .map(why -> new Acceleration(false, why))
                        .orElseGet(() -> new Acceleration(true, "the processor has it and /dev/kvm opens"));
        };
    }

    /** Boots {@code kernel} under KVM where everything else speaks for it. */
    static Acceleration probe(QemuConfiguration configuration, Supplier<Path> kernel) {
        Acceleration examined = examine(configuration.acceleration());
        if (!examined.kvm || configuration.acceleration() != Choice.AUTOMATIC) {
            return examined;
        }
        return bootsUnder("kvm", configuration.binary(), kernel.get(), "", TRIAL)
                ? new Acceleration(true, "a trial guest booted")
                : new Acceleration(false, "/dev/kvm opens, but a trial guest did not boot");
    }

    private static Optional<String> obstacle() {
        return obstacle(CPUINFO, KVM);
    }

    /** Opening /dev/kvm proves nothing: inside some virtual machines it opens and guests die in it. */
    static Optional<String> obstacle(Path cpuinfo, Path kvm) {
        if (cpuFlags(cpuinfo).stream().noneMatch(flag -> flag.equals("svm") || flag.equals("vmx"))) {
            return Optional.of(
                    "the processor has neither svm nor vmx (virtualisation is off in the firmware, or this is"
                            + " a virtual machine itself)");
        }
        try {
            Linux.open(kvm, Linux.O_RDWR, 0).close();
            return Optional.empty();
        } catch (LinuxException e) {
            return Optional.of("/dev/kvm cannot be opened (" + e.getMessage() + ")");
        }
    }

    /** Of the first processor; empty when they cannot be read. */
    static List<String> cpuFlags(Path cpuinfo) {
        try (Stream<String> lines = Files.lines(cpuinfo, StandardCharsets.UTF_8)) {
            return lines.filter(line -> line.startsWith("flags"))
                    .findFirst()
                    .map(line ->
                            List.of(line.substring(line.indexOf(':') + 1).trim().split(" ")))
                    .orElse(List.of());
        } catch (IOException e) {
            return List.of();
        }
    }

    /**
     * Without a root file system a kernel ends in a panic, which says that all before it was executed rightly.
     *
     * @param clock kernel arguments that tell the time stamp counter's rate, where it cannot be found out
     */
    static boolean bootsUnder(String accelerator, Path binary, Path kernel, String clock, Duration limit) {
        try {
            return Command.of(List.of(
                            binary.toString(),
                            "-accel",
                            accelerator,
                            "-cpu",
                            "max",
                            "-M",
                            "microvm,acpi=on",
                            "-m",
                            "128M",
                            "-nodefaults",
                            "-no-user-config",
                            "-display",
                            "none",
                            "-no-reboot",
                            "-serial",
                            "stdio",
                            "-kernel",
                            kernel.toString(),
                            "-append",
                            "console=ttyS0 loglevel=3 panic=-1 pci=off " + clock))
                    .timeout(limit)
                    .run()
                    .contains("Kernel panic");
        } catch (CommandFailed e) {
            return false;
        }
    }
}
