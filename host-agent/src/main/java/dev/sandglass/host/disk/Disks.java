package dev.sandglass.host.disk;

import dev.sandglass.host.linux.Deadline;
import java.nio.file.Path;
import java.util.List;

/**
 * Makes and removes the disks of sandboxes. The same for every implementation: making one takes the same short time
 * whatever its size, and a layer below is never changed. Thread-safe for different directories.
 */
public interface Disks {
    /**
     * A disk that reads like {@code base} until it is written to.
     *
     * @param directory exists, and belongs to this disk's sandbox alone
     * @param base top first; not empty
     * @param virtualBytes its size for the guest, a multiple of 512; beyond the end of {@code base} it reads as zeroes
     * @throws dev.sandglass.contract.PlatformException DISK_FULL
     * @throws IllegalStateException if there is one already, or a layer is missing
     */
    Disk create(Path directory, List<DiskLayer> base, long virtualBytes, Deadline deadline);

    /**
     * The disk that was created there over the same layers.
     *
     * @throws IllegalStateException if it is missing or damaged, or a layer is missing
     */
    Disk open(Path directory, List<DiskLayer> base);

    /** Idempotent, also for what is half made. The layers below stay. */
    void remove(Path directory);
}
