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

    private Comparison() {}

    /** Shows the changed ones of {@code pages} to {@code sink}; returns how many pages were compared. */
    static long changedPages(PrivateMemory memory, BitSet pages, MemoryImage held, Sink sink) throws IOException {
        ByteBuffer now = Channels.buffer(memory.bytes());
        ByteBuffer before = Channels.buffer(memory.bytes());
        int pagesMax = Channels.BUFFER_BYTES / Header.BLOCK_BYTES;
        int next = pages.nextSetBit(0);
        while (next >= 0) {
            int end = Math.min(pages.nextClearBit(next), next + pagesMax);
            int length = (end - next) * Header.BLOCK_BYTES;
            long offset = (long) next * Header.BLOCK_BYTES;
            memory.read(offset, now.clear().limit(length));
            held.read(offset, before.clear().limit(length));
            compare(next, now.flip(), before.flip(), sink);
            next = pages.nextSetBit(end);
        }
        return pages.cardinality();
    }

    private static void compare(long firstPage, ByteBuffer now, ByteBuffer before, Sink sink) throws IOException {
        int at = 0;
        while (at < now.limit()) {
            int equal = now.position(at).mismatch(before.position(at));
            if (equal < 0) {
                return;
            }
            int index = (at + equal) / Header.BLOCK_BYTES;
            int offset = index * Header.BLOCK_BYTES;
            sink.changed(firstPage + index, now.slice(offset, Header.BLOCK_BYTES));
            at = offset + Header.BLOCK_BYTES;
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
                reverted.addAll(Entries.between(
                        base.entries(), (long) from * Header.BLOCK_BYTES, (long) to * Header.BLOCK_BYTES));
                from = pages.nextClearBit(to);
            }
        }
        return reverted;
    }
}
