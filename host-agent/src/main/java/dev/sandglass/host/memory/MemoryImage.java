package dev.sandglass.host.memory;

import dev.sandglass.host.linux.Scope;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalLong;

/**
 * A guest's memory as generations hold it, with their files open: it stays readable when they are merged or removed
 * meanwhile. Closed by whoever got it. One thread.
 */
public final class MemoryImage implements AutoCloseable {
    private final Header header;
    private final Header baseHeader;
    private final Map<BuildId, FileChannel> files;
    private final Scope owner;

    /** Takes pages to where a guest runs; {@link ProcessMemory#write}. */
    @FunctionalInterface
    public interface Target {
        void write(long offset, ByteBuffer pages) throws IOException;
    }

    private MemoryImage(Header header, Header baseHeader, Map<BuildId, FileChannel> files, Scope owner) {
        this.header = header;
        this.baseHeader = baseHeader;
        this.files = files;
        this.owner = owner;
    }

    /** @param diffs where the header's builds are, without the base's */
    static MemoryImage open(Header header, Base base, Map<BuildId, Path> diffs) throws IOException {
        Scope owner = Scope.open("memory image");
        try (Scope scope = Scope.open("open a memory image")) {
            scope.defer("files", owner::close);
            Map<BuildId, FileChannel> files = new HashMap<>();
            files.put(base.header().build(), owner.own(FileChannel.open(base.file(), StandardOpenOption.READ)));
            for (var diff : diffs.entrySet()) {
                files.put(diff.getKey(), owner.own(FileChannel.open(diff.getValue(), StandardOpenOption.READ)));
            }
            scope.handOver();
            return new MemoryImage(header, base.header(), files, owner);
        }
    }

    public Header header() {
        return header;
    }

    Header baseHeader() {
        return baseHeader;
    }

    FileChannel file(BuildId build) {
        return Objects.requireNonNull(files.get(build));
    }

    /** Fills {@code into} from guest memory at {@code offset}. */
    public void read(long offset, ByteBuffer into) throws IOException {
        read(header, offset, into);
    }

    private void read(Header from, long offset, ByteBuffer into) throws IOException {
        int end = into.limit();
        while (into.position() < end) {
            Header.Run run = from.lookup(offset);
            int length = (int) Math.min(run.length(), end - into.position());
            into.limit(into.position() + length);
            if (run.build().isZeroFill()) {
                clear(into);
            } else {
                Channels.read(file(run.build()), run.storage(), into);
            }
            into.limit(end);
            offset += length;
        }
    }

    private static void clear(ByteBuffer into) {
        while (into.remaining() >= Long.BYTES) {
            into.putLong(0);
        }
        while (into.hasRemaining()) {
            into.put((byte) 0);
        }
    }

    /**
     * Writes what differs from the base to a fresh guest that has the base's content; in order, in pieces of at most 1
     * MiB. Zeroes are written only where the base has something else.
     *
     * @return bytes written
     */
    public long restore(Target target) throws IOException {
        ByteBuffer buffer = Channels.buffer(header.memoryBytes());
        ByteBuffer zeroes = Channels.buffer(header.memoryBytes());
        long written = 0;
        for (Entry entry : header.entries()) {
            if (entry.build().equals(header.base())) {
                continue;
            }
            for (long at = entry.offset(); at < entry.end(); at += Channels.BUFFER_BYTES) {
                buffer.clear().limit((int) Math.min(Channels.BUFFER_BYTES, entry.end() - at));
                if (entry.build().isZeroFill()) {
                    read(baseHeader, at, buffer);
                    written += restoreZeroes(at, buffer.flip(), zeroes, target);
                } else {
                    read(header, at, buffer);
                    written += buffer.flip().remaining();
                    target.write(at, buffer);
                }
            }
        }
        return written;
    }

    private static long restoreZeroes(long offset, ByteBuffer base, ByteBuffer zeroes, Target target)
            throws IOException {
        long written = 0;
        int from = 0;
        while (from < base.limit()) {
            int to = from;
            while (to < base.limit() && !DiffWriter.isZero(base.slice(to, Header.BLOCK_BYTES))) {
                to += Header.BLOCK_BYTES;
            }
            if (to > from) {
                target.write(offset + from, zeroes.slice(0, to - from));
                written += to - from;
            }
            from = to + Header.BLOCK_BYTES;
        }
        return written;
    }

    /**
     * Offset of the first byte that {@code memory} has different. For checks: reads all of both, and a process that maps
     * a sparse memfd makes its holes real pages when they are read.
     */
    public OptionalLong firstDifference(PrivateMemory memory) throws IOException {
        if (memory.bytes() != header.memoryBytes()) {
            return OptionalLong.of(Math.min(memory.bytes(), header.memoryBytes()));
        }
        ByteBuffer held = Channels.buffer(header.memoryBytes());
        ByteBuffer found = Channels.buffer(header.memoryBytes());
        for (long at = 0; at < header.memoryBytes(); at += Channels.BUFFER_BYTES) {
            int length = (int) Math.min(Channels.BUFFER_BYTES, header.memoryBytes() - at);
            read(at, held.clear().limit(length));
            memory.read(at, found.clear().limit(length));
            int difference = held.flip().mismatch(found.flip());
            if (difference >= 0) {
                return OptionalLong.of(at + difference);
            }
        }
        return OptionalLong.empty();
    }

    @Override
    public void close() {
        owner.close();
    }
}
