package dev.sandglass.host.vmm;

import dev.sandglass.host.linux.Deadline;

/**
 * A new top layer that a running machine has opened and does not use yet. Made before the machine is stopped, so that the
 * switch itself is short.
 */
public interface DiskSwitch extends AutoCloseable {
    /**
     * Of a stopped machine: what was its top layer is complete, its file is as the guest's last write left it, and nothing
     * will ever be written to it again; the new layer takes all writes. Not synced, that is the caller's.
     */
    void commit(Deadline deadline);

    /** Lets go of the new layer if it was not committed; the machine goes on with the old one. Idempotent. */
    @Override
    void close();
}
