package dev.sandglass.host.memory;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/**
 * Where every page of a guest's memory lives, as of one generation. On disk, little-endian, without padding:
 *
 * <pre>
 *  0  version u64 = 1            40 entries, 40 bytes each, to the end:
 *  8  block size u64 = 4096          0  offset u64
 * 16  memory size u64                8  length u64
 * 24  generation u64                16  build id (nil: zero fill)
 * 32  build id                      32  storage offset u64
 * 48  base build id
 * 64  entries
 * </pre>
 *
 * Build ids are UUIDs in the order of their text. Without entries all of the memory lives in the build's file at 0.
 *
 * @param memoryBytes of the guest
 * @param generation 0 for a base, whose build is its own base; one more at each pause
 * @param entries sorted, contiguous, covering the memory
 */
public record Header(long memoryBytes, long generation, BuildId build, BuildId base, List<Entry> entries) {
    public static final int BLOCK_BYTES = 4096;

    private static final int PREFIX_BYTES = 64;
    private static final int ENTRY_BYTES = 40;
    private static final long VERSION = 1;

    /**
     * Where a range lives: as {@link Entry#build} and {@link Entry#storage}, and for how many bytes from there on.
     */
    public record Run(BuildId build, long storage, long length) {}

    public Header {
        entries = List.copyOf(entries);
        if (memoryBytes <= 0 || memoryBytes % BLOCK_BYTES != 0) {
            throw new IllegalArgumentException(
                    "the memory size is not a multiple of " + BLOCK_BYTES + ": " + Long.toUnsignedString(memoryBytes));
        }
        if (generation < 0) {
            throw new IllegalArgumentException("generation " + Long.toUnsignedString(generation) + " cannot be");
        }
        if (build.isZeroFill() || base.isZeroFill()) {
            throw new IllegalArgumentException("a build id is nil");
        }
        if (build.equals(base) != (generation == 0)) {
            throw new IllegalArgumentException("generation " + generation + " has build " + build + " on " + base);
        }
        long covered = 0;
        for (Entry entry : entries) {
            if (entry.offset() != covered) {
                throw new IllegalArgumentException(
                        "an entry begins at " + entry.offset() + " where one at " + covered + " is due");
            }
            covered = entry.end();
        }
        if (covered != memoryBytes) {
            throw new IllegalArgumentException("the entries cover " + covered + " of " + memoryBytes + " bytes");
        }
    }

    /** Generation 0 that holds every page at its own place, as a template's memory file does. */
    public static Header flat(BuildId base, long memoryBytes) {
        return new Header(memoryBytes, 0, base, base, List.of(new Entry(0, memoryBytes, base, 0)));
    }

    /** The generation after this one. */
    Header next(BuildId newBuild, List<Entry> overlay) {
        return new Header(memoryBytes, generation + 1, newBuild, base, Entries.overlay(entries, overlay));
    }

    /** Where the memory from {@code offset} on lives; any byte of it. */
    public Run lookup(long offset) {
        if (offset < 0 || offset >= memoryBytes) {
            throw new IndexOutOfBoundsException("no guest memory at " + offset + " of " + memoryBytes);
        }
        Entry entry = entries.get(Entries.indexAt(entries, offset));
        long skipped = offset - entry.offset();
        return new Run(
                entry.build(), entry.build().isZeroFill() ? 0 : entry.storage() + skipped, entry.length() - skipped);
    }

    public byte[] encode() {
        ByteBuffer bytes = ByteBuffer.allocate(
                        Math.addExact(PREFIX_BYTES, Math.multiplyExact(ENTRY_BYTES, entries.size())))
                .order(ByteOrder.LITTLE_ENDIAN);
        bytes.putLong(VERSION).putLong(BLOCK_BYTES).putLong(memoryBytes).putLong(generation);
        put(bytes, build);
        put(bytes, base);
        for (Entry entry : entries) {
            bytes.putLong(entry.offset()).putLong(entry.length());
            put(bytes, entry.build());
            bytes.putLong(entry.storage());
        }
        return bytes.array();
    }

    public static Header decode(byte[] encoded) throws MalformedHeader {
        ByteBuffer bytes = ByteBuffer.wrap(encoded).order(ByteOrder.LITTLE_ENDIAN);
        if (encoded.length < PREFIX_BYTES) {
            throw new MalformedHeader("it has " + encoded.length + " of at least " + PREFIX_BYTES + " bytes");
        }
        require("version", bytes.getLong(), VERSION);
        require("block size", bytes.getLong(), BLOCK_BYTES);
        if ((encoded.length - PREFIX_BYTES) % ENTRY_BYTES != 0) {
            throw new MalformedHeader("it ends with a part of an entry");
        }
        try {
            return decodeRest(bytes);
        } catch (IllegalArgumentException e) {
            throw new MalformedHeader(String.valueOf(e.getMessage()));
        }
    }

    private static Header decodeRest(ByteBuffer bytes) {
        long memoryBytes = bytes.getLong();
        long generation = bytes.getLong();
        BuildId build = buildId(bytes);
        BuildId base = buildId(bytes);
        List<Entry> entries = new ArrayList<>(bytes.remaining() / ENTRY_BYTES);
        while (bytes.hasRemaining()) {
            entries.add(new Entry(bytes.getLong(), bytes.getLong(), buildId(bytes), bytes.getLong()));
        }
        if (entries.isEmpty()) {
            entries.add(new Entry(0, memoryBytes, build, 0));
        }
        return new Header(memoryBytes, generation, build, base, entries);
    }

    private static void require(String field, long found, long wanted) throws MalformedHeader {
        if (found != wanted) {
            throw new MalformedHeader("its " + field + " is " + Long.toUnsignedString(found) + ", not " + wanted);
        }
    }

    private static void put(ByteBuffer bytes, BuildId id) {
        bytes.putLong(Long.reverseBytes(id.high())).putLong(Long.reverseBytes(id.low()));
    }

    private static BuildId buildId(ByteBuffer bytes) {
        return new BuildId(Long.reverseBytes(bytes.getLong()), Long.reverseBytes(bytes.getLong()));
    }
}
