package dev.sandglass.control.sandbox;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.sandbox.Machines.HostView;
import dev.sandglass.control.sandbox.Machines.Resumed;
import dev.sandglass.control.sandbox.SandboxStore.Resumption;
import java.time.Duration;
import java.util.Optional;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Pause, resume and delete. Each waits for another operation on the same sandbox to end, claims the row by a
 * compare-and-set into a transition, tells the host, and writes down what came of it. When the host's answer is lost or a
 * refusal, the host is asked what the sandbox is now, and the row says that. Thread-safe.
 */
final class Operations {
    private static final Logger log = LoggerFactory.getLogger(Operations.class);

    private final SandboxStore store;
    private final Machines machines;
    private final Detached lifecycle;
    private final TeamQuota quota;
    private final Pace pace;
    private final Runnable soon;

    /** {@code soon}: something is known to be off that the reconciler should look at. */
    Operations(SandboxStore store, Machines machines, Detached lifecycle, TeamQuota quota, Pace pace, Runnable soon) {
        this.store = store;
        this.machines = machines;
        this.lifecycle = lifecycle;
        this.quota = quota;
        this.pace = pace;
        this.soon = soon;
    }

    private Sandbox require(TeamId team, SandboxId id) {
        return store.find(team, id).orElseThrow(Sandboxes::unknown);
    }

    static PlatformException wrongState(Sandbox row, String needed) {
        return new PlatformException(
                ErrorCode.INVALID_STATE,
                "The sandbox is " + row.shownStatus().wireName() + "; this needs " + needed + ".");
    }

    // ---- pause

    /** The sandbox, paused; of several at the same time one does it and the others wait for it. */
    Sandbox pause(TeamId team, SandboxId id) {
        long until = pace.nanoTime() + Limits.TURN.toNanos();
        while (true) {
            Sandbox row = require(team, id);
            switch (row.shownStatus()) {
                case PAUSED -> {
                    return row;
                }
                case RUNNING -> {
                    Optional<Sandbox> pausing = store.change(row, Change.pausing(row, Limits.PAUSE.plus(Limits.SLACK)));
                    if (pausing.isPresent()) {
                        return lifecycle.run(
                                "pause", id.value(), Limits.PAUSE.plus(Limits.SLACK), () -> finishPause(pausing.get()));
                    }
                }
                case STOPPED, ERROR -> throw wrongState(row, "a running one");
                case PENDING, PAUSING, RESUMING -> {}
            }
            awaitTurn(row, until);
        }
    }

    private Sandbox finishPause(Sandbox pausing) {
        try {
            machines.pause(pausing);
        } catch (PlatformException e) {
            return settle(pausing)
                    .filter(now -> now.status() == SandboxStatus.PAUSED) // the answer was lost, the pause was not
                    .orElseThrow(() -> e);
        }
        return paused(pausing);
    }

    private Sandbox paused(Sandbox pausing) {
        return store.change(pausing, Change.paused(pausing))
                .or(() -> becameMeanwhile(pausing, SandboxStatus.PAUSED))
                .orElseThrow(() -> overtaken("paused"));
    }

    /**
     * A transition that the host has finished is no longer in its row: the reconciler was quicker, or the database crashed
     * and has lost the transition's beginning, for whose commit nobody waits. The row, if it is {@code wanted} by that.
     */
    private Optional<Sandbox> becameMeanwhile(Sandbox transition, SandboxStatus wanted) {
        return find(transition)
                .flatMap(now -> now.status() == wanted || now.status().isTransition() ? Optional.of(now) : settle(now))
                .filter(now -> now.status() == wanted);
    }

    /**
     * Runs {@code work}, which leaves a running sandbox paused; its row says so meanwhile and afterwards. Called within
     * the lifecycle.
     *
     * @throws PlatformException of the work; the row is then what its host says
     */
    <T> T whilePausing(Sandbox running, Supplier<T> work) {
        Sandbox pausing = store.change(running, Change.pausing(running, Limits.PAUSE.plus(Limits.SLACK)))
                .orElseThrow(() -> overtaken("paused"));
        T result;
        try {
            result = work.get();
        } catch (RuntimeException e) {
            settle(pausing);
            throw e;
        }
        paused(pausing);
        return result;
    }

    private Optional<Sandbox> find(Sandbox row) {
        return store.find(row.team(), row.id());
    }

    private static PlatformException overtaken(String doing) {
        return new PlatformException(
                ErrorCode.CONFLICT, "The sandbox was changed by somebody else while it was being " + doing + ".");
    }

    private void awaitTurn(Sandbox row, long until) {
        if (pace.nanoTime() > until) {
            throw new PlatformException(
                    ErrorCode.CONFLICT,
                    "The sandbox is still " + row.shownStatus().wireName() + ": try again when that is over.");
        }
        long waited = pace.nanoTime() - (until - Limits.TURN.toNanos());
        pace.sleep(Duration.ofNanos(Math.clamp(waited / 4, Limits.POLL.toNanos(), Limits.POLL_MAX.toNanos())));
    }

    // ---- resume

