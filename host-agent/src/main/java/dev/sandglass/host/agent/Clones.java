package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.Scope;
import dev.sandglass.host.disk.Disk;
import dev.sandglass.host.image.Shape;
import dev.sandglass.host.image.Template;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.vmm.MemoryLoader;
import dev.sandglass.host.vmm.StateForm;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.Optional;
import java.util.function.Function;

/**
 * Makes clones of templates and snapshots: machines whose vCPUs have not run yet, with the folder of a sandbox-to-be
 * (disk, saved memory) inside their own. Thread-safe.
 */
final class Clones {
    private static final String STATE = "state";

    private final Parts parts;
    private final Snapshots snapshots;
    private final Blanks blanks;

    Clones(Parts parts, Snapshots snapshots, Blanks blanks) {
        this.parts = parts;
        this.blanks = blanks;
        this.snapshots = snapshots;
    }

    /**
     * A machine that no sandbox has taken. Its template stays open until the lease is closed.
     *
     * @param background it leaves the processor to others
     * @param snapshot it is of one, so it may have processes that are held
     * @param state becomes the sandbox's folder
     */
    record Clone(
            boolean background,
            boolean snapshot,
            String template,
            boolean booted,
            LiveMachine machine,
            Path state,
            Templates.Lease lease) {}

    /**
     * What clones of a shape are made from; freezes its template if that does not exist yet.
     *
     * @throws PlatformException NOT_FOUND; INVALID_REQUEST when a snapshot has another number of vCPUs or memory
     */
    Source open(Shape shape) {
        if (!Ids.isValid(SnapshotId.PREFIX, shape.templateId())) {
            return new Source(Optional.empty(), parts.templates().lease(shape, Progress.SILENT));
        }
        Snapshots.Content content = snapshots.require(new SnapshotId(shape.templateId()));
        if (content.vcpus() != shape.vcpus() || content.memoryMb() != shape.memoryMb()) {
            throw new PlatformException(
                    ErrorCode.INVALID_REQUEST,
                    "The snapshot was taken with vcpus " + content.vcpus() + " and memory_mb " + content.memoryMb()
                            + "; a sandbox from it has the same.");
        }
        return new Source(Optional.of(content), parts.templates().lease(content.template()));
    }

    /** Closing it lets the template go, unless a clone was made: then that is the clone's. */
    final class Source implements AutoCloseable {
        private final Optional<Snapshots.Content> snapshot;
        private final Scope scope = Scope.open("clone");
        private final Templates.Lease lease;

        private Source(Optional<Snapshots.Content> snapshot, Templates.Lease lease) {
            this.snapshot = snapshot;
            this.lease = scope.own(lease);
        }

        /**
         * Once.
         *
         * @param background nobody waits for it: it leaves the processor to others until a sandbox takes it
         */
        Clone make(boolean background, Deadline deadline) {
            Template template = lease.template();
            template.requireIntact();
            LiveMachine machine = snapshot.map(content -> ofSnapshot(content, background, deadline))
                    .orElseGet(() -> ofTemplate(background, deadline));
            scope.handOver();
            return new Clone(
                    background,
                    snapshot.isPresent(),
                    template.id(),
                    snapshot.map(Snapshots.Content::booted).orElse(false),
                    machine,
                    parts.machines().directory(machine.name()).resolve(STATE),
                    lease);
        }

        private LiveMachine ofTemplate(boolean background, Deadline deadline) {
            Template template = lease.template();
            Machines.Blank blank = parts.machines()
                    .prepare(Machines.Frame.of(template, background), template.memory(), StateForm.TEMPLATE, deadline);
            return parts.machines()
                    .restore(
                            blank,
                            new Machines.Content(
                                    home -> emptyDisk(home.resolve(STATE), deadline),
                                    template.guestToken(),
                                    background),
                            disk -> blank.vm().restore(disk, template.deviceState(), MemoryLoader.NONE, deadline));
        }

        private Disk emptyDisk(Path state, Deadline deadline) {
            Host.createDirectory(state);
            return parts.host()
                    .disks()
                    .create(state, Host.layers(lease.template()), parts.host().rootDiskBytes(), deadline);
        }

        private LiveMachine ofSnapshot(Snapshots.Content content, boolean background, Deadline deadline) {
            Template template = lease.template();
            Path home = snapshots.directory(new SnapshotId(content.id()));
            SavedMemory memory = parts.steps()
                    .call(
                            Step.MEMORY_OPEN,
                            content.id(),
                            () -> parts.memory(home, template, content.booted(), content.memoryMb()));
            memory.requireCompatible(parts.host().vmm().identity());
            byte[] token = HexFormat.of().parseHex(content.guestToken());
            Machines.Blank blank = blanks.take(template, content.booted(), background, deadline);
            Path state = parts.machines().directory(blank.name()).resolve(STATE);
            Function<Path, Disk> shared = _ -> {
                Host.createDirectory(state);
                memory.linkTo(state);
                parts.host().disks().shareAll(home, state);
                return parts.host().disks().push(state, Host.layers(template), deadline);
            };
            // From its own links: the snapshot may be deleted meanwhile.
            return parts.machines()
                    .restore(
                            blank,
                            new Machines.Content(shared, token, background),
                            disk -> parts.memory(state, template, content.booted(), content.memoryMb())
                                    .restore(blank.vm(), disk, deadline));
        }

        @Override
        public void close() {
            scope.close();
        }
    }

    /** Of one that nobody takes. */
    void discard(Clone clone) {
        try (Templates.Lease _ = clone.lease()) {
            parts.machines().release(clone.machine());
        }
    }
}
