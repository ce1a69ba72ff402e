package dev.sandglass.host.memory;

import dev.sandglass.contract.Scope;
import dev.sandglass.host.linux.Errno;
import dev.sandglass.host.linux.FileStatus;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import dev.sandglass.host.process.ProcessIdentity;
import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.LongBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.BitSet;

/**
 * A live process's private mapping of a file, addressed by offset in that file, through {@code /proc/PID/{maps,
 * pagemap,mem}}. The mapping may be split into several areas; together they must show every byte of the file once. The
 * process must be stopped as far as that memory goes. Closed by whoever opened it; keeps no process alive.
 */
public final class ProcessMemory implements PrivateMemory, MemoryImage.Target, AutoCloseable {
    /** One 64-bit word a page, Documentation/admin-guide/mm/pagemap.rst: 63 present, 62 swapped, 61 file or shared. */
    private static final long PRESENT_OR_SWAPPED = 1L << 63 | 1L << 62;

    private static final long FILE_OR_SHARED = 1L << 61;

    /** Of the page map read at a time: 64 Ki pages, 256 MiB of guest. */
    private static final int PAGEMAP_BUFFER_BYTES = 512 << 10;

    private final ProcessIdentity process;
    private final Mappings mappings;
    private final FileChannel pagemap;
    private final FileChannel memory;

    private ProcessMemory(ProcessIdentity process, Mappings mappings, FileChannel pagemap, FileChannel memory) {
        this.process = process;
        this.mappings = mappings;
        this.pagemap = pagemap;
        this.memory = memory;
    }

    /**
     * Of a process that stays as it is until this is closed.
     *
     * @param file what is mapped: device and inode count, and its size is the guest's memory
     * @throws IOException if the process is gone, or its mappings do not show the whole file exactly once
     */
    public static ProcessMemory open(ProcessIdentity process, FileStatus file) throws IOException {
        Path directory = Path.of("/proc", Integer.toString(process.pid()));
        try (Scope scope = Scope.open("open the memory of process " + process.pid())) {
            // Both stay with the address space they were opened on, whoever has the number later.
            FileChannel memory = scope.own(
                    FileChannel.open(directory.resolve("mem"), StandardOpenOption.READ, StandardOpenOption.WRITE));
            FileChannel pagemap = scope.own(FileChannel.open(directory.resolve("pagemap"), StandardOpenOption.READ));
            Mappings mappings =
                    Mappings.of(Files.readAllLines(directory.resolve("maps"), StandardCharsets.ISO_8859_1), file);
            if (!process.alive()) {
                throw new IOException("process " + process.pid() + " has ended");
            }
            scope.handOver();
            return new ProcessMemory(process, mappings, pagemap, memory);
        }
    }

    @Override
    public long bytes() {
        return mappings.bytes();
    }

    @Override
    public BitSet privatePages() throws IOException {
        BitSet pages = new BitSet(Math.toIntExact(bytes() / Header.BLOCK_BYTES));
        ByteBuffer words = ByteBuffer.allocateDirect(PAGEMAP_BUFFER_BYTES).order(ByteOrder.nativeOrder());
        for (Mappings.Area area : mappings.areas()) {
            long count = area.length() / Header.BLOCK_BYTES;
            long firstWord = area.address() / Header.BLOCK_BYTES;
            int firstPage = Math.toIntExact(area.offset() / Header.BLOCK_BYTES);
            for (long done = 0; done < count; done += words.limit() / Long.BYTES) {
                words.clear().limit((int) Math.min(words.capacity(), (count - done) * Long.BYTES));
                fill(pagemap, (firstWord + done) * Long.BYTES, words);
                mark(pages, firstPage + (int) done, words.flip().asLongBuffer());
            }
        }
        return pages;
    }

    private static void mark(BitSet pages, int first, LongBuffer words) {
        for (int i = 0; i < words.limit(); i++) {
            long word = words.get(i);
            if ((word & PRESENT_OR_SWAPPED) != 0 && (word & FILE_OR_SHARED) == 0) {
                pages.set(first + i);
            }
        }
    }

