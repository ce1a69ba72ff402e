package dev.sandglass.host.disk;

import java.nio.file.Path;

/** One file of a disk. Only the topmost of a disk is ever written. */
public record DiskLayer(Path file, Format format) {
    public enum Format {
        RAW,
        QCOW2
    }
}
