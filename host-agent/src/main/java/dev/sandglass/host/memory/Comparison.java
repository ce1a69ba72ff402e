package dev.sandglass.host.memory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A stopped guest's memory against what the generations hold of it. The private pages are all that ever changed since
 * the base, most of them unchanged since the last generation: each is read and compared, with the base's content or
 * with the digest of what a generation holds. A page that is not private has
 * the base's content, whatever an earlier generation holds for it.
 */
final class Comparison {
    /** Takes the pages that differ, in order. */
    @FunctionalInterface
    interface Sink {
        void changed(long page, ByteBuffer content) throws IOException;
    }

    /** A piece of the private pages, and which of them differ. */
    private static final class Piece {
        private final ByteBuffer now = ByteBuffer.allocateDirect(PageRuns.PIECE_BYTES);
        private @Nullable ByteBuffer base;
        private final PageDigest digest = new PageDigest();
        private final int[] changed = new int[PageRuns.PIECE_BYTES / Header.BLOCK_BYTES];
        private final int[] changedOffsets = new int[PageRuns.PIECE_BYTES / Header.BLOCK_BYTES];
        private int changedCount;
        private int at;

        /** Not every piece has pages of the base. */
        ByteBuffer base(int bytes) {
            ByteBuffer made = base == null ? ByteBuffer.allocateDirect(PageRuns.PIECE_BYTES) : base;
            base = made;
            return made.clear().limit(bytes);
        }

        void changed(long page, int offset) {
            changed[changedCount] = (int) page;
            changedOffsets[changedCount] = offset;
            changedCount++;
        }
    }

    private final PrivateMemory memory;
    private final BitSet pages;
    private final MemoryImage held;
    private final int count;
    private final int[] firsts;

    private Comparison(PrivateMemory memory, BitSet pages, MemoryImage held) {
        this.memory = memory;
        this.pages = pages;
        this.held = held;
        this.count = pages.cardinality();
        this.firsts = PageRuns.pieces(pages);
    }

    /** Shows the changed ones of {@code pages} to {@code sink}, on this thread. */
    static void changedPages(PrivateMemory memory, BitSet pages, MemoryImage held, Sink sink)
            throws IOException, Damage {
        Comparison comparison = new Comparison(memory, pages, held);
        Pipeline.run(comparison.firsts.length, Piece::new, comparison::compare, (index, piece) -> {
            for (int i = 0; i < piece.changedCount; i++) {
                sink.changed(piece.changed[i], piece.now.slice(piece.changedOffsets[i], Header.BLOCK_BYTES));
            }
        });
        memory.requirePresent();
    }

    private void compare(int index, Piece piece) throws IOException, Damage {
        int length = PageRuns.pieceBytes(count, index);
        memory.readPages(pages, firsts[index], piece.now.clear().limit(length));
        piece.now.flip();
        piece.changedCount = 0;
        piece.at = 0;
        held.eachPart(pages, firsts[index], length, (entry, offset, bytes) -> {
            if (entry.build().equals(held.header().base())) {
                compareWithBase(offset, bytes, piece);
            } else {
                compareWithGeneration(entry, offset, bytes, piece);
            }
            piece.at += bytes;
        });
    }

    private void compareWithBase(long offset, int bytes, Piece piece) throws IOException {
        ByteBuffer base = piece.base(bytes);
        held.read(offset, base);
        base.flip();
        ByteBuffer now = piece.now.slice(piece.at, bytes);
        int at = 0;
        while (at < bytes) {
            int equal = now.position(at).mismatch(base.position(at));
            if (equal < 0) {
                return;
            }
            int page = (at + equal) / Header.BLOCK_BYTES;
            piece.changed(offset / Header.BLOCK_BYTES + page, piece.at + page * Header.BLOCK_BYTES);
            at = (page + 1) * Header.BLOCK_BYTES;
        }
    }

    /** By what the checksums say of its pages: reading them again would take longer than anything else. */
    private void compareWithGeneration(Entry entry, long offset, int bytes, Piece piece) {
        boolean zero = entry.build().isZeroFill();
        for (int at = 0; at < bytes; at += Header.BLOCK_BYTES) {
            int here = piece.at + at;
            boolean same = zero
                    ? DiffWriter.isZero(piece.now.slice(here, Header.BLOCK_BYTES))
                    : piece.digest.of(piece.now, here)
                            == held.checksums(entry.build()).page(entry.storage() + (offset + at - entry.offset()));
            if (!same) {
                piece.changed((offset + at) / Header.BLOCK_BYTES, here);
            }
        }
    }

    /** What the header must say of pages that generations changed and that are no longer private: the base's entries. */
    static List<Entry> reverted(BitSet pages, Header held, Header base) {
        List<Entry> reverted = new ArrayList<>();
        for (Entry entry : held.entries()) {
            if (entry.build().equals(held.base())) {
                continue;
            }
            int end = Math.toIntExact(entry.end() / Header.BLOCK_BYTES);
            int from = pages.nextClearBit(Math.toIntExact(entry.offset() / Header.BLOCK_BYTES));
            while (from < end) {
                int set = pages.nextSetBit(from);
                int to = set < 0 ? end : Math.min(set, end);
                Entries.between(base.entries(), (long) from * Header.BLOCK_BYTES, (long) to * Header.BLOCK_BYTES)
                        .stream()
                        .filter(below ->
                                !(entry.build().isZeroFill() && below.build().isZeroFill()))
                        .forEach(reverted::add);
                from = pages.nextClearBit(to);
            }
        }
        return reverted;
    }
}
