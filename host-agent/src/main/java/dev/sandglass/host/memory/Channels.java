package dev.sandglass.host.memory;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;

/** Buffers, and whole reads and writes, whatever the kernel does at a time. */
final class Channels {
    /**
     * Of guest memory read or written at a time: large enough that a call's cost does not count, small enough for a
     * processor's cache.
     */
    static final int BUFFER_BYTES = 1 << 20;

    private Channels() {}

    /** Of {@link #BUFFER_BYTES}, or less when there is not so much to hold. */
    static ByteBuffer buffer(long bytes) {
        return ByteBuffer.allocateDirect((int) Math.min(BUFFER_BYTES, bytes));
    }

    static void read(FileChannel channel, long position, ByteBuffer into) throws IOException {
        while (into.hasRemaining()) {
            int read = channel.read(into, position);
            if (read <= 0) {
                throw new EOFException("the file ends at " + position);
            }
            position += read;
        }
    }

    static void write(FileChannel channel, ByteBuffer from) throws IOException {
        while (from.hasRemaining()) {
            channel.write(from);
        }
    }
}
