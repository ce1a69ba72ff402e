package dev.sandglass.control.sandbox;

import dev.sandglass.control.sandbox.Machines.Seen;
import java.util.Optional;

/**
 * What becomes of one row by what its host says of it. Pure.
 *
 * <p>The row must have been read before the host was asked. Then whatever an operation of a control plane did to the
 * host after the row was read has changed the row's version, and the compare-and-set that follows fails; what an
 * operation did before, the host's answer shows. So a change that succeeds is true: what differs from the row the host
 * did by itself (it paused an idle sandbox, a machine ended) or by a request that took effect late.
 */
final class Settlement {
    private static final String GONE = "Its host does not have it any more.";
    private static final String INTERRUPTED = "It was interrupted before it came up.";

    private Settlement() {}

    /** What the row is to become; empty: it is right, or somebody is still at work. */
    static Optional<Change> of(Sandbox row, Seen seen) {
        if (seen.status().isEmpty() || (row.status().isTransition() && !row.overdue() && !isOver(row, seen))) {
            return Optional.empty();
        }
        return switch (seen.status().get()) {
            case PENDING, PAUSING, RESUMING -> Optional.empty();
            case RUNNING -> running(row, seen);
            case PAUSED -> row.status() == SandboxStatus.PAUSED ? Optional.empty() : Optional.of(Change.paused(row));
            case STOPPED -> down(row, Change.stopped(reason(seen)));
            case ERROR -> down(row, Change.broken(reason(seen)));
        };
    }

    /** A pause has no outcome but its end that its operation would have to write down. */
    private static boolean isOver(Sandbox row, Seen seen) {
        return row.status() == SandboxStatus.PAUSING && seen.status().get() == SandboxStatus.PAUSED;
    }

    private static Optional<Change> running(Sandbox row, Seen seen) {
        return switch (row.status()) {
            case RUNNING ->
                seen.hostIp().isEmpty() || row.hostIp().equals(Optional.of(seen.hostIp()))
                        ? Optional.empty()
                        : Optional.of(Change.stillRunning(row, seen.hostIp()));
            case PAUSING -> Optional.of(Change.stillRunning(row, seen.hostIp()));
            case PENDING, PAUSED, RESUMING, STOPPED, ERROR -> Optional.of(Change.running(seen.hostIp(), row.cold()));
        };
    }

    private static Optional<Change> down(Sandbox row, Change change) {
        return row.status() == change.to() && row.error().equals(change.error())
                ? Optional.empty()
                : Optional.of(change);
    }

    private static String reason(Seen seen) {
        return seen.error().isEmpty() ? "Its machine ended." : seen.error();
    }

    /**
     * Of a row that its host does not have.
     *
     * @param missedBefore its host did not have it either when it was asked before, and the row was the same
     */
    static Optional<Change> ofAbsent(Sandbox row, boolean missedBefore) {
        return switch (row.status()) {
            case PENDING -> row.overdue() ? Optional.of(Change.broken(INTERRUPTED)) : Optional.empty();
            case PAUSING, RESUMING ->
                row.overdue() && missedBefore ? Optional.of(Change.stopped(GONE)) : Optional.empty();
            case RUNNING, PAUSED -> missedBefore ? Optional.of(Change.stopped(GONE)) : Optional.empty();
            case STOPPED, ERROR -> Optional.empty();
        };
    }
}
