package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Scope;
import dev.sandglass.host.disk.Disk;
import dev.sandglass.host.disk.DiskLayer;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.image.Shape;
import dev.sandglass.host.image.Template;
import dev.sandglass.host.lifecycle.Machine;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.network.Slot;
import dev.sandglass.host.process.Cgroup;
import dev.sandglass.host.process.ProcessIdentity;
import dev.sandglass.host.vmm.BlankMachine;
import dev.sandglass.host.vmm.BlockLayer;
import dev.sandglass.host.vmm.BootSource;
import dev.sandglass.host.vmm.MachinePlan;
import dev.sandglass.host.vmm.StateForm;
import dev.sandglass.host.vmm.VirtualMachine;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * Makes VMs with what they need to live (directory, network slot, control group) and releases all of it. A machine
 * belongs to nobody until a ledger names it; what no ledger names is removed when the agent starts. Thread-safe.
 */
final class Machines {
    private static final String PREFIX = "vm";
    private static final int NAME_CHARACTERS = 20;
    /** With less than this a failed start is put down to a full disk. */
    private static final long SPACE_MIN = 1 << 20;

    private static final Duration RELEASE_TIMEOUT = Duration.ofSeconds(30);
    /** Port of the guest agent, guest.proto. */
    private static final int GUEST_PORT = 49983;

    private final Host host;
    private final Path directory;
    private final Steps steps;

    /** @param directory one folder for each machine; made if absent */
    Machines(Host host, Path directory, Steps steps) {
        this.host = host;
        this.directory = directory;
        this.steps = steps;
        Host.createDirectory(directory);
    }

    /**
     * What is known of a machine before it is known whose it becomes.
     *
     * @param baseDisk the layers that others read as well, top first
     * @param background it gets what other machines leave of the processor until somebody waits for it
     */
    record Frame(int vcpus, int memoryMb, List<DiskLayer> baseDisk, boolean background) {
        /** For clones of a template, and what became of them. */
        static Frame of(Template template, boolean background) {
            Shape shape = template.shape();
            return new Frame(shape.vcpus(), shape.memoryMb(), Host.layers(template), background);
        }
    }

    /** A machine that waits for a disk and a state. */
    record Blank(String name, Slot slot, BlankMachine vm, boolean background) {}

    /**
     * What makes a machine somebody's.
     *
     * @param disk gives its disk, in the machine's directory or elsewhere
     * @param guestToken what its guest accepts
     * @param background as of {@link Frame}
     */
    @SuppressWarnings("ArrayRecordComponent") // a secret, compared nowhere
    record Content(Function<Path, Disk> disk, byte[] guestToken, boolean background) {
        Content {
            guestToken = guestToken.clone();
        }
    }

    /** Where a machine keeps what only it needs. */
    Path directory(String name) {
        return directory.resolve(name);
    }

    LiveMachine boot(Frame frame, Content content, BootSource source, Deadline deadline) {
        return make(frame, deadline, (name, slot, plan) -> {
            List<BlockLayer> own = ownDisk(name, content);
            VirtualMachine vm =
                    steps.call(Step.MACHINE_BOOT, name, () -> host.vmm().boot(plan, own, source, deadline));
            return live(name, slot, vm, content);
        });
    }

    /** @param memory as of {@link dev.sandglass.host.vmm.Vmm#prepare} */
    Blank prepare(Frame frame, FileDescriptor memory, StateForm form, Deadline deadline) {
        return make(
                frame,
                deadline,
                (name, slot, plan) -> new Blank(
                        name,
                        slot,
                        steps.call(Step.MACHINE_PREPARE, name, () -> host.vmm().prepare(plan, memory, form, deadline)),
                        frame.background));
    }

    /**
     * The blank is used up, also by a failure.
     *
     * @param restore as of {@link BlankMachine#restore}
     */
    LiveMachine restore(Blank blank, Content content, Function<List<BlockLayer>, VirtualMachine> restore) {
        String name = blank.name();
        try {
            List<BlockLayer> own = ownDisk(name, content);
            VirtualMachine vm = steps.call(Step.MACHINE_RESTORE, name, () -> {
                if (blank.background && !content.background) {
                    host.cgroups().setBackground(name, false);
                }
                return restore.apply(own);
            });
            return live(name, blank.slot(), vm, content);
        } catch (RuntimeException failure) {
            try {
                release(blank);
            } catch (RuntimeException e) {
                failure.addSuppressed(e);
            }
            throw failure;
        }
    }

    private List<BlockLayer> ownDisk(String name, Content content) {
        return steps.call(
                Step.MACHINE_DISK,
                name,
                () -> Host.blockLayers(content.disk.apply(directory(name)).own()));
    }

    private static LiveMachine live(String name, Slot slot, VirtualMachine vm, Content content) {
        return new LiveMachine(name, slot, vm, new GuestClient(guestAddress(slot), content.guestToken));
    }

