package dev.sandglass.host.memory;

import java.util.ArrayList;
import java.util.List;

/** Sorted lists of entries. Every operation is one sweep. */
final class Entries {
    private Entries() {}

    /** Collects entries in order and makes neighbours one where they continue each other. */
    static final class Collector {
        private final List<Entry> done = new ArrayList<>();

        void add(Entry next) {
            if (!done.isEmpty() && done.getLast().continuedBy(next)) {
                done.set(done.size() - 1, done.getLast().with(next));
            } else {
                done.add(next);
            }
        }

        List<Entry> entries() {
            return List.copyOf(done);
        }
    }

    /**
     * {@code base} with {@code overlay} laid over it: the overlay wins, and what it cuts off a base entry on the left
     * advances the rest's storage offset.
     *
     * @param overlay sorted and without overlaps; may have gaps, not reach beyond the base
     */
    static List<Entry> overlay(List<Entry> base, List<Entry> overlay) {
        Collector result = new Collector();
        int next = 0;
        long done = 0;
        for (Entry under : base) {
            while (next < overlay.size() && overlay.get(next).offset() < under.end()) {
                Entry over = overlay.get(next++);
                if (over.offset() < done && next > 1) {
                    requireBehind(overlay.get(next - 2), over);
                }
                long from = Math.max(under.offset(), done);
                if (over.offset() > from) {
                    result.add(under.part(from, over.offset()));
                }
                result.add(over);
                done = over.end();
            }
            long from = Math.max(under.offset(), done);
            if (from < under.end()) {
                result.add(under.part(from, under.end()));
                done = under.end();
            }
        }
        if (next < overlay.size() || done != base.getLast().end()) {
            throw new IllegalArgumentException("the overlay reaches beyond the base");
        }
        return result.entries();
    }

    private static void requireBehind(Entry earlier, Entry later) {
        if (later.offset() < earlier.end()) {
            throw new IllegalArgumentException("the overlay is not sorted at " + later.offset());
        }
    }

    /** What lies between {@code from} and {@code to}. {@code entries} are contiguous and begin at 0. */
    static List<Entry> between(List<Entry> entries, long from, long to) {
        List<Entry> result = new ArrayList<>();
        for (int i = indexAt(entries, from);
                i < entries.size() && entries.get(i).offset() < to;
                i++) {
            Entry entry = entries.get(i);
            result.add(entry.part(Math.max(from, entry.offset()), Math.min(to, entry.end())));
        }
        return result;
    }

    /** Of the entry that holds {@code offset}, by binary search; contiguous, beginning at 0. */
    static int indexAt(List<Entry> entries, long offset) {
        int low = 0;
        int high = entries.size() - 1;
        while (low < high) {
            int middle = (low + high + 1) >>> 1;
            if (entries.get(middle).offset() <= offset) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return low;
    }
}
