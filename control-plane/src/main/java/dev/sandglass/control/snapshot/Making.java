package dev.sandglass.control.snapshot;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.sandbox.Sandbox;
import dev.sandglass.control.snapshot.SnapshotStore.Completion;
import dev.sandglass.control.snapshot.SnapshotStore.Condemned;
import dev.sandglass.control.snapshot.SnapshotStore.Made;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Makes snapshots that have a row already, and removes what is not to be kept. It may end between any two of its calls:
 * then the row says that its host is to delete it. Thread-safe.
 */
final class Making {
    private static final Logger log = LoggerFactory.getLogger(Making.class);

    private final SnapshotStore store;
    private final SnapshotHosts hosts;

    Making(SnapshotStore store, SnapshotHosts hosts) {
        this.store = store;
        this.hosts = hosts;
    }

    /** Complete and visible, or given up. */
    Snapshot make(Sandbox sandbox, SnapshotId id, String name, boolean leavePaused, boolean overwrite) {
        try {
            Made made = hosts.make(sandbox, id, leavePaused);
            return switch (store.complete(sandbox.team(), id, made, overwrite)) {
                case Completion.Completed completed -> {
                    completed.replaced().ifPresent(this::remove);
                    yield completed.snapshot();
                }
                case Completion.NameTaken taken -> throw Snapshots.taken(name);
                case Completion.TooLate late ->
                    throw new PlatformException(
                            ErrorCode.AGENT_ERROR, "The snapshot took too long to make and was given up.");
            };
        } catch (PlatformException e) {
            log.atWarn()
                    .addKeyValue("snapshot", id)
                    .addKeyValue("sandbox", sandbox.id())
                    .setCause(e.code().httpStatus() < 500 ? null : e)
                    .log("a snapshot was not made");
            store.giveUp(id, e.code().httpStatus() < 500);
            remove(new Condemned(id, sandbox.hostId()));
            throw e;
        }
    }

    /** What hosts are to delete and have not confirmed yet. Called every few seconds, by one control plane at a time. */
    void removeCondemned() {
        store.condemned().forEach(this::remove);
        store.tidy();
    }

    /** Whether its host has confirmed that it is gone; otherwise that is tried again. */
    boolean remove(Condemned snapshot) {
        try {
            hosts.delete(snapshot);
        } catch (PlatformException e) {
            log.atWarn()
                    .addKeyValue("snapshot", snapshot.id())
                    .addKeyValue("host", snapshot.hostId())
                    .addKeyValue("reason", e.reason())
                    .log("a snapshot could not be removed yet");
            return false;
        }
        store.removed(snapshot.id());
        return true;
    }
}