    @FunctionalInterface
    private interface Body<T> {
        T start(String name, Slot slot, MachinePlan plan);
    }

    /** The body ends the VM that it started, if it fails. */
    private <T> T make(Frame frame, Deadline deadline, Body<T> body) {
        String name = PREFIX + Ids.randomCharacters(NAME_CHARACTERS);
        Path home = directory(name);
        try (Scope scope = Scope.open("make machine " + name)) {
            scope.defer("directory of " + name, () -> Host.removeDirectory(home));
            steps.run(Step.MACHINE_DIRECTORY, name, () -> Host.createDirectory(home));
            Slot slot =
                    steps.call(Step.MACHINE_SLOT, name, () -> host.networks().acquire(deadline));
            scope.defer("slot of " + name, () -> host.networks().release(slot));
            scope.defer("cgroup of " + name, () -> host.cgroups().remove(name));
            Cgroup cgroup = steps.call(Step.MACHINE_CGROUP, name, () -> createCgroup(name, frame));
            T made = body.start(name, slot, host.plan(home, name, frame, slot, cgroup));
            scope.handOver();
            return made;
        } catch (RuntimeException failure) {
            throw fullOr(failure);
        }
    }

    /** A process that cannot be started on a full disk says so in many ways; what has words for people keeps them. */
    private RuntimeException fullOr(RuntimeException failure) {
        return failure instanceof PlatformException || Linux.statfs(directory).availableBytes() >= SPACE_MIN
                ? failure
                : new PlatformException(
                        ErrorCode.DISK_FULL,
                        "The host's disk is full: no machine can be started. Remove sandboxes or snapshots that are not"
                                + " needed, then try again.",
                        failure);
    }

    private Cgroup createCgroup(String name, Frame frame) {
        Cgroup cgroup = host.createCgroup(name, frame.vcpus, frame.memoryMb);
        if (frame.background) {
            host.cgroups().setBackground(name, true);
        }
        return cgroup;
    }

    static InetSocketAddress guestAddress(Slot slot) {
        return new InetSocketAddress(slot.hostAddress(), GUEST_PORT);
    }

    /** Ends the VM and releases everything. Idempotent, so that a release that failed half-way is tried again. */
    void release(LiveMachine machine) {
        machine.guest().close();
        release(machine.name(), machine.slot(), machine.vm()::kill);
    }

    void release(Blank blank) {
        release(blank.name(), blank.slot(), blank.vm()::kill);
    }

    private void release(String name, Slot slot, Consumer<Deadline> kill) {
        steps.run(Step.RELEASE_VM, name, () -> kill.accept(Deadline.after(RELEASE_TIMEOUT)));
        steps.run(Step.RELEASE_CGROUP, name, () -> host.cgroups().remove(name));
        steps.run(Step.RELEASE_SLOT, name, () -> host.networks().release(slot));
        steps.run(Step.RELEASE_DIRECTORY, name, () -> Host.removeDirectory(directory(name)));
    }

    // ---- After the death of an agent

    static ProcessIdentity identity(Machine machine) {
        return new ProcessIdentity(machine.pid(), machine.startTicks());
    }

    /** The VM that a ledger names, dead or alive; its slot is taken only if it lives. */
    VirtualMachine vm(Machine machine) {
        return host.vmm().adopt(directory(machine.name()), identity(machine));
    }

    /** One that lives. {@code guestToken} is what its guest accepts. */
    LiveMachine adopt(Machine machine, VirtualMachine vm, String guestToken) {
        Slot slot = host.networks().taken(machine.slot());
        GuestClient guest = new GuestClient(guestAddress(slot), HexFormat.of().parseHex(guestToken));
        return new LiveMachine(machine.name(), slot, vm, guest);
    }

    /** Removes everything that does not belong to one of {@code living}, but for the directories of {@code dead}. */
    void reclaim(List<Machine> living, Set<String> dead) {
        Set<String> names = new HashSet<>();
        Set<Integer> slots = new HashSet<>();
        living.forEach(machine -> {
            names.add(machine.name());
            slots.add(machine.slot());
        });
        host.cgroups().existing().stream().filter(name -> !names.contains(name)).forEach(host.cgroups()::remove);
        host.networks().reclaim(slots);
        try (Stream<Path> folders = Files.list(directory)) {
            folders.filter(folder -> {
                        String name = String.valueOf(folder.getFileName());
                        return !names.contains(name) && !dead.contains(name);
                    })
                    .forEach(Host::removeDirectory);
        } catch (IOException e) {
            throw new UncheckedIOException("list machines", e);
        }
    }

    /** Of a dead one, once its last words have been read. */
    void forget(Machine machine) {
        steps.run(Step.RELEASE_DIRECTORY, machine.name(), () -> Host.removeDirectory(directory(machine.name())));
    }
}
