package dev.sandglass.host.linux;

/**
 * What statx(2) says of a file.
 *
 * @param device major and minor in one number, equal for files of one file system
 * @param size apparent length in bytes
 * @param blocks allocated units of 512 bytes
 * @param modifiedNanos since the epoch
 * @param changedNanos since the epoch; moves with every change of content or attributes
 */
public record FileStatus(
        long device, long inode, int mode, int uid, long size, long blocks, long modifiedNanos, long changedNanos) {
    /** Unit of {@link #blocks}, whatever the file system's own. */
    private static final int BLOCK_BYTES = 512;

    public long allocatedBytes() {
        return blocks * BLOCK_BYTES;
    }
}
