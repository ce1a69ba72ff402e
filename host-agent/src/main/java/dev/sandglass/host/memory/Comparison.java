package dev.sandglass.host.memory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;

/**
 * A stopped guest's memory against what the generations hold of it. The private pages are all that ever changed since
 * the base, most of them unchanged since the last generation: each is read and compared. A page that is not private has
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
        private final ByteBuffer before = ByteBuffer.allocateDirect(PageRuns.PIECE_BYTES);
        private final int[] changed = new int[PageRuns.PIECE_BYTES / Header.BLOCK_BYTES];
        private final int[] changedIndexes = new int[PageRuns.PIECE_BYTES / Header.BLOCK_BYTES];
        private int changedCount;
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

    /**
     * Shows the changed ones of {@code pages} to {@code sink}, on this thread.
     *
     * @throws Damage if what is held of a page that differs is not what was written
     */
    static void changedPages(PrivateMemory memory, BitSet pages, MemoryImage held, Sink sink)
            throws IOException, Damage {
        Comparison comparison = new Comparison(memory, pages, held);
        Pipeline.run(comparison.firsts.length, Piece::new, comparison::compare, (index, piece) -> {
            for (int i = 0; i < piece.changedCount; i++) {
                sink.changed(
                        piece.changed[i],
                        piece.now.slice(piece.changedIndexes[i] * Header.BLOCK_BYTES, Header.BLOCK_BYTES));
            }
        });
        memory.requirePresent();
    }

    private void compare(int index, Piece piece) throws IOException, Damage {
        int length = PageRuns.pieceBytes(count, index);
        int first = firsts[index];
        memory.readPages(pages, first, piece.now.clear().limit(length));
        readHeld(first, piece.before.clear().limit(length));
        ByteBuffer now = piece.now.flip();
        ByteBuffer before = piece.before.flip();
        piece.changedCount = 0;
        int page = first;
        int pageIndex = 0;
        int at = 0;
        while (at < length) {
            int equal = now.position(at).mismatch(before.position(at));
            if (equal < 0) {
                break;
            }
            for (int differing = (at + equal) / Header.BLOCK_BYTES; pageIndex < differing; pageIndex++) {
                page = pages.nextSetBit(page + 1);
            }
            int offset = pageIndex * Header.BLOCK_BYTES;
            held.requirePage(page, before.slice(offset, Header.BLOCK_BYTES));
            piece.changed[piece.changedCount] = page;
            piece.changedIndexes[piece.changedCount] = pageIndex;
            piece.changedCount++;
            at = offset + Header.BLOCK_BYTES;
        }
    }

    /** A file that cannot be read is worth no more than one with something else in it. */
    private void readHeld(int first, ByteBuffer into) throws Damage {
        try {
            held.readPages(pages, first, into);
        } catch (IOException e) {
            throw new Damage("a file of it cannot be read: " + e.getMessage());
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
