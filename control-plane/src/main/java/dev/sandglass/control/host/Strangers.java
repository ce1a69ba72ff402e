package dev.sandglass.control.host;

import java.time.Duration;

/** When something that a host has and the database does not know may be taken for a leftover, and removed. */
public final class Strangers {
    /** Younger ones may be on their way into the database, however that may be. */
    public static final Duration AGE = Duration.ofMinutes(1);

    private static final int MAX = 3;
    private static final int PERCENT_MAX = 10;

    private Strangers() {}

    /**
     * Whether they are so few that it is safe: a wrong database, one restored from a backup, or a wrong home make strangers
     * of many, and of all of a small host's.
     *
     * @param present how many the host has altogether
     */
    public static boolean areFew(int strangers, int present) {
        return strangers < present && strangers <= Math.max(MAX, present * PERCENT_MAX / 100);
    }
}
