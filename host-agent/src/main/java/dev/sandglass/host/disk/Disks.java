package dev.sandglass.host.disk;

import dev.sandglass.host.linux.Deadline;
import java.nio.file.Path;
import java.util.List;

/**
 * Makes, divides and removes the disks of sandboxes and snapshots. A disk is a directory with layers of its own over
 * layers that are shared. Only the newest layer of a sandbox is ever written; the others are frozen, so snapshots and
 * sandboxes share them by hard links, and removing one disk takes nothing from another. The same for every
 * implementation: everything but {@link #merge} takes the same short time whatever the disk's size. Thread-safe for
 * different directories; whoever owns a directory does one thing at a time in it.
 *
 * <p>After a failure the disk is what it was. Every method that writes throws {@link
 * dev.sandglass.contract.PlatformException} DISK_FULL when the host has no space left.
 */
public interface Disks {
    /**
     * A disk that reads like {@code base} until it is written to. Not synced: it holds nothing yet.
     *
     * @param directory exists, and belongs to this disk alone
     * @param base top first; not empty
     * @param virtualBytes its size for the guest, a multiple of 512; beyond the end of {@code base} it reads as zeroes
     * @throws IllegalStateException if there is one already, or a layer is missing
     */
    Disk create(Path directory, List<DiskLayer> base, long virtualBytes, Deadline deadline);

    /**
     * The disk that is there, over the same layers as ever.
     *
     * @throws IllegalStateException if it is missing or damaged, or a layer is missing
     */
    Disk open(Path directory, List<DiskLayer> base);

    /**
     * Puts a new empty layer on top, durably: what is written to it and synced is found again after a power cut. What
     * was the top is frozen from the moment on that the VM, if there is one, writes to the new one. Layers become fewer
     * first, by {@link #merge}, when there are too many.
     */
    Disk push(Path directory, List<DiskLayer> base, Deadline deadline);

    /**
     * Gives {@code to} all layers below {@code from}'s top, by hard links; they and their names are on disk afterwards.
     *
     * @param to exists, on the same file system, without layers
     * @throws IllegalStateException if nothing is frozen
     */
    void shareFrozen(Path from, Path to);

    /** Like {@link #shareFrozen}, with the top: of a disk that nobody writes to any more, such as a snapshot's. */
    void shareAll(Path from, Path to);

    /**
     * Removes the layers above the one that a VM writes to: pushed for a switch that did not happen.
     *
     * @param inode of the layer that stays the top
     * @throws IllegalStateException if none has it; nothing is removed then
     */
    void discardAbove(Path directory, long inode);

    /** Whether there are so many layers that {@link #merge} is worth its time. */
    boolean mergeDue(Path directory);

    /**
     * Makes one of all layers below the top, with the same content: a new file, since others may share the old ones.
     * Takes time and space in proportion to what they hold. A VM that has the old chain open keeps it and reads the same
     * from it, but none may be opening it meanwhile.
     *
     * @throws dev.sandglass.host.linux.DeadlineExceeded with the old chain as it was
     */
    void merge(Path directory, List<DiskLayer> base, Deadline deadline);

    /** Idempotent, also for what is half made. The layers below stay, and what is shared stays with the others. */
    void remove(Path directory);
}
