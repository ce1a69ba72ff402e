package dev.sandglass.control.sandbox;

import java.time.Duration;

/** How long an operation may take on its host, and how long somebody waits for one. */
final class Limits {
    /** The first sandbox of a shape waits for its template to be booted and frozen. */
    static final Duration CREATE = Duration.ofMinutes(3);

    /** Changed memory is written and made durable; the largest guests have many GiB of it. */
    static final Duration PAUSE = Duration.ofMinutes(3);

    /** A cold one boots, which takes half a minute without KVM. */
    static final Duration RESUME = Duration.ofMinutes(3);

    static final Duration DESTROY = Duration.ofSeconds(30);

    /** For the database, beside the agent's time. */
    static final Duration SLACK = Duration.ofSeconds(10);

    /** While another operation on the same sandbox ends. */
    static final Duration TURN = PAUSE.plus(SLACK);

    /** While another operation ends, before a deletion is left to the reconciler. */
    static final Duration SETTLED = Duration.ofSeconds(15);

    /** For the end of another operation; the longer it has taken, the less often. */
    static final Duration POLL = Duration.ofMillis(50);

    static final Duration POLL_MAX = Duration.ofSeconds(1);

    private Limits() {}
}
