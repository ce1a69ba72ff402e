package dev.sandglass.host.disk;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;

/**
 * Disks as qcow2 files over shared ones: works on every kernel and without privileges. A layer gets its name when it is
 * whole, so a process may end at any moment.
 */
public final class Qcow2Disks implements Disks {
    /** Every read of an unwritten block goes down the whole chain, and each layer costs the VMM memory. */
    private static final int LAYERS_MAX = 16;

    private static final int MERGE_FROM = 8;

    private final DiskStep.Observer observer;

    public Qcow2Disks() {
        this(DiskStep.Observer.NONE);
    }

    public Qcow2Disks(DiskStep.Observer observer) {
        this.observer = observer;
    }

    @Override
    public Disk create(Path directory, List<DiskLayer> base, long virtualBytes, Deadline deadline) {
        deadline.check("create a disk");
        requireBase(base);
        try {
            OwnLayers layers = OwnLayers.in(directory);
            if (!layers.isEmpty()) {
                throw new IllegalStateException("there is a disk already: " + layers.top());
            }
            return new Disk(OwnLayers.layers(List.of(add(layers, virtualBytes, false))), base);
        } catch (IOException e) {
            throw failure("make a disk", e);
        }
    }

    @Override
    public Disk open(Path directory, List<DiskLayer> base) {
        requireBase(base);
        try {
            OwnLayers layers = require(directory);
            layers.layers().forEach(Qcow2Disks::requireIntact);
            return new Disk(layers.layers(), base);
        } catch (IOException e) {
            throw failure("open a disk", e);
        }
    }

    @Override
    public Disk push(Path directory, List<DiskLayer> base, Deadline deadline) {
        deadline.check("add a layer to a disk");
        Disk before = open(directory, base);
        if (before.layers().size() >= LAYERS_MAX) {
            merge(directory, base, deadline);
        }
        try {
            OwnLayers layers = OwnLayers.in(directory);
            add(layers, Qcow2Image.virtualBytes(layers.top()), true);
            return new Disk(OwnLayers.in(directory).layers(), base);
        } catch (IOException | LinuxException e) {
            throw failure("add a layer to a disk", e);
        }
    }

