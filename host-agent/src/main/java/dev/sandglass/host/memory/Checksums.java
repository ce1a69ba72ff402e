package dev.sandglass.host.memory;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;

/**
 * The content of the file beside a header and its diff that tells whether both are as they were written, and of each
 * page in the diff whether a guest still has it: checksums, which find what happens by accident and cost a tenth of a
 * cryptographic digest; who may write to the directory could replace both anyway. Little-endian:
 *
 * <pre>
 *  0  version u64 = 1        28  for each page of the diff: its PageDigest u64
 *  8  header bytes u64       ..  CRC-32C of all before, u32
 * 16  header CRC-32C u32
 * 20  diff bytes u64
 * </pre>
 */
final class Checksums {
    static final int BLOCK_BYTES = Header.BLOCK_BYTES;

    private static final long VERSION = 1;
    private static final int FIXED_BYTES = 28;

    private final long headerBytes;
    private final int headerChecksum;
    private final long diffBytes;
    private final long[] blocks;

    /** @param blocks of the diff; not copied */
    private Checksums(long headerBytes, int headerChecksum, long diffBytes, long[] blocks) {
        this.headerBytes = headerBytes;
        this.headerChecksum = headerChecksum;
        this.diffBytes = diffBytes;
        this.blocks = blocks;
    }

    static Checksums of(byte[] header, long diffBytes, long[] blocks) {
        return new Checksums(header.length, of(ByteBuffer.wrap(header)), diffBytes, blocks.clone());
    }

    static int of(ByteBuffer bytes) {
        CRC32C checksum = new CRC32C();
        checksum.update(bytes);
        return (int) checksum.getValue();
    }

    long diffBytes() {
        return diffBytes;
    }

    byte[] encode() {
        ByteBuffer bytes = ByteBuffer.allocate(FIXED_BYTES + Long.BYTES * blocks.length + Integer.BYTES)
                .order(ByteOrder.LITTLE_ENDIAN);
        bytes.putLong(VERSION).putLong(headerBytes).putInt(headerChecksum).putLong(diffBytes);
        for (long block : blocks) {
            bytes.putLong(block);
        }
        bytes.putInt(of(bytes.duplicate().flip()));
        return bytes.array();
    }

    static Checksums decode(byte[] encoded) throws Damage {
        ByteBuffer bytes = ByteBuffer.wrap(encoded).order(ByteOrder.LITTLE_ENDIAN);
        int content = encoded.length - Integer.BYTES;
        if (content < FIXED_BYTES || of(bytes.slice(0, content)) != bytes.getInt(content)) {
            throw new Damage("was altered");
        }
        if (bytes.getLong() != VERSION) {
            throw new Damage("is of another format");
        }
        long headerBytes = bytes.getLong();
        int headerChecksum = bytes.getInt();
        long diffBytes = bytes.getLong();
        long[] blocks = new long[(content - FIXED_BYTES) / Long.BYTES];
        for (int i = 0; i < blocks.length; i++) {
            blocks[i] = bytes.getLong();
        }
        if (bytes.remaining() != Integer.BYTES
                || diffBytes < 0
                || diffBytes % BLOCK_BYTES != 0
                || blocks.length != diffBytes / BLOCK_BYTES) {
            throw new Damage("was altered");
        }
        return new Checksums(headerBytes, headerChecksum, diffBytes, blocks);
    }

    void requireHeader(byte[] header) throws Damage {
        requireLength(header.length, headerBytes);
        if (of(ByteBuffer.wrap(header)) != headerChecksum) {
            throw new Damage("was altered");
        }
    }

    void requireDiffLength(long found) throws Damage {
        requireLength(found, diffBytes);
    }

    /** What a page in the diff is, by where it lies there. */
    long page(long storage) {
        return blocks[Math.toIntExact(storage / BLOCK_BYTES)];
    }

    /** @param storage where in the diff {@code pages} are from; they are not consumed */
    void requirePages(long storage, ByteBuffer pages) throws Damage {
        PageDigest digest = new PageDigest();
        for (int at = 0; at < pages.remaining(); at += BLOCK_BYTES) {
            if (digest.of(pages, pages.position() + at) != page(storage + at)) {
                throw new Damage("was altered at byte " + (storage + at));
            }
        }
    }

    /** Of whole pages. */
    static long[] ofBlocks(ByteBuffer bytes) {
        long[] blocks = new long[bytes.remaining() / BLOCK_BYTES];
        PageDigest digest = new PageDigest();
        for (int i = 0; i < blocks.length; i++) {
            blocks[i] = digest.of(bytes, bytes.position() + i * BLOCK_BYTES);
        }
        return blocks;
    }

    private static void requireLength(long found, long wanted) throws Damage {
        if (found != wanted) {
            throw new Damage("has " + found + " bytes instead of " + wanted);
        }
    }
}
