package dev.sandglass.host.memory;

import dev.sandglass.host.linux.Errno;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/**
 * Writes changed pages one behind the other into a new file and remembers where each went; pages that are all zero go
 * nowhere. Memory used: one buffer and the entries. One thread.
 */
final class DiffWriter implements AutoCloseable {
    /** The one flag here whose value depends on the processor. */
    private static final int O_DIRECT = System.getProperty("os.arch", "").equals("aarch64") ? 0x10000 : 0x4000;

    private static final ByteBuffer ZERO_PAGE = ByteBuffer.allocateDirect(Header.BLOCK_BYTES);

    private final FileDescriptor file;
    private final BuildId build;
    private final ByteBuffer buffer;
    private final Entries.Collector entries = new Entries.Collector();
    private long[] blocks = new long[64];
    private int blockCount;
    private long storage;
    private long nextPage;

    /** Whether what is written stays in memory as well. */
    enum Cache {
        /** Read again soon, and nobody waits for the writing. */
        KEEP,
        /** Somebody waits: past the page cache 13 MB and their fsync took 5 ms instead of 37. */
        AVOID
    }

    /** @param bytesMax how much there can be at most */
    DiffWriter(Path file, BuildId build, long bytesMax, Cache cache) throws IOException {
        this.file = create(file, cache);
        this.build = build;
        int length = (int) Math.min(Channels.BUFFER_BYTES, bytesMax);
        this.buffer = ByteBuffer.allocateDirect(length + Header.BLOCK_BYTES)
                .alignedSlice(Header.BLOCK_BYTES)
                .slice(0, length);
    }

    /** Not every file system can avoid the cache, or with pieces as small as a page. */
    private static FileDescriptor create(Path file, Cache cache) throws IOException {
        int flags = Linux.O_WRONLY | Linux.O_CREAT | Linux.O_EXCL;
        if (cache == Cache.AVOID
                && Files.getFileStore(file.toAbsolutePath().getParent()).getBlockSize() == Header.BLOCK_BYTES) {
            try {
                return Linux.open(file, flags | O_DIRECT, 0600);
            } catch (LinuxException e) {
                if (e.errno() != Errno.EINVAL) {
                    throw e;
                }
                Files.deleteIfExists(file); // some file systems notice only after they made the file
            }
        }
        return Linux.open(file, flags, 0600);
    }

    static boolean isZero(ByteBuffer page) {
        return page.getLong(page.position()) == 0 && page.mismatch(ZERO_PAGE.duplicate()) < 0;
    }

    /**
     * @param page its number in the guest; larger than the one before
     * @param content of the page; consumed
     */
    void append(long page, ByteBuffer content) {
        if (content.remaining() != Header.BLOCK_BYTES || page < nextPage) {
            throw new IllegalArgumentException(
                    "page " + page + " of " + content.remaining() + " bytes, at least " + nextPage + " is due");
        }
        nextPage = page + 1;
        long offset = page * Header.BLOCK_BYTES;
        if (isZero(content)) {
            entries.add(new Entry(offset, Header.BLOCK_BYTES, BuildId.ZERO_FILL, 0));
            content.position(content.limit());
            return;
        }
        entries.add(new Entry(offset, Header.BLOCK_BYTES, build, storage));
        storage += Header.BLOCK_BYTES;
        buffer.put(content);
        if (!buffer.hasRemaining()) {
            flush();
        }
    }

    /** All that was appended is in the file, not yet on disk. */
    void flush() {
        if (buffer.position() == 0) {
            return;
        }
        buffer.flip();
        long[] more = Checksums.ofBlocks(buffer);
        if (blockCount + more.length > blocks.length) {
            blocks = Arrays.copyOf(blocks, Math.max(2 * blocks.length, blockCount + more.length));
        }
        System.arraycopy(more, 0, blocks, blockCount, more.length);
        blockCount += more.length;
        MemorySegment rest = MemorySegment.ofBuffer(buffer);
        while (rest.byteSize() > 0) {
            rest = rest.asSlice(Linux.write(file, rest));
        }
        buffer.clear();
    }

    /** All that was flushed is on disk afterwards. */
    void sync() {
        Linux.fsync(file);
    }

    List<Entry> entries() {
        return entries.entries();
    }

    long bytes() {
        return storage;
    }

    long[] blocks() {
        return Arrays.copyOf(blocks, blockCount);
    }

    @Override
    public void close() {
        file.close();
    }
}
