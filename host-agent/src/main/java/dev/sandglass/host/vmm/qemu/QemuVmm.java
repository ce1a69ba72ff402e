package dev.sandglass.host.vmm.qemu;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.host.linux.Command;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.TimeStampCounter;
import dev.sandglass.host.process.Cgroup;
import dev.sandglass.host.process.LaunchPlan;
import dev.sandglass.host.process.ProcessIdentity;
import dev.sandglass.host.process.Processes;
import dev.sandglass.host.vmm.BlankMachine;
import dev.sandglass.host.vmm.BlockLayer;
import dev.sandglass.host.vmm.BootSource;
import dev.sandglass.host.vmm.MachinePlan;
import dev.sandglass.host.vmm.MemoryLoader;
import dev.sandglass.host.vmm.StateForm;
import dev.sandglass.host.vmm.VirtualMachine;
import dev.sandglass.host.vmm.Vmm;
import dev.sandglass.host.vmm.VmmIdentity;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** QEMU's microvm, with KVM or without. */
public final class QemuVmm implements Vmm {
    private static final Duration CLEANUP = Duration.ofSeconds(5);

    private final Processes processes;
    private final QemuConfiguration configuration;
    private final Acceleration acceleration;
    private final long counterKhz;
    private final VmmIdentity identity;
    private final Set<QemuMachine> machines = ConcurrentHashMap.newKeySet();

    @GuardedBy("this")
    private @Nullable Jail jail;

    private QemuVmm(Processes processes, QemuConfiguration configuration, Acceleration acceleration) {
        this.processes = processes;
        this.configuration = configuration;
        this.acceleration = acceleration;
        this.counterKhz = TimeStampCounter.measureKhz();
        this.identity = identity(configuration, acceleration, counterKhz);
    }

    /**
     * Chooses KVM when the processor has it, /dev/kvm opens and {@code kernel} really boots under it, else emulation.
     * Takes a second on a KVM host; nothing else asks for the kernel.
     */
    public static QemuVmm probe(Processes processes, QemuConfiguration configuration, Supplier<Path> kernel) {
        return new QemuVmm(processes, configuration, Acceleration.probe(configuration, kernel));
    }

    /** What was chosen, and why. */
    public Acceleration acceleration() {
        return acceleration;
    }

    @Override
    public VmmIdentity identity() {
        return identity;
    }

    @Override
    public VirtualMachine boot(MachinePlan plan, List<BlockLayer> ownDisk, BootSource source, Deadline deadline) {
        return start(plan, deadline, control -> command(plan).boot(control, source), machine -> {
            machine.awaitListening(deadline);
            machine.takeControl();
            machine.attachDisk(ownDisk, baseNode(plan), deadline);
            machine.continueVcpus(deadline);
        });
    }

    @Override
    public BlankMachine prepare(MachinePlan plan, FileDescriptor memory, StateForm form, Deadline deadline) {
        return new Blank(
                start(plan, deadline, control -> command(plan).blank(control, memory.path(), form), machine -> {
                    machine.awaitState(deadline);
                    machine.takeControl();
                }),
                baseNode(plan));
    }

    private static Optional<String> baseNode(MachinePlan plan) {
        return plan.baseDisk().isEmpty() ? Optional.empty() : Optional.of(QemuCommand.baseNode(0));
    }

    private record Blank(QemuMachine machine, Optional<String> baseNode) implements BlankMachine {
        @Override
        public boolean alive() {
            return !machine.exit().isDone();
        }

        @Override
        public VirtualMachine restore(
                List<BlockLayer> ownDisk, FileDescriptor deviceState, MemoryLoader loader, Deadline deadline) {
            return endOnFailure(machine, () -> {
                machine.attachDisk(ownDisk, baseNode, deadline);
                machine.loadState(deviceState, loader, deadline);
            });
        }

        @Override
        public void kill(Deadline deadline) {
            machine.kill(deadline);
        }
    }

    @Override
    public VirtualMachine adopt(Path directory, ProcessIdentity identity) {
        return keep(new QemuMachine(directory.getFileName() + "", directory, processes.adopt(directory, identity)));
    }

