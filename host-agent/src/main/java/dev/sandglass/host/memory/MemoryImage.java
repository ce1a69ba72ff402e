package dev.sandglass.host.memory;

import dev.sandglass.contract.Scope;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * A guest's memory as generations hold it, with their files open: it stays readable when they are merged or removed
 * meanwhile. Closed by whoever got it; may be read by several threads until then.
 */
public final class MemoryImage implements AutoCloseable {
    private final Path directory;
    private final Header header;
    private final Header baseHeader;
    private final Map<BuildId, Content> contents;
    private final Runnable foundIntact;
    private final Scope owner;

    /** Takes pages to where a guest runs, such as {@link ProcessMemory}; called by several threads at once. */
    @FunctionalInterface
    public interface Target {
        void write(long offset, ByteBuffer pages) throws IOException;

        /** Takes those of {@code pages} that follow {@code first}, itself included, one behind the other. */
        default void writePages(BitSet pages, int first, ByteBuffer from) throws IOException {
            PageRuns.of(pages, first, from.remaining(), (page, bytes) -> {
                write((long) page * Header.BLOCK_BYTES, from.slice(from.position(), bytes));
                from.position(from.position() + bytes);
            });
        }

        /** Called after the last write: throws if the guest ended, so that the pages may have gone anywhere. */
        default void requirePresent() throws IOException {}
    }

    /** A file of pages; without checksums it is the base's. */
    private record Content(BuildId build, FileChannel file, Optional<Checksums> checksums) {
        void read(long storage, ByteBuffer into) throws IOException {
            Channels.read(file, storage, into);
        }

        void require(long storage, ByteBuffer pages) throws Damage {
            if (checksums.isPresent()) {
                GenerationFiles.requirePages(build, checksums.get(), storage, pages);
            }
        }
    }

    private MemoryImage(
            Path directory,
            Header header,
            Header baseHeader,
            Map<BuildId, Content> contents,
            Runnable foundIntact,
            Scope owner) {
        this.foundIntact = foundIntact;
        this.directory = directory;
        this.header = header;
        this.baseHeader = baseHeader;
        this.contents = contents;
        this.owner = owner;
    }

    /**
     * @param files of {@code header}'s generations
     * @param checksums of all of them, without the base's
     * @param foundIntact run when every page has been read and was right
     */
    static MemoryImage open(
            Header header, GenerationFiles files, Map<BuildId, Checksums> checksums, Runnable foundIntact)
            throws IOException, Damage {
        Scope owner = Scope.open("memory image");
        try (Scope scope = Scope.open("open a memory image")) {
            scope.defer("files", owner::close);
            Base base = files.base();
            BuildId baseBuild = base.header().build();
            Map<BuildId, Content> contents = new HashMap<>();
            FileChannel baseFile = owner.own(FileChannel.open(base.file(), StandardOpenOption.READ));
            contents.put(baseBuild, new Content(baseBuild, baseFile, Optional.empty()));
            for (var of : checksums.entrySet()) {
                FileChannel diff = owner.own(files.openDiff(of.getKey(), of.getValue()));
                contents.put(of.getKey(), new Content(of.getKey(), diff, Optional.of(of.getValue())));
            }
            scope.handOver();
            return new MemoryImage(files.directory(), header, base.header(), contents, foundIntact, owner);
        }
    }

    public Header header() {
        return header;
    }

    Header baseHeader() {
        return baseHeader;
    }

    private Content content(BuildId build) {
        return Objects.requireNonNull(contents.get(build));
    }

    /** Fills {@code into} from guest memory at {@code offset}; whether that is what was written is not checked. */
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
                content(run.build()).read(run.storage(), into);
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

    /** Takes a part of an entry; {@code offset} in the guest. */
    @FunctionalInterface
    interface PartVisitor {
        void part(Entry entry, long offset, int bytes) throws IOException, Damage;
    }

    /** Shows where the next {@code bytes} of {@code pages} from {@code first} on live, in order. */
    void eachPart(BitSet pages, int first, int bytes, PartVisitor visitor) throws IOException, Damage {
        List<Entry> entries = header.entries();
        int[] at = {Entries.indexAt(entries, (long) first * Header.BLOCK_BYTES)};
        PageRuns.<Damage>of(pages, first, bytes, (page, runBytes) -> {
            long offset = (long) page * Header.BLOCK_BYTES;
            long end = offset + runBytes;
            while (offset < end) {
                while (entries.get(at[0]).end() <= offset) {
                    at[0]++;
                }
                Entry entry = entries.get(at[0]);
                int length = (int) (Math.min(end, entry.end()) - offset);
                visitor.part(entry, offset, length);
                offset += length;
            }
        });
    }

    /** What the pages of a generation are. */
    Checksums checksums(BuildId build) {
        return content(build).checksums().orElseThrow();
    }

    /** Like {@link PrivateMemory#readPages}; what lies next to each other in a file is read at once and checked. */
    private void readPages(BitSet pages, int first, ByteBuffer into) throws IOException, Damage {
        new Gathering(into).all(pages, first);
    }

