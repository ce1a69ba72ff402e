package dev.sandglass.control.snapshot;

import java.time.Instant;
import org.jspecify.annotations.Nullable;

/** A snapshot in the API. */
record SnapshotObject(
        String id,
        String name,
        String type,
        @Nullable Integer vcpus,
        @Nullable Integer memoryMb,
        long sizeBytes,
        Instant createdAt,
        @Nullable String error) {
    private static final String LOST = "Its data are gone from its host; only deleting it helps.";

    static SnapshotObject of(Snapshot snapshot) {
        return new SnapshotObject(
                snapshot.id().value(),
                snapshot.name(),
                (snapshot.kept().isPresent() ? SnapshotType.SNAPSHOT : SnapshotType.BASE).wireName(),
                snapshot.kept().map(Snapshot.Kept::vcpus).orElse(null),
                snapshot.kept().map(Snapshot.Kept::memoryMb).orElse(null),
                snapshot.sizeBytes(),
                snapshot.createdAt(),
                snapshot.lost() ? LOST : null);
    }
}
