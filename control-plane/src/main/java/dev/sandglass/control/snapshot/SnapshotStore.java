package dev.sandglass.control.snapshot;

import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.control.idempotency.Idempotency;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Rows of snapshots. Thread-safe. */
interface SnapshotStore {
    /** What became of an attempt to insert. */
    sealed interface Insertion {
        record Inserted(SnapshotId id) implements Insertion {}

        /** The Idempotency-Key has been used. */
        record Repeated() implements Insertion {}

        /** The team has as many as it may have. */
        record TooMany() implements Insertion {}
    }

    /** What became of an attempt to complete. */
    sealed interface Completion {
        /** {@code replaced} had the name before. */
        record Completed(Snapshot snapshot, Optional<Condemned> replaced) implements Completion {}

        record NameTaken() implements Completion {}

        /** Its time was over, and it has been given up. */
        record TooLate() implements Completion {}
    }

    /** One that its host is to delete. */
    record Condemned(SnapshotId id, String hostId) {}

    /** What a host says of a snapshot it has made. */
    record Made(long sizeBytes, int vcpus, int memoryMb) {}

    /** A row that nobody sees; all of it or nothing. */
    Insertion insert(
            TeamId team, String name, String hostId, Optional<Idempotency> idempotency, int teamMax, Duration within);

    /** Makes it visible under its name; with {@code overwrite} whatever has the name is deleted in the same moment. */
    Completion complete(TeamId team, SnapshotId id, Made made, boolean overwrite);

    /** It is not to become complete any more. {@code forgetKey}: its Idempotency-Key may be used again. */
    void giveUp(SnapshotId id, boolean forgetKey);

    /** A complete one of the team's, or a base template. */
    Optional<Snapshot> find(TeamId team, String name);

    /** Newest first. */
    List<Snapshot> list(TeamId team, Optional<SnapshotType> type);

    /** Nobody sees it any more; empty when the team has none of this name. */
    Optional<Condemned> delete(TeamId team, String name);

    /** Its host has confirmed. Of one that was given up that says nothing while its creation may still take effect. */
    void removed(SnapshotId id);

    /** Gives up what is past its deadline; all that hosts are to delete now. */
    List<Condemned> condemned();

    /** A complete one that nobody has deleted; {@code lost}: its row says that its data are gone. */
    record Expected(boolean lost) {}

    /** What a host should have, by id. */
    Map<String, Expected> expectedOn(String hostId);

    /** Which of these have a row, and whether their host has confirmed that they are gone. */
    Map<String, Boolean> known(Set<String> ids);

    void markLost(List<String> ids, boolean lost);

    /** Forgets what nobody can ask for any more. */
    void tidy();
}
