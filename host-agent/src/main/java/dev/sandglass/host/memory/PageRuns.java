package dev.sandglass.host.memory;

import java.io.IOException;
import java.util.BitSet;

/** Sets of pages as runs, and cut into pieces to be worked on one by one. */
final class PageRuns {
    /** Of a piece: large enough that a system call does not count, small enough for a processor's cache. */
    static final int PIECE_BYTES = 256 << 10;

    private static final int PIECE_PAGES = PIECE_BYTES / Header.BLOCK_BYTES;

    private PageRuns() {}

    @FunctionalInterface
    interface Visitor<E extends Exception> {
        /** Shown {@code bytes} of pages that lie next to each other from {@code page} on. */
        void run(int page, int bytes) throws E, IOException;
    }

    /** Shows the next {@code bytes} of {@code pages} from {@code first} on, which must be there. */
    static <E extends Exception> void of(BitSet pages, int first, int bytes, Visitor<E> visitor) throws E, IOException {
        int rest = bytes / Header.BLOCK_BYTES;
        int next = pages.nextSetBit(first);
        while (rest > 0) {
            int count = Math.min(rest, pages.nextClearBit(next) - next);
            visitor.run(next, count * Header.BLOCK_BYTES);
            rest -= count;
            next = pages.nextSetBit(next + count);
        }
    }

    /** The first page of each piece; all but the last have as many pages as fit into {@link #PIECE_BYTES}. */
    static int[] pieces(BitSet pages) {
        int count = pages.cardinality();
        int[] firsts = new int[(count + PIECE_PAGES - 1) / PIECE_PAGES];
        int page = 0;
        for (int i = 0; i < firsts.length; i++) {
            page = pages.nextSetBit(page);
            firsts[i] = page;
            for (int left = PIECE_PAGES; left > 0 && page >= 0; ) {
                int end = pages.nextClearBit(page);
                int taken = Math.min(left, end - page);
                left -= taken;
                page = left == 0 ? page + taken : pages.nextSetBit(end);
            }
        }
        return firsts;
    }

    static int pieceBytes(int pages, int piece) {
        return Math.min(PIECE_PAGES, pages - piece * PIECE_PAGES) * Header.BLOCK_BYTES;
    }
}
