package dev.sandglass.host.memory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.BitSet;

/**
 * The memory of a stopped guest that is a private mapping of the base: pages it was ever given for itself, all others
 * being the base's. Nothing may change while it is looked at. Read by several threads at once.
 */
public interface PrivateMemory {
    long bytes();

    /** Numbers of the private pages. A page that is not among them has the base's content. */
    BitSet privatePages() throws IOException;

    /** Fills {@code into} from guest memory at {@code offset}. */
    void read(long offset, ByteBuffer into) throws IOException;

    /** Fills {@code into} with those of {@code pages} that follow {@code first}, itself included, one behind the other. */
    default void readPages(BitSet pages, int first, ByteBuffer into) throws IOException {
        PageRuns.of(pages, first, into.remaining(), (page, bytes) -> {
            ByteBuffer run = into.slice(into.position(), bytes);
            read((long) page * Header.BLOCK_BYTES, run);
            into.position(into.position() + bytes);
        });
    }

    /** To be called after the last read: throws if the guest ended, so that what was read may have been anything. */
    default void requirePresent() throws IOException {}
}
