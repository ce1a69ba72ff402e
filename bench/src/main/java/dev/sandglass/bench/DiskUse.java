package dev.sandglass.bench;

/**
 * Allocated blocks of a paused sandbox's directory.
 *
 * @param afterCreateBytes of one that was paused right after its creation
 * @param littleChanged MB that its process had changed before one pause
 * @param littleBytes by which that pause let the directory grow
 * @param muchChanged MB that had been changed before another one
 * @param muchBytes by which that one let it grow
 */
record DiskUse(long afterCreateBytes, int littleChanged, long littleBytes, int muchChanged, long muchBytes) {
    /** Bytes for each MB more: what every pause has besides is in both and does not count. */
    long bytesPerMegabyte() {
        return (muchBytes - littleBytes) / (muchChanged - littleChanged);
    }
}
