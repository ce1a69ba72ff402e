package dev.sandglass.host.memory;

/**
 * Where a range of guest memory lives. All numbers are bytes and multiples of {@link Header#BLOCK_BYTES}.
 *
 * @param offset in guest memory
 * @param build the file, or {@link BuildId#ZERO_FILL}
 * @param storage where in that file the range begins; 0 for zero fill
 */
public record Entry(long offset, long length, BuildId build, long storage) {
    public Entry {
        requireBlocks("offset", offset);
        requireBlocks("length", length);
        requireBlocks("storage offset", storage);
        if (length == 0) {
            throw new IllegalArgumentException("an entry at " + offset + " is empty");
        }
        if (offset > Long.MAX_VALUE - length || storage > Long.MAX_VALUE - length) {
            throw new IllegalArgumentException("an entry at " + offset + " ends beyond what can be addressed");
        }
        if (build.isZeroFill() && storage != 0) {
            throw new IllegalArgumentException("a zero-fill entry at " + offset + " has a storage offset");
        }
    }

    public long end() {
        return offset + length;
    }

    /** The piece from {@code from} to {@code to}, both inside. */
    Entry part(long from, long to) {
        return new Entry(from, to - from, build, build.isZeroFill() ? 0 : storage + (from - offset));
    }

    /** Both can be one entry: {@code next} goes on where this ends, in the guest and in the file. */
    boolean continuedBy(Entry next) {
        return end() == next.offset
                && build.equals(next.build)
                && (build.isZeroFill() || storage + length == next.storage);
    }

    Entry with(Entry next) {
        return new Entry(offset, length + next.length, build, storage);
    }

    private static void requireBlocks(String what, long bytes) {
        if (bytes < 0 || bytes % Header.BLOCK_BYTES != 0) {
            throw new IllegalArgumentException(
                    "a " + what + " is not a multiple of " + Header.BLOCK_BYTES + ": " + Long.toUnsignedString(bytes));
        }
    }
}
