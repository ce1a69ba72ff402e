package dev.sandglass.host.agent;

import dev.sandglass.contract.Id.Ids;
import dev.sandglass.host.disk.Disk;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.lifecycle.Machine;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.Scope;
import dev.sandglass.host.network.Slot;
import dev.sandglass.host.process.Cgroup;
import dev.sandglass.host.process.ProcessIdentity;
import dev.sandglass.host.vmm.MachinePlan;
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
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * Makes VMs with what they need to live (directory, network slot, control group) and releases all of it. A machine
 * belongs to nobody until a ledger names it; what no ledger names is removed when the agent starts. Thread-safe.
 */
final class Machines {
    private static final String PREFIX = "vm";
    private static final int NAME_CHARACTERS = 20;
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
     * What a machine is made from.
     *
     * @param disk gives its disk, in the machine's directory or elsewhere
     * @param start makes the VM, by boot or restore
     * @param guestToken what its guest accepts
     * @param background it gets what other machines leave of the processor until somebody waits for it
     */
    @SuppressWarnings("ArrayRecordComponent") // a secret, compared nowhere
    record Recipe(
            int vcpus,
            int memoryMb,
            Function<Path, Disk> disk,
            Function<MachinePlan, VirtualMachine> start,
            byte[] guestToken,
            boolean background) {
        Recipe {
            guestToken = guestToken.clone();
        }
    }

    /** Where a machine keeps what only it needs. */
    Path directory(String name) {
        return directory.resolve(name);
    }

    LiveMachine make(Recipe recipe, Deadline deadline) {
        String name = PREFIX + Ids.randomCharacters(NAME_CHARACTERS);
        Path home = directory(name);
        try (Scope scope = Scope.open("make machine " + name)) {
            scope.defer("directory of " + name, () -> Host.removeDirectory(home));
            steps.run(Step.MACHINE_DIRECTORY, name, () -> Host.createDirectory(home));
            Slot slot =
                    steps.call(Step.MACHINE_SLOT, name, () -> host.networks().acquire(deadline));
            scope.defer("slot of " + name, () -> host.networks().release(slot));
            scope.defer("cgroup of " + name, () -> host.cgroups().remove(name));
            Cgroup cgroup = steps.call(Step.MACHINE_CGROUP, name, () -> createCgroup(name, recipe));
            Disk disk = steps.call(Step.MACHINE_DISK, name, () -> recipe.disk.apply(home));
            MachinePlan plan = host.plan(home, name, recipe.vcpus, recipe.memoryMb, disk, slot, cgroup);
            VirtualMachine vm = steps.call(Step.MACHINE_START, name, () -> recipe.start.apply(plan));
            scope.defer("VM of " + name, () -> vm.kill(Deadline.after(RELEASE_TIMEOUT)));
            LiveMachine machine =
                    new LiveMachine(name, slot, vm, new GuestClient(guestAddress(slot), recipe.guestToken));
            scope.handOver();
            return machine;
        }
    }

    private Cgroup createCgroup(String name, Recipe recipe) {
        Cgroup cgroup = host.createCgroup(name, recipe.vcpus, recipe.memoryMb);
        if (recipe.background) {
            host.cgroups().setBackground(name, true);
        }
        return cgroup;
    }

    static InetSocketAddress guestAddress(Slot slot) {
        return new InetSocketAddress(slot.hostAddress(), GUEST_PORT);
    }

    /** Ends the VM and releases everything. Idempotent, so that a release that failed half-way is tried again. */
    void release(LiveMachine machine) {
        String name = machine.name();
        machine.guest().close();
        steps.run(Step.RELEASE_VM, name, () -> machine.vm().kill(Deadline.after(RELEASE_TIMEOUT)));
        steps.run(Step.RELEASE_CGROUP, name, () -> host.cgroups().remove(name));
        steps.run(Step.RELEASE_SLOT, name, () -> host.networks().release(machine.slot()));
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