    @Override
    public void read(long offset, ByteBuffer into) throws IOException {
        int end = into.limit();
        while (into.position() < end) {
            Mappings.Area area = mappings.areaAt(offset);
            into.limit((int) Math.min(end, into.position() + (area.end() - offset)));
            offset += into.remaining();
            fill(memory, area.address() + (offset - into.remaining() - area.offset()), into);
            into.limit(end);
        }
    }

    /** One system call for many runs: it takes two thirds of the time that reading each from {@code mem} does. */
    @Override
    public void readPages(BitSet pages, int first, ByteBuffer into) throws IOException {
        transfer(Linux::processVmRead, pages, first, into);
    }

    @Override
    public void writePages(BitSet pages, int first, ByteBuffer from) throws IOException {
        transfer(Linux::processVmWrite, pages, first, from);
    }

    @FunctionalInterface
    private interface Transfer {
        long run(int pid, MemorySegment ranges, int count, MemorySegment local);
    }

    /** By number, which another process could have by now; {@link #requirePresent} tells afterwards. */
    private void transfer(Transfer transfer, BitSet pages, int first, ByteBuffer buffer) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            Ranges ranges = new Ranges(arena, buffer.remaining() / Header.BLOCK_BYTES);
            PageRuns.of(pages, first, buffer.remaining(), ranges::add);
            long done = transfer.run(process.pid(), ranges.pairs, ranges.count, MemorySegment.ofBuffer(buffer));
            if (done != buffer.remaining()) {
                throw new IOException("process " + process.pid() + " lacks a part of its memory");
            }
            buffer.position(buffer.limit());
        } catch (LinuxException e) {
            if (e.errno() == Errno.ESRCH) {
                throw (IOException) new EOFException("process " + process.pid() + " has ended").initCause(e);
            }
            throw new IOException("the memory of process " + process.pid(), e);
        }
    }

    /** An array of struct iovec with addresses in the process. */
    private final class Ranges {
        private final MemorySegment pairs;
        private int count;

        /** @param pagesMax no more runs than pages, and an area ends between two */
        Ranges(Arena arena, int pagesMax) {
            if (pagesMax > Linux.IOVEC_MAX) {
                throw new IllegalArgumentException(pagesMax + " pages at once");
            }
            this.pairs = arena.allocate(2L * pagesMax * Long.BYTES, Long.BYTES);
        }

        void add(int page, int bytes) {
            long offset = (long) page * Header.BLOCK_BYTES;
            long end = offset + bytes;
            while (offset < end) {
                Mappings.Area area = mappings.areaAt(offset);
                long length = Math.min(end, area.end()) - offset;
                pairs.setAtIndex(ValueLayout.JAVA_LONG, 2L * count, area.address() + (offset - area.offset()));
                pairs.setAtIndex(ValueLayout.JAVA_LONG, 2L * count + 1, length);
                count++;
                offset += length;
            }
        }
    }

    /** Through the descriptor that stays with the address space. */
    @Override
    public void requirePresent() throws IOException {
        read(0, ByteBuffer.allocate(1));
    }

    /** Puts {@code from} into guest memory at {@code offset}; its pages are private from then on. */
    @Override
    public void write(long offset, ByteBuffer from) throws IOException {
        int end = from.limit();
        while (from.position() < end) {
            Mappings.Area area = mappings.areaAt(offset);
            from.limit((int) Math.min(end, from.position() + (area.end() - offset)));
            long address = area.address() + (offset - area.offset());
            offset += from.remaining();
            while (from.hasRemaining()) {
                int written = memory.write(from, address);
                if (written <= 0) {
                    throw new EOFException("process " + process.pid() + " has ended");
                }
                address += written;
            }
            from.limit(end);
        }
    }

    private void fill(FileChannel channel, long position, ByteBuffer into) throws IOException {
        while (into.hasRemaining()) {
            int read = channel.read(into, position);
            if (read <= 0) {
                throw new EOFException("process " + process.pid() + " has ended");
            }
            position += read;
        }
    }

    @Override
    public void close() throws IOException {
        try (memory) {
            pagemap.close();
        }
    }
}
