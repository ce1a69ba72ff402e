package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Scope;
import dev.sandglass.host.disk.Disk;
import dev.sandglass.host.image.Template;
import dev.sandglass.host.lifecycle.SandboxState;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.memory.Draft;
import dev.sandglass.host.vmm.DiskSwitch;
import dev.sandglass.host.vmm.VirtualMachine;
import java.nio.file.Path;
import java.time.Duration;
import java.time.InstantSource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Takes a snapshot of a paused or a running sandbox. A running one stands still only while device state, changed pages
 * and the switch to a new disk layer are taken; what was taken is made durable while it goes on.
 */
final class TakeSnapshot {
    private static final Logger log = LoggerFactory.getLogger(TakeSnapshot.class);
    static final Duration TIMEOUT = Duration.ofMinutes(2);

    private final Parts parts;
    private final Snapshots snapshots;
    private final Deaths deaths;

    TakeSnapshot(Parts parts, Snapshots snapshots, Deaths deaths) {
        this.parts = parts;
        this.snapshots = snapshots;
        this.deaths = deaths;
    }

    /** What came of it. */
    record Taken(long sizeBytes, int vcpus, int memoryMb) {}

    /**
     * The holder of the sandbox's operation calls this.
     *
     * @throws PlatformException ALREADY_EXISTS, INVALID_STATE, DISK_FULL, and the sandbox is as before; AGENT_ERROR when its
     *     machine ended meanwhile, and then it is stopped
     */
    Taken run(Sandbox sandbox, SnapshotId id, Deadline deadline) {
        if (snapshots.exists(id)) {
            throw new PlatformException(ErrorCode.ALREADY_EXISTS, "Snapshot " + id + " exists on this host already.");
        }
        parts.releaseLeftover(sandbox);
        parts.admission().requireDisk();
        Ledger.Entry entry = sandbox.entry();
        String name = sandbox.id().value();
        try (Templates.Lease lease = parts.templates().lease(entry.template());
                Scope scope = Scope.open("take snapshot " + id)) {
            Path draft = parts.steps().call(Step.SNAPSHOT_BEGIN, name, () -> snapshots.begin(id));
            scope.defer("draft", () -> snapshots.abandon(draft));
            SavedMemory memory = parts.memory(sandbox, lease.template());
            String guestToken = switch (sandbox.state()) {
                case SandboxState.Paused paused -> {
                    parts.steps().run(Step.SNAPSHOT_LAYER, name, () -> push(sandbox, lease.template(), deadline));
                    yield paused.guestToken();
                }
                case SandboxState.Running running -> {
                    captureOrStop(sandbox, lease.template(), memory, deadline);
                    yield running.machine().guestToken();
                }
                default ->
                    throw new PlatformException(
                            ErrorCode.INVALID_STATE,
                            "Sandbox " + sandbox.id() + " is " + sandbox.publicState()
                                    + "; a snapshot is taken of a running or paused one.");
            };
            parts.steps().run(Step.SNAPSHOT_LINK, name, () -> {
                memory.linkTo(draft);
                parts.host().disks().shareFrozen(home(sandbox), draft);
            });
            long size = parts.steps()
                    .call(
                            Step.SNAPSHOT_PUBLISH,
                            name,
                            () -> snapshots.publish(draft, id, Snapshots.Content.of(id, entry, guestToken)));
            scope.handOver();
            log.info("sandbox={} snapshot={} size_bytes={}", name, id, size);
            return new Taken(size, entry.vcpus(), entry.memoryMb());
        }
    }

    private Path home(Sandbox sandbox) {
        return parts.ledger().directory(sandbox.id());
    }

    private Disk push(Sandbox sandbox, Template template, Deadline deadline) {
        return parts.host().disks().push(home(sandbox), Host.layers(template), deadline);
    }

    private void captureOrStop(Sandbox sandbox, Template template, SavedMemory memory, Deadline deadline) {
        LiveMachine machine = parts.requireLive(sandbox).machine();
        try {
            capture(sandbox, template, memory, deadline);
        } catch (RuntimeException failure) {
            throw deaths.explain(sandbox, machine, "held for a snapshot", failure)
                    .orElse(failure);
        }
    }

    /** Its generations and frozen disk layers are those of one moment afterwards, and it runs. */
    private void capture(Sandbox sandbox, Template template, SavedMemory memory, Deadline deadline) {
        String name = sandbox.id().value();
        Sandbox.Live live = parts.requireLive(sandbox);
        VirtualMachine vm = live.machine().vm();
        try (DiskSwitch layer = parts.steps()
                        .call(Step.SNAPSHOT_LAYER, name, () -> prepareLayer(sandbox, template, vm, deadline));
                Draft draft = parts.steps().call(Step.SNAPSHOT_DRAFT, name, memory::begin)) {
            try {
                parts.steps().run(Step.SNAPSHOT_FREEZE, name, () -> Pause.freeze(live.machine(), name));
                parts.steps().run(Step.SNAPSHOT_STOP, name, () -> vm.stopVcpus(deadline));
                save(name, memory, draft, live.machine(), deadline);
                parts.steps().run(Step.SNAPSHOT_DISK, name, () -> layer.commit(deadline));
            } catch (RuntimeException failure) {
                goOnAfter(failure, sandbox, live);
                throw failure;
            }
            goOn(sandbox, live);
            parts.steps().run(Step.SNAPSHOT_COMMIT, name, draft::commit);
        }
    }

    private DiskSwitch prepareLayer(Sandbox sandbox, Template template, VirtualMachine vm, Deadline deadline) {
        // Of an earlier attempt: the VM never wrote to it.
        parts.host().disks().discardAbove(home(sandbox), vm.topDiskInode(deadline));
        Disk disk = push(sandbox, template, deadline);
        // The stop syncs what was written: the less is left for it, the shorter it is.
        try (FileDescriptor top = Linux.open(disk.layers().get(1).file(), Linux.O_RDONLY, 0)) {
            Linux.fsync(top);
        }
        return vm.prepareDiskLayer(disk.layers().getFirst().file(), deadline);
    }

    private void save(String name, SavedMemory memory, Draft draft, LiveMachine machine, Deadline deadline) {
        try (Beside<Boolean> devices = Beside.run(() ->
                parts.steps().run(Step.SNAPSHOT_DEVICES, name, () -> parts.saveDevices(draft, machine, deadline)))) {
            parts.steps().call(Step.SNAPSHOT_MEMORY, name, () -> memory.savePages(draft, machine.vm()));
            devices.join();
        }
    }

    private void goOnAfter(RuntimeException failure, Sandbox sandbox, Sandbox.Live live) {
        try {
            goOn(sandbox, live);
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
        }
    }

    /** Its connections stay, so nobody who is in it notices. */
    private void goOn(Sandbox sandbox, Sandbox.Live live) {
        Deadline deadline = Deadline.after(Pause.WAKE_TIMEOUT);
        parts.steps().run(Step.SNAPSHOT_CONTINUE, sandbox.id().value(), () -> {
            live.machine().vm().continueVcpus(deadline);
            live.machine().guest().goOn(InstantSource.system(), Secrets.entropy(), deadline);
        });
    }
}
