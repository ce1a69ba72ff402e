package dev.sandglass.host.disk;

import dev.sandglass.host.linux.Linux;
import java.util.ArrayList;
import java.util.List;

/**
 * A disk that exists. Its chain is given to the VMM in full: the files do not name each other.
 *
 * @param own its own layers, top first; the others may belong to snapshots as well
 * @param base the shared layers below, top first
 */
public record Disk(List<DiskLayer> own, List<DiskLayer> base) {
    public Disk {
        own = List.copyOf(own);
        base = List.copyOf(base);
        if (own.isEmpty()) {
            throw new IllegalArgumentException("a disk has at least one layer of its own");
        }
    }

    /** The whole chain, top first. */
    public List<DiskLayer> layers() {
        List<DiskLayer> layers = new ArrayList<>(own);
        layers.addAll(base);
        return List.copyOf(layers);
    }

    /** The only one that is ever written. */
    public DiskLayer top() {
        return own.getFirst();
    }

    /**
     * What its own layers occupy on the host, in blocks on disk and not by length; one that is linked elsewhere as well
     * counts in full.
     */
    public long allocatedBytes() {
        return own.stream()
                .mapToLong(layer -> Linux.statx(layer.file()).allocatedBytes())
                .sum();
    }
}