    /** The sandbox, running. {@code cold}: boot it from its disk even if it has its memory. */
    Sandbox resume(TeamId team, SandboxId id, boolean cold) {
        long until = pace.nanoTime() + Limits.TURN.toNanos();
        while (true) {
            Sandbox row = require(team, id);
            switch (row.shownStatus()) {
                case RUNNING -> {
                    if (confirmedByHost(row)) {
                        return row;
                    }
                }
                case PAUSED, STOPPED -> {
                    switch (store.resume(row, Change.resuming(row, Limits.RESUME.plus(Limits.SLACK)), quota)) {
                        case Resumption.OverQuota over ->
                            throw new PlatformException(ErrorCode.QUOTA_EXCEEDED, over.limit());
                        case Resumption.Begun begun -> {
                            boolean fromDisk = cold || row.status() == SandboxStatus.STOPPED;
                            return lifecycle.run(
                                    "resume",
                                    id.value(),
                                    Limits.RESUME.plus(Limits.SLACK),
                                    () -> finishResume(begun.sandbox(), cold, fromDisk));
                        }
                        case Resumption.Overtaken overtaken -> {}
                    }
                }
                case ERROR -> throw wrongState(row, "a paused or stopped one");
                case PENDING, PAUSING, RESUMING -> {}
            }
            awaitTurn(row, until);
        }
    }

    /** An idle sandbox may have been paused by its host since the row was written. */
    private boolean confirmedByHost(Sandbox row) {
        try {
            machines.ping(row);
            return true;
        } catch (PlatformException e) {
            if (!isOfState(e)) {
                throw e;
            }
            settle(row);
            return false;
        }
    }

    private Sandbox finishResume(Sandbox resuming, boolean cold, boolean fromDisk) {
        Resumed resumed;
        try {
            resumed = machines.resume(resuming, cold);
        } catch (PlatformException e) {
            return settle(resuming)
                    .filter(now -> now.status() == SandboxStatus.RUNNING) // the answer was lost, the resume was not
                    .orElseThrow(() -> e);
        }
        return store.change(resuming, Change.running(resumed.hostIp(), resumed.cold() || fromDisk))
                .or(() -> becameMeanwhile(resuming, SandboxStatus.RUNNING))
                .orElseThrow(() -> overtaken("resumed"));
    }

    // ---- what its host says

    /** The agent says that the sandbox is not what it was taken for. */
    static boolean isOfState(PlatformException failure) {
        return failure.code() == ErrorCode.INVALID_STATE || failure.code() == ErrorCode.CONFLICT;
    }

    /**
     * Work in a sandbox that its row calls running was refused: if its host has paused it or its machine has ended, the
     * row says so when this returns.
     */
    void refused(TeamId team, SandboxId id) {
        store.find(team, id)
                .filter(row -> row.status() == SandboxStatus.RUNNING)
                .ifPresent(this::settle);
    }

    /**
     * Makes the row what its host says. A transition is over by that, its operation has failed; when the host does not
     * say, the reconciler finds out.
     *
     * @param row as it was before the host was asked
     * @return the row as it is now
     */
    private Optional<Sandbox> settle(Sandbox row) {
        Sandbox before = row.status().isTransition() ? row.asOverdue() : row;
        Optional<Change> change;
        try {
            HostView view = machines.list(row.hostId());
            change = view.find(row.id().value()).flatMap(seen -> Settlement.of(before, seen));
        } catch (PlatformException e) {
            log.atDebug().addKeyValue("sandbox", row.id()).setCause(e).log("its host does not say what it is");
            change = Optional.empty();
        }
        if (change.isPresent()) {
            store.change(before, change.get()).ifPresent(now -> report(row, now));
        } else {
            abandon(row);
        }
        return find(row);
    }

    private void abandon(Sandbox row) {
        if (row.status().isTransition()) {
            store.abandoned(row);
        }
        soon.run();
    }

    static void report(Sandbox from, Sandbox to) {
        log.atInfo()
                .addKeyValue("sandbox", from.id())
                .addKeyValue("host", from.hostId())
                .addKeyValue("from", from.status().wireName())
                .addKeyValue("to", to.status().wireName())
                .log("sandbox settled");
    }

    // ---- delete

    /** Afterwards its resources are gone, or its row says that they are to go. */
    void delete(TeamId team, SandboxId id) {
        Optional<Sandbox> row = store.requestDeletion(team, id);
        if (row.isEmpty()) {
            if (store.wasDeleted(team, id)) {
                return;
            }
            throw Sandboxes.unknown();
        }
        boolean gone = lifecycle.run(
                "delete",
                id.value(),
                Limits.SETTLED.plus(Limits.DESTROY).plus(Limits.SLACK),
                () -> awaitSettled(row.get()) && destroy(row.get()));
        if (!gone) {
            soon.run();
        }
    }

    /**
     * What is being made is ended when it has been made: an agent told in the other order would keep it. What takes
     * longer than a caller likes to wait is left to the reconciler.
     */
    private boolean awaitSettled(Sandbox sandbox) {
        long until = pace.nanoTime() + Limits.SETTLED.toNanos();
        while (pace.nanoTime() < until) {
            Optional<Sandbox> now = find(sandbox);
            if (now.isEmpty()) {
                return false;
            }
            if (!now.get().status().isTransition()) {
                return true;
            }
            pace.sleep(Limits.POLL);
        }
        return false;
    }

    /** As {@link #destroy}; what fails is tried again soon. */
    void destroyOrLeave(Sandbox sandbox) {
        if (!destroy(sandbox)) {
            soon.run();
        }
    }

    /** Whether its host has confirmed that nothing is left. */
    boolean destroy(Sandbox sandbox) {
        try {
            machines.destroy(sandbox.hostId(), sandbox.id().value());
        } catch (PlatformException e) {
            log.atWarn()
                    .addKeyValue("sandbox", sandbox.id())
                    .addKeyValue("host", sandbox.hostId())
                    .addKeyValue("reason", e.reason())
                    .setCause(e.code() == ErrorCode.HOST_UNAVAILABLE ? null : e)
                    .log("a sandbox could not be destroyed yet");
            return false;
        }
        return store.deleted(sandbox.id());
    }
}
