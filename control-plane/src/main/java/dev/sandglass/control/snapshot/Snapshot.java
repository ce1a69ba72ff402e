package dev.sandglass.control.snapshot;

import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.control.sandbox.Template;
import java.time.Instant;
import java.util.Optional;

/**
 * A complete one.
 *
 * @param kept where it is and its shape; empty for a base template, which every host makes for itself
 * @param sizeBytes allocated on disk
 * @param lost its host does not have it any more
 */
record Snapshot(SnapshotId id, String name, Optional<Kept> kept, long sizeBytes, Instant createdAt, boolean lost) {
    record Kept(String hostId, int vcpus, int memoryMb) {}

    Template template() {
        return new Template(
                name, kept.map(where -> new Template.Snapshot(id, where.hostId(), where.vcpus(), where.memoryMb())));
    }
}
