package dev.sandglass.control.snapshot;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.idempotency.Answer;
import dev.sandglass.control.idempotency.Idempotency;
import dev.sandglass.control.idempotency.StoredAnswers;
import dev.sandglass.control.sandbox.Lifecycle;
import dev.sandglass.control.sandbox.Sandbox;
import dev.sandglass.control.sandbox.SandboxStatus;
import dev.sandglass.control.sandbox.Sandboxes;
import dev.sandglass.control.snapshot.SnapshotStore.Insertion;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** What can be done with snapshots. Thread-safe; blocks until it is done. */
final class Snapshots {
    /** Of a team. Each holds disk and memory of a sandbox. */
    static final int TEAM_MAX = 256;

    private static final Duration WITHIN = SnapshotHosts.MAKE_LIMIT.plusSeconds(30);
    private static final int AUTO_NAME_CHARACTERS = 8;

    /** What somebody wants; {@code pause}: the sandbox is left paused. */
    record Wanted(String sandbox, Optional<String> name, boolean pause, boolean overwrite) {}

    private final SnapshotStore store;
    private final StoredAnswers answers;
    private final Sandboxes sandboxes;
    private final Lifecycle lifecycle;
    private final Making making;

    Snapshots(SnapshotStore store, StoredAnswers answers, Sandboxes sandboxes, Lifecycle lifecycle, Making making) {
        this.store = store;
        this.answers = answers;
        this.sandboxes = sandboxes;
        this.lifecycle = lifecycle;
        this.making = making;
    }

    /** The answer to the request; with a key that has been used, the answer given then. */
    Answer create(TeamId team, Wanted wanted, Optional<Idempotency> idempotency) {
        if (idempotency.isPresent() && answers.isUsed(team, idempotency.get())) {
            return answers.repeat(team, idempotency.get(), WITHIN);
        }
        Sandbox sandbox = sandboxes.requireWhole(team, wanted.sandbox());
        String name = wanted.name().orElseGet(Snapshots::autoName);
        Optional<PlatformException> refusal = refusal(team, name, wanted.overwrite());
        if (refusal.isPresent() && idempotency.isPresent() && answers.isUsed(team, idempotency.get())) {
            return answers.repeat(team, idempotency.get(), WITHIN); // the name was taken by the first of the two
        }
        if (refusal.isPresent()) {
            throw refusal.get();
        }
        return switch (store.insert(team, name, sandbox.hostId(), idempotency, TEAM_MAX, WITHIN)) {
            case Insertion.Repeated repeated -> answers.repeat(team, idempotency.orElseThrow(), WITHIN);
            case Insertion.TooMany tooMany ->
                throw new PlatformException(
                        ErrorCode.QUOTA_EXCEEDED,
                        "The team has " + TEAM_MAX + " snapshots, the most it may have: delete some.");
            case Insertion.Inserted inserted ->
                lifecycle.run(
                        "snapshot",
                        wanted.sandbox(),
                        WITHIN,
                        () -> make(sandbox, inserted.id(), name, wanted, idempotency));
        };
    }

    private static String autoName() {
        return "snapshot-" + Ids.randomCharacters(AUTO_NAME_CHARACTERS);
    }

    /** Why the name is not to be had; empty: it is. */
    private Optional<PlatformException> refusal(TeamId team, String name, boolean overwrite) {
        Optional<Snapshot> namesake = store.find(team, name);
        if (namesake.isPresent() && namesake.get().kept().isEmpty()) {
            return Optional.of(new PlatformException(
                    ErrorCode.ALREADY_EXISTS, "The name '" + name + "' is a base template's: choose another one."));
        }
        return namesake.isPresent() && !overwrite ? Optional.of(taken(name)) : Optional.empty();
    }

    static PlatformException taken(String name) {
        return new PlatformException(
                ErrorCode.ALREADY_EXISTS,
                "The team has a snapshot named '" + name + "': choose another name, or send overwrite=true.");
    }

    private Answer make(Sandbox sandbox, SnapshotId id, String name, Wanted wanted, Optional<Idempotency> idempotency) {
        boolean pausing = wanted.pause() && sandbox.status() == SandboxStatus.RUNNING;
        Answer answer;
        try {
            Snapshot made = pausing
                    ? sandboxes.whilePausing(sandbox, () -> making.make(sandbox, id, name, true, wanted.overwrite()))
                    : making.make(sandbox, id, name, false, wanted.overwrite());
            answer = Answer.created(SnapshotObject.of(made));
        } catch (PlatformException e) {
            store.giveUp(id, e.code().httpStatus() < 500); // also where it was never begun
            if (e.code() == ErrorCode.INVALID_STATE) {
                sandboxes.refused(sandbox);
            }
            if (e.code().httpStatus() < 500) {
                throw e;
            }
            answer = Answer.failed(e);
        }
        if (idempotency.isPresent()) {
            answers.answered(id, answer);
        }
        return answer;
    }

    // ---- find, list, delete

    Snapshot require(TeamId team, String name) {
        return store.find(team, name).orElseThrow(Snapshots::unknown);
    }

    List<Snapshot> list(TeamId team, Optional<SnapshotType> type) {
        return store.list(team, type);
    }

    /** Nobody sees it any more when this returns; its host is told now, or when it can be. */
    void delete(TeamId team, String name) {
        if (require(team, name).kept().isEmpty()) {
            throw new PlatformException(ErrorCode.FORBIDDEN, "Base templates belong to everybody and stay.");
        }
        SnapshotStore.Condemned condemned = store.delete(team, name).orElseThrow(Snapshots::unknown);
        lifecycle.run(
                "delete-snapshot", name, SnapshotHosts.DELETE_LIMIT.plusSeconds(10), () -> making.remove(condemned));
    }

    private static PlatformException unknown() {
        return new PlatformException(ErrorCode.NOT_FOUND, "There is no such snapshot.");
    }
}
