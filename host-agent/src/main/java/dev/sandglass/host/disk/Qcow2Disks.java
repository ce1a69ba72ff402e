package dev.sandglass.host.disk;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.Deadline;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Disks as qcow2 files over shared ones: works on every kernel and without privileges. */
public final class Qcow2Disks implements Disks {
    private static final String FILE = "disk.qcow2";

    /** Every read of an unwritten block goes down the whole chain, and each layer costs the VMM memory. */
    private static final int LAYERS_MAX = 16;

    @Override
    public Disk create(Path directory, List<DiskLayer> base, long virtualBytes, Deadline deadline) {
        deadline.check("create a disk");
        requireLayers(base);
        Path file = directory.resolve(FILE);
        try {
            Qcow2Image.create(file, virtualBytes);
        } catch (FileAlreadyExistsException e) {
            throw new IllegalStateException("there is a disk already: " + file, e);
        } catch (IOException e) {
            remove(directory);
            throw failure(file, e);
        }
        return disk(file, base);
    }

    @Override
    public Disk open(Path directory, List<DiskLayer> base) {
        requireLayers(base);
        Path file = directory.resolve(FILE);
        requireIntact(new DiskLayer(file, DiskLayer.Format.QCOW2));
        return disk(file, base);
    }

    @Override
    public void remove(Path directory) {
        try {
            Files.deleteIfExists(directory.resolve(FILE));
        } catch (IOException e) {
            throw new UncheckedIOException("remove the disk in " + directory, e);
        }
    }

    private static Disk disk(Path file, List<DiskLayer> base) {
        List<DiskLayer> layers = new ArrayList<>();
        layers.add(new DiskLayer(file, DiskLayer.Format.QCOW2));
        layers.addAll(base);
        return new Disk(layers);
    }

    /** QEMU takes much of what is missing or cut for zeroes: better to know before a guest reads them. */
    private static void requireLayers(List<DiskLayer> base) {
        if (base.isEmpty() || base.size() >= LAYERS_MAX) {
            throw new IllegalArgumentException("a disk has 1 to " + (LAYERS_MAX - 1) + " layers below: " + base.size());
        }
        base.forEach(Qcow2Disks::requireIntact);
    }

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
    private static RuntimeException failure(Path file, IOException cause) {
        String text = String.valueOf(cause.getMessage());
        if (text.contains("No space left") || text.contains("quota exceeded")) {
            return new PlatformException(
                    ErrorCode.DISK_FULL,
                    "The host has no space left for another disk. Remove sandboxes or snapshots that are not needed.",
                    cause);
        }
        return new UncheckedIOException("create " + file, cause);
    }
}