    /** Above all others. */
    private Path add(OwnLayers layers, long virtualBytes, boolean durably) throws IOException {
        Path draft = OwnLayers.draft(layers.directory());
        Path file = layers.next();
        try {
            Files.deleteIfExists(draft);
            Qcow2Image.create(draft, virtualBytes);
            if (durably) {
                sync(draft);
            }
            observer.reached(DiskStep.DRAFT_MADE);
            Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE);
            if (durably) {
                Linux.fsyncDirectory(layers.directory());
            }
            observer.reached(DiskStep.LAYER_NAMED);
            return file;
        } catch (IOException | RuntimeException e) {
            Files.deleteIfExists(draft);
            Files.deleteIfExists(file);
            throw e;
        }
    }

    private static void sync(Path file) {
        try (FileDescriptor opened = Linux.open(file, Linux.O_RDONLY, 0)) {
            Linux.fsync(opened);
        }
    }

    @Override
    public void shareFrozen(Path from, Path to) {
        try {
            OwnLayers layers = require(from);
            if (layers.size() < 2) {
                throw new IllegalStateException("nothing of the disk is frozen: " + layers.top());
            }
            link(layers.frozenTopFirst(), to);
        } catch (IOException | LinuxException e) {
            throw failure("share a disk", e);
        }
    }

    @Override
    public void shareAll(Path from, Path to) {
        try {
            link(require(from).topFirst(), to);
        } catch (IOException | LinuxException e) {
            throw failure("share a disk", e);
        }
    }

    private void link(List<Path> files, Path to) throws IOException {
        if (!OwnLayers.in(to).isEmpty()) {
            throw new IllegalStateException("there is a disk already in " + to);
        }
        List<Path> made = new ArrayList<>();
        try {
            for (Path file : files) {
                sync(file);
                made.add(Files.createLink(to.resolve(file.getFileName()), file));
                observer.reached(DiskStep.LAYER_LINKED);
            }
            Linux.fsyncDirectory(to);
        } catch (IOException | RuntimeException e) {
            for (Path link : made) {
                Files.deleteIfExists(link);
            }
            throw e;
        }
    }

    @Override
    public void discardAbove(Path directory, long inode) {
        try {
            OwnLayers layers = require(directory);
            List<Path> above = new ArrayList<>();
            for (Path file : layers.topFirst()) {
                if (Linux.statx(file).inode() == inode) {
                    for (Path unused : above) {
                        Files.deleteIfExists(unused);
                    }
                    return;
                }
                above.add(file);
            }
            throw new IllegalStateException("no layer in " + directory + " has inode " + inode);
        } catch (IOException | LinuxException e) {
            throw failure("take an unused layer off a disk", e);
        }
    }

    @Override
    public boolean mergeDue(Path directory) {
        try {
            return OwnLayers.in(directory).size() >= MERGE_FROM;
        } catch (IOException e) {
            throw failure("look at a disk", e);
        }
    }

    @Override
    public void merge(Path directory, List<DiskLayer> base, Deadline deadline) {
        deadline.check("merge a disk's layers");
        requireBase(base);
        try {
            OwnLayers layers = require(directory);
            List<Path> frozen = layers.frozenTopFirst();
            if (frozen.size() > 1) {
                merge(directory, frozen, base, deadline);
            }
        } catch (IOException | LinuxException e) {
            throw failure("merge a disk's layers", e);
        }
    }

    /**
     * The new layer takes the place of the uppermost of those it was made from. It has everything that the ones below
     * it have, so these change nothing any more, whether they are still there, some of them, or gone.
     */
    private void merge(Path directory, List<Path> frozen, List<DiskLayer> base, Deadline deadline) throws IOException {
        Path merged = OwnLayers.draft(directory);
        Path scratch = OwnLayers.scratch(directory);
        try {
            removeUnfinished(directory);
            for (Path layer : frozen) {
                requirePlain(layer);
            }
            long virtualBytes = Qcow2Image.virtualBytes(frozen.getFirst());
            Qcow2Image.create(merged, virtualBytes);
            Qcow2Image.create(scratch, virtualBytes);
            LayerMerge.run(frozen, merged, scratch, deadline);
            Files.delete(scratch);
            sync(merged);
            LayerMerge.requireSame(over(base, frozen), over(base, List.of(merged)), deadline);
            observer.reached(DiskStep.DRAFT_MADE);
            Files.move(merged, frozen.getFirst(), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            Linux.fsyncDirectory(directory);
            observer.reached(DiskStep.LAYER_NAMED);
        } finally {
            removeUnfinished(directory);
        }
        for (Path needless : frozen.subList(1, frozen.size()).reversed()) {
            Files.deleteIfExists(needless);
            observer.reached(DiskStep.LAYER_REMOVED);
        }
    }

    private static List<DiskLayer> over(List<DiskLayer> base, List<Path> files) {
        List<DiskLayer> chain = new ArrayList<>(OwnLayers.layers(files));
        chain.addAll(base);
        return chain;
    }

    /** A VMM that was taken over could have left a file that makes us read others. */
    private static void requirePlain(Path layer) throws IOException {
        if (!Qcow2Image.isPlain(layer)) {
            throw new IllegalStateException("layer of a disk is damaged: " + layer);
        }
    }

    private static void removeUnfinished(Path directory) throws IOException {
        Files.deleteIfExists(OwnLayers.draft(directory));
        Files.deleteIfExists(OwnLayers.scratch(directory));
    }

    @Override
    public void remove(Path directory) {
        try {
            if (!Files.isDirectory(directory)) {
                return;
            }
            for (Path file : OwnLayers.in(directory).topFirst()) {
                Files.deleteIfExists(file);
            }
            removeUnfinished(directory);
        } catch (IOException e) {
            throw failure("remove the disk in " + directory, e);
        }
    }

    private static OwnLayers require(Path directory) throws IOException {
        try {
            OwnLayers layers = OwnLayers.in(directory);
            if (!layers.isEmpty()) {
                return layers;
            }
        } catch (NoSuchFileException e) {
            // No directory, no disk.
        }
        throw new IllegalStateException("there is no disk in " + directory);
    }

    private static void requireBase(List<DiskLayer> base) {
        if (base.isEmpty() || base.size() >= LAYERS_MAX) {
            throw new IllegalArgumentException("a disk has 1 to " + (LAYERS_MAX - 1) + " layers below: " + base.size());
        }
        base.forEach(Qcow2Disks::requireIntact);
    }

    /** QEMU takes much of what is missing or cut for zeroes: better to know before a guest reads them. */
    private static void requireIntact(DiskLayer layer) {
        try {
            boolean intact = switch (layer.format()) {
                case RAW -> Files.size(layer.file()) > 0;
                case QCOW2 -> Qcow2Image.isImage(layer.file());
            };
            if (!intact) {
                throw new IllegalStateException("layer of a disk is damaged: " + layer.file());
            }
        } catch (IOException e) {
            throw new IllegalStateException("layer of a disk cannot be read: " + layer.file(), e);
        }
    }

    /** Java tells ENOSPC and EDQUOT by their text only. */
    private static RuntimeException failure(String what, Exception cause) {
        String text = String.valueOf(cause.getMessage());
        if (text.contains("No space left") || text.contains("quota exceeded")) {
            return new PlatformException(
                    ErrorCode.DISK_FULL,
                    "The host's disk is full: could not " + what
                            + ". Remove sandboxes or snapshots that are not needed, then try again.",
                    cause);
        }
        return new IllegalStateException(what, cause);
    }
}
