package dev.sandglass.host.disk;

import dev.sandglass.host.linux.Linux;
import java.util.List;

/**
 * A disk that exists.
 *
 * @param layers the whole chain, top first. It is given to the VMM in full: the files do not name each other
 */
public record Disk(List<DiskLayer> layers) {
    public Disk {
        layers = List.copyOf(layers);
        if (layers.isEmpty()) {
            throw new IllegalArgumentException("a disk has at least one layer");
        }
    }

    /** What this disk itself occupies on the host, in blocks on disk and not by length; the shared layers excluded. */
    public long allocatedBytes() {
        return Linux.statx(layers.getFirst().file()).allocatedBytes();
    }
}
