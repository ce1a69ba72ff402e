package dev.sandglass.control.sandbox;

import java.time.Duration;
import java.util.Optional;
import java.util.Set;

/**
 * What becomes of a row in one compare-and-set: its status and what belongs to the status. Which status may follow which
 * is in {@link SandboxStatus#mayBecome}.
 *
 * @param hostIp while it lives
 * @param error why, for stopped and error
 * @param cold it has been booted from its disk since its memory was lost
 * @param within time until the transition is overdue; present for transitions alone
 * @param activity it counts as used now
 */
record Change(
        SandboxStatus to,
        Optional<String> hostIp,
        Optional<String> error,
        boolean cold,
        Optional<Duration> within,
        boolean activity) {
    private static final int ERROR_LENGTH_MAX = 1000;

    Change {
        if (within.isPresent() != to.isTransition()
                || error.isPresent()
                        != Set.of(SandboxStatus.STOPPED, SandboxStatus.ERROR).contains(to)) {
            throw new IllegalArgumentException("not a change to " + to);
        }
    }

    static Change running(String hostIp, boolean cold) {
        return new Change(SandboxStatus.RUNNING, present(hostIp), Optional.empty(), cold, Optional.empty(), true);
    }

    /** It has never ceased to run. */
    static Change stillRunning(Sandbox row, String hostIp) {
        return new Change(
                SandboxStatus.RUNNING,
                present(hostIp).or(row::hostIp),
                Optional.empty(),
                row.cold(),
                Optional.empty(),
                false);
    }

    static Change pausing(Sandbox row, Duration within) {
        return new Change(
                SandboxStatus.PAUSING, row.hostIp(), Optional.empty(), row.cold(), Optional.of(within), false);
    }

    static Change paused(Sandbox row) {
        return new Change(
                SandboxStatus.PAUSED, Optional.empty(), Optional.empty(), row.cold(), Optional.empty(), false);
    }

    static Change resuming(Sandbox row, Duration within) {
        return new Change(
                SandboxStatus.RESUMING, Optional.empty(), Optional.empty(), row.cold(), Optional.of(within), false);
    }

    static Change stopped(String why) {
        return down(SandboxStatus.STOPPED, why);
    }

    static Change broken(String why) {
        return down(SandboxStatus.ERROR, why);
    }

    private static Change down(SandboxStatus to, String why) {
        String error = why.substring(0, Math.min(why.length(), ERROR_LENGTH_MAX));
        return new Change(to, Optional.empty(), Optional.of(error), false, Optional.empty(), false);
    }

    private static Optional<String> present(String text) {
        return text.isEmpty() ? Optional.empty() : Optional.of(text);
    }
}
