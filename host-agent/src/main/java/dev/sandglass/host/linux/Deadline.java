package dev.sandglass.host.linux;

import java.time.Duration;

/**
 * A point on the {@link System#nanoTime()} line by which something must be done. Passed down unchanged through every
 * layer, so that retries and sub-steps share one budget.
 */
public record Deadline(long nanos) {
    public static Deadline after(Duration duration) {
        return new Deadline(System.nanoTime() + duration.toNanos());
    }

    /** What is left; zero when expired, never negative. */
    public Duration remaining() {
        return Duration.ofNanos(Math.max(0, nanos - System.nanoTime()));
    }

    public boolean expired() {
        return nanos - System.nanoTime() <= 0;
    }

    /** Throws {@link DeadlineExceeded} naming {@code what} if the time is up. */
    public void check(String what) {
        if (expired()) {
            throw new DeadlineExceeded(what);
        }
    }

    /** This one or {@code duration} from now, whichever comes first. */
    public Deadline orAfter(Duration duration) {
        return remaining().compareTo(duration) <= 0 ? this : after(duration);
    }
}
