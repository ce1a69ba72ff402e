package dev.sandglass.host.memory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.BitSet;

/**
 * The memory of a stopped guest that is a private mapping of the base: pages it was ever given for itself, all others
 * being the base's. Nothing may change while it is looked at.
 */
public interface PrivateMemory {
    long bytes();

    /** Numbers of the private pages. A page that is not among them has the base's content. */
    BitSet privatePages() throws IOException;

    /** Fills {@code into} from guest memory at {@code offset}. */
    void read(long offset, ByteBuffer into) throws IOException;
}
