package dev.sandglass.host.memory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;

/** A guest as arrays of pages, with a note of those it has for itself. */
final class SimulatedGuest implements PrivateMemory {
    static final int PAGE = Header.BLOCK_BYTES;

    private final byte[][] base;
    private final byte[][] now;
    private final BitSet own;

    /** @param fills one byte for each page of the base */
    SimulatedGuest(int... fills) {
        this(new byte[fills.length][PAGE], new byte[fills.length][PAGE], new BitSet());
        for (int page = 0; page < fills.length; page++) {
            Arrays.fill(base[page], (byte) fills[page]);
            drop(page);
        }
    }

    private SimulatedGuest(byte[][] base, byte[][] now, BitSet own) {
        this.base = base;
        this.now = now;
        this.own = own;
    }

    Base writeBase(Path file) throws IOException {
        try (var out = Files.newOutputStream(file)) {
            for (byte[] page : base) {
                out.write(page);
            }
        }
        return Base.flat(BuildId.named("template"), bytes(), file);
    }

    /** As it is now; later changes of either do not show in the other. */
    SimulatedGuest copy() {
        return new SimulatedGuest(base, copyOf(now), (BitSet) own.clone());
    }

    SimulatedGuest restored(MemoryImage image) throws IOException {
        SimulatedGuest fresh = new SimulatedGuest(base, copyOf(base), new BitSet());
        image.restore(fresh::write);
        return fresh;
    }

    private static byte[][] copyOf(byte[][] pages) {
        return Arrays.stream(pages).map(byte[]::clone).toArray(byte[][]::new);
    }

    void fill(int page, int value) {
        own.set(page);
        Arrays.fill(now[page], (byte) value);
    }

    void setByte(int page, int at, int value) {
        own.set(page);
        now[page][at] = (byte) value;
    }

    /** Written to with what was there. */
    void touch(int page) {
        own.set(page);
    }

    void touchAll() {
        own.set(0, base.length);
    }

    /** Given back to the kernel: the base's content from here on. */
    void drop(int page) {
        own.clear(page);
        now[page] = base[page].clone();
    }

    private synchronized void write(long offset, ByteBuffer pages) {
        for (int page = (int) (offset / PAGE); pages.hasRemaining(); page++) {
            own.set(page);
            pages.get(now[page]);
        }
    }

    @Override
    public long bytes() {
        return (long) base.length * PAGE;
    }

    @Override
    public BitSet privatePages() {
        return (BitSet) own.clone();
    }

    @Override
    public void read(long offset, ByteBuffer into) {
        for (long page = offset / PAGE; into.hasRemaining(); page++) {
            into.put(now[(int) page]);
        }
    }
}
