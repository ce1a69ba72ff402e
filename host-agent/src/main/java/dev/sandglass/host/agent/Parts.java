package dev.sandglass.host.agent;

import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.guest.Renewal;
import dev.sandglass.host.image.Template;
import dev.sandglass.host.lifecycle.SandboxState;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.FileStatus;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.memory.Base;
import dev.sandglass.host.memory.BuildId;
import dev.sandglass.host.memory.Draft;
import dev.sandglass.host.memory.GenerationStore;
import dev.sandglass.host.vmm.VirtualMachine;
import dev.sandglass.host.vmm.ZeroMemory;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.HexFormat;
import java.util.function.Function;

/** What the operations on sandboxes work with. Owns none of it. */
record Parts(
        Host host,
        Ledger ledger,
        Machines machines,
        Templates templates,
        Admission admission,
        FileDescriptor zeroMemory,
        Steps steps) {

    /** The saved memory in the folder of a sandbox or snapshot. */
    SavedMemory memory(Path home, Template template, boolean booted, int memoryMb) {
        FileDescriptor mapped = booted ? zeroMemory : template.memory();
        long bytes = (long) memoryMb << 20;
        Function<VirtualMachine, FileStatus> mapping =
                booted ? _ -> ZeroMemory.mapped(bytes) : VirtualMachine::memoryFile;
        FileStatus fresh = booted ? ZeroMemory.mapped(bytes) : Linux.statx(mapped.path());
        Base base = booted
                ? Base.zero(bytes, mapped.path())
                : Base.flat(BuildId.named(template.id()), bytes, mapped.path());
        return new SavedMemory(
                GenerationStore.open(SavedMemory.directory(home), base), new SavedMemory.Mapped(fresh, mapping));
    }

    /** As {@link #memory(Path, Template, boolean, int)}, opened once. Only for the holder of the operation. */
    SavedMemory memory(Sandbox sandbox, Template template) {
        Ledger.Entry entry = sandbox.entry();
        return sandbox.memory(() -> steps.call(
                Step.MEMORY_OPEN,
                entry.id().value(),
                () -> memory(ledger.directory(entry.id()), template, entry.booted(), entry.memoryMb())));
    }

    void saveDevices(Draft draft, LiveMachine machine, Deadline deadline) {
        SavedMemory.saveDevices(
                draft, machine.vm(), host.vmm().identity(), machine.guest().protocol(), deadline);
    }

    /**
     * Gives a guest its time, its randomness, its name and its token; fails at once when its VM ends meanwhile.
     *
     * @param thaw whether it has processes that are held: they go on when all of that is right
     */
    void renew(LiveMachine machine, byte[] token, String hostname, boolean thaw, Deadline deadline) {
        Renewal renewal = new Renewal(token, InstantSource.system(), Secrets.entropy(), hostname, thaw);
        boolean _ = machine.whileAlive(() -> {
            machine.guest().renew(renewal, deadline);
            return true;
        });
    }

    /**
     * Lets a VM whose vCPUs may be stopped, and whose processes may be held, go on. Its guest is spoken to anew.
     *
     * @param guestToken what its guest accepts, before and afterwards
     */
    LiveMachine wake(LiveMachine machine, String guestToken, Deadline deadline) {
        byte[] token = HexFormat.of().parseHex(guestToken);
        machine.guest().close();
        if (!machine.vm().vcpusRunning(deadline)) {
            machine.vm().continueVcpus(deadline);
        }
        GuestClient guest = new GuestClient(Machines.guestAddress(machine.slot()), token);
        return machine.whileAlive(() -> {
            guest.goOn(InstantSource.system(), Secrets.entropy(), deadline);
            return machine.with(guest);
        });
    }

    Sandbox.Live requireLive(Sandbox sandbox) {
        Sandbox.Live live = sandbox.live();
        if (live == null) {
            throw new IllegalStateException("sandbox " + sandbox.id() + " has no VM");
        }
        return live;
    }

    /** A VM that a sandbox needs no more and that an earlier attempt could not release. */
    void releaseLeftover(Sandbox sandbox) {
        Sandbox.Live live = sandbox.live();
        if (live != null
                && (sandbox.state() instanceof SandboxState.Paused
                        || sandbox.state() instanceof SandboxState.Stopped)) {
            machines.release(live.machine());
            live.promise().close();
            sandbox.publish(sandbox.entry(), null);
        }
    }
}