    @Override
    public void close() {
        machines.forEach(QemuMachine::disconnect);
        synchronized (this) {
            if (jail != null) {
                jail.close();
                jail = null;
            }
        }
    }

    /** Made when the first machine needs it. */
    private synchronized Jail jail() {
        Jail current = jail;
        if (current == null) {
            current = Jail.build(realBinary());
            jail = current;
        }
        return current;
    }

    private Path realBinary() {
        try {
            return configuration.binary().toRealPath();
        } catch (IOException e) {
            throw new UncheckedIOException("find QEMU at " + configuration.binary(), e);
        }
    }

    private QemuMachine keep(QemuMachine machine) {
        machines.add(machine);
        var _ = machine.exit().thenRun(() -> {
            machines.remove(machine);
            machine.disconnect();
        });
        return machine;
    }

    private QemuCommand command(MachinePlan plan) {
        return new QemuCommand(configuration, acceleration, counterKhz, jail(), plan);
    }

    @FunctionalInterface
    private interface Preparation {
        void prepare(QemuMachine machine);
    }

    private QemuMachine start(
            MachinePlan plan, Deadline deadline, Function<Path, List<String>> argv, Preparation preparation) {
        Path control = prepareDirectory(plan);
        LaunchPlan launch = new LaunchPlan(plan.name(), plan.directory(), argv.apply(control), cgroup(plan));
        QemuMachine machine = keep(new QemuMachine(plan.name(), plan.directory(), processes.start(launch, deadline)));
        return endOnFailure(machine, () -> preparation.prepare(machine));
    }

    private static QemuMachine endOnFailure(QemuMachine machine, Runnable work) {
        try {
            work.run();
            return machine;
        } catch (RuntimeException | Error failure) {
            try {
                machine.kill(Deadline.after(CLEANUP));
            } catch (RuntimeException e) {
                failure.addSuppressed(e);
            }
            throw failure;
        }
    }

    private static Optional<Cgroup> cgroup(MachinePlan plan) {
        List<Path> files = plan.confinement().cgroupProcs();
        return files.isEmpty() ? Optional.empty() : Optional.of(new Cgroup(plan.name(), files));
    }

    private static Path prepareDirectory(MachinePlan plan) {
        Path directory = plan.directory();
        var rootOnly = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));
        if (Processes.find(directory).filter(ProcessIdentity::alive).isPresent()) {
            throw new IllegalStateException(plan.name() + ": a machine runs in its directory");
        }
        try {
            Files.createDirectories(directory, rootOnly);
            Path control = QemuMachine.control(directory).path();
            return ControlDirectory.create(control, plan.confinement().uid()).path();
        } catch (IOException e) {
            throw new UncheckedIOException("prepare the directory of " + plan.name(), e);
        }
    }

    private static VmmIdentity identity(QemuConfiguration configuration, Acceleration acceleration, long counterKhz) {
        TreeMap<String, String> properties = new TreeMap<>();
        properties.put("vmm", "qemu");
        properties.put(
                "build",
                Command.of(configuration.binary().toString(), "--version")
                        .run()
                        .lines()
                        .findFirst()
                        .orElse("unknown"));
        properties.put("binary", sha256(configuration.binary()));
        properties.put("accelerator", acceleration.accelerator());
        properties.put("cpu", QemuCommand.CPU);
        // A guest keeps the rate it was booted with. Rounded, since it is measured; real ones differ by far more.
        properties.put("cpu.counter", Math.round(counterKhz / 1000.0) + " MHz");
        if (acceleration.kvm()) {
            properties.put(
                    "cpu.flags", String.join(" ", new TreeSet<>(Acceleration.cpuFlags(Path.of("/proc/cpuinfo")))));
        }
        properties.put("machine", QemuCommand.MACHINE);
        properties.put("devices", QemuCommand.DEVICES);
        return new VmmIdentity(properties);
    }

    private static String sha256(Path file) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file)));
        } catch (IOException e) {
            throw new UncheckedIOException("read " + file, e);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
