package dev.sandglass.host.disk;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * Writes an empty qcow2 image and recognises one. The format is QEMU's docs/interop/qcow2 ("Qcow2 Image File Format"),
 * version 3, all numbers big-endian.
 *
 * <pre>
 * cluster 0  header
 *         1  refcount table: one entry, the block in cluster 2
 *         2  refcount block: clusters 0 to 3 are used once
 *         3  L1 table, all zero: nothing is allocated, so everything reads as the layer below
 * </pre>
 *
 * Clusters are 64 KiB with extended L2 entries: what is allocated counts in subclusters of 2 KiB, so the 4 KiB blocks of
 * a guest's file system are written without copying the rest of a cluster up from below.
 */
final class Qcow2Image {
    private static final int MAGIC = 'Q' << 24 | 'F' << 16 | 'I' << 8 | 0xfb;
    private static final int VERSION = 3;
    private static final int CLUSTER_BITS = 16;
    private static final int CLUSTER = 1 << CLUSTER_BITS;
    private static final int HEADER_BYTES = 104;

    /** Incompatible feature bit 4. */
    private static final long EXTENDED_L2 = 1 << 4;

    private static final int L2_ENTRY_BYTES = 16;
    private static final int L1_ENTRY_BYTES = 8;

    /** 16-bit refcounts. */
    private static final int REFCOUNT_ORDER = 4;

    private static final int USED_CLUSTERS = 4;

    /** What one L1 entry covers: a cluster of L2 entries, each for one cluster. */
    private static final long L1_ENTRY_COVERS = (long) CLUSTER / L2_ENTRY_BYTES * CLUSTER;

    /** So that the L1 table fits into its one cluster: 2 TiB. */
    static final long VIRTUAL_BYTES_MAX = (long) CLUSTER / L1_ENTRY_BYTES * L1_ENTRY_COVERS;

    static final int SECTOR = 512;

    private static final int VERSION_OFFSET = 4;
    private static final int BACKING_OFFSET = 8;
    private static final int SIZE_OFFSET = 24;
    private static final int ENCRYPTION_OFFSET = 32;
    private static final int FEATURES_OFFSET = 72;

    private Qcow2Image() {}

    /**
     * Three small writes; the file must not exist. Not synced: it holds nothing yet, and the VMM's first flush for the
     * guest takes it along.
     */
    static void create(Path file, long virtualBytes) throws IOException {
        if (virtualBytes <= 0 || virtualBytes % SECTOR != 0 || virtualBytes > VIRTUAL_BYTES_MAX) {
            throw new IllegalArgumentException("a disk has 512 bytes to 2 TiB in steps of 512: " + virtualBytes);
        }
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            write(channel, 0, header(virtualBytes));
            write(channel, CLUSTER, ByteBuffer.allocate(Long.BYTES).putLong(2L * CLUSTER));
            ByteBuffer refcounts = ByteBuffer.allocate(USED_CLUSTERS * Short.BYTES);
            for (int i = 0; i < USED_CLUSTERS; i++) {
                refcounts.putShort((short) 1);
            }
            write(channel, 2L * CLUSTER, refcounts);
            // The last byte, so that the L1 table's cluster is there in full, and sparse.
            write(
                    channel,
                    (long) USED_CLUSTERS * CLUSTER - 1,
                    ByteBuffer.allocate(1).put((byte) 0));
        }
    }

    private static ByteBuffer header(long virtualBytes) {
        long l1Entries = (virtualBytes + L1_ENTRY_COVERS - 1) / L1_ENTRY_COVERS;
        return ByteBuffer.allocate(HEADER_BYTES + 2 * Integer.BYTES)
                .putInt(MAGIC)
                .putInt(VERSION)
                .putLong(0) // backing file name: none, the chain is given by whoever opens it
                .putInt(0)
                .putInt(CLUSTER_BITS)
                .putLong(virtualBytes)
                .putInt(0) // encryption
                .putInt((int) l1Entries)
                .putLong(3L * CLUSTER) // L1 table
                .putLong(CLUSTER) // refcount table
                .putInt(1) // its length in clusters
                .putInt(0) // snapshots
                .putLong(0)
                .putLong(EXTENDED_L2)
                .putLong(0) // compatible features
                .putLong(0) // autoclear features
                .putInt(REFCOUNT_ORDER)
                .putInt(HEADER_BYTES)
                .putInt(0) // end of header extensions
                .putInt(0);
    }

    /** Whether {@code file} begins like an image that QEMU would open. */
    static boolean isImage(Path file) throws IOException {
        ByteBuffer start = start(file);
        return !start.hasRemaining()
                && start.getInt(0) == MAGIC
                && start.getInt(VERSION_OFFSET) == VERSION
                && start.getLong(SIZE_OFFSET) > 0;
    }

    /** Whether it is what {@link #create} makes, with content: it needs no other file, and opening it opens none. */
    static boolean isPlain(Path file) throws IOException {
        ByteBuffer start = start(file);
        return isImage(file)
                && start.getLong(BACKING_OFFSET) == 0
                && start.getInt(ENCRYPTION_OFFSET) == 0
                && start.getLong(FEATURES_OFFSET) == EXTENDED_L2;
    }

    /** Of an image: its size for the guest. */
    static long virtualBytes(Path file) throws IOException {
        return start(file).getLong(SIZE_OFFSET);
    }

    private static ByteBuffer start(Path file) throws IOException {
        ByteBuffer start = ByteBuffer.allocate(HEADER_BYTES);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            while (start.hasRemaining() && channel.read(start) >= 0) {
                // Until the header is whole or the file ends.
            }
        }
        return start;
    }

    private static void write(FileChannel channel, long offset, ByteBuffer content) throws IOException {
        ByteBuffer rest = content.flip();
        long at = offset;
        while (rest.hasRemaining()) {
            at += channel.write(rest, at);
        }
    }
}