    /** A read in the making: it grows as long as the pages come from one place. */
    private final class Gathering {
        private final ByteBuffer into;
        private @Nullable Content from;
        private long storage;

        Gathering(ByteBuffer into) {
            this.into = into;
        }

        void all(BitSet pages, int first) throws IOException, Damage {
            int bytes = into.remaining();
            into.limit(into.position());
            eachPart(pages, first, bytes, this::add);
            read();
        }

        private void add(Entry entry, long offset, int length) throws IOException, Damage {
            if (entry.build().isZeroFill()) {
                read();
                into.limit(into.position() + length);
                clear(into);
                return;
            }
            long begin = entry.storage() + (offset - entry.offset());
            if (from == null || !from.build().equals(entry.build()) || storage + into.remaining() != begin) {
                read();
                from = content(entry.build());
                storage = begin;
            }
            into.limit(into.limit() + length);
        }

        /** What lies between position and limit. */
        private void read() throws IOException, Damage {
            if (from != null && into.hasRemaining()) {
                int begin = into.position();
                from.read(storage, into);
                from.require(storage, into.slice(begin, into.position() - begin));
            }
            from = null;
        }
    }

    /** Pages that are not the base's. */
    private BitSet ownPages() {
        BitSet pages = new BitSet(pageAt(header.memoryBytes()));
        for (Entry entry : header.entries()) {
            if (!entry.build().equals(header.base())) {
                pages.set(pageAt(entry.offset()), pageAt(entry.end()));
            }
        }
        return pages;
    }

    /** Pages that a guest with the base's content lacks: not those that are zero in both. */
    private BitSet pagesToRestore() throws IOException {
        BitSet pages = ownPages();
        ByteBuffer page = ByteBuffer.allocateDirect(Header.BLOCK_BYTES);
        for (Entry entry : header.entries()) {
            if (!entry.build().isZeroFill()) {
                continue;
            }
            for (long at = entry.offset(); at < entry.end(); ) {
                Header.Run run = baseHeader.lookup(at);
                boolean zero = run.build().isZeroFill();
                long length = zero ? Math.min(run.length(), entry.end() - at) : Header.BLOCK_BYTES;
                if (!zero) {
                    read(baseHeader, at, page.clear());
                    zero = DiffWriter.isZero(page.flip());
                }
                if (zero) {
                    pages.clear(pageAt(at), pageAt(at + length));
                }
                at += length;
            }
        }
        return pages;
    }

    /**
     * Writes what differs from the base to a fresh guest that has the base's content. Each page is checked on the way.
     *
     * @return bytes written
     * @throws dev.sandglass.contract.PlatformException that names what is damaged; the guest is worth nothing then
     */
    public long restore(Target target) throws IOException {
        BitSet pages = pagesToRestore();
        int count = pages.cardinality();
        int[] firsts = PageRuns.pieces(pages);
        try {
            Pipeline.run(
                    firsts.length,
                    () -> ByteBuffer.allocateDirect(PageRuns.PIECE_BYTES),
                    (piece, buffer) -> {
                        buffer.clear().limit(PageRuns.pieceBytes(count, piece));
                        readPages(pages, firsts[piece], buffer);
                        target.writePages(pages, firsts[piece], buffer.flip());
                    },
                    (piece, buffer) -> {});
        } catch (Damage e) {
            throw GenerationStore.damaged(directory, e);
        }
        foundIntact.run();
        target.requirePresent();
        return (long) count * Header.BLOCK_BYTES;
    }

    /** Takes a page that no other generation has to be asked for. */
    @FunctionalInterface
    interface PageSink {
        void append(long page, ByteBuffer content);
    }

    /** Reads every page that is not the base's. */
    void requireIntact() throws IOException, Damage {
        copyOwnPages((page, content) -> {});
        foundIntact.run();
    }

    /** Shows every page that is neither the base's nor zero, in order and on this thread, after checking it. */
    void copyOwnPages(PageSink sink) throws IOException, Damage {
        BitSet pages = ownPages();
        header.entries().stream()
                .filter(entry -> entry.build().isZeroFill())
                .forEach(entry -> pages.clear(pageAt(entry.offset()), pageAt(entry.end())));
        int count = pages.cardinality();
        int[] firsts = PageRuns.pieces(pages);
        Pipeline.run(
                firsts.length,
                () -> ByteBuffer.allocateDirect(PageRuns.PIECE_BYTES),
                (piece, buffer) -> {
                    buffer.clear().limit(PageRuns.pieceBytes(count, piece));
                    readPages(pages, firsts[piece], buffer);
                },
                (piece, buffer) -> {
                    buffer.flip();
                    int page = firsts[piece];
                    for (int at = 0; at < buffer.limit(); at += Header.BLOCK_BYTES) {
                        page = pages.nextSetBit(page);
                        sink.append(page++, buffer.slice(at, Header.BLOCK_BYTES));
                    }
                });
    }

    private static int pageAt(long offset) {
        return Math.toIntExact(offset / Header.BLOCK_BYTES);
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
