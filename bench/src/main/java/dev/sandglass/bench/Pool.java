package dev.sandglass.bench;

import dev.sandglass.host.linux.Deadline;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Waits for the server's pool of warm machines, by its gauge in /metrics. The pool is filled up when half of it is gone:
 * while it is being filled a create is not what it promises to be.
 */
final class Pool {
    private static final Pattern READY = Pattern.compile("(?m)^sandglass_pool_ready(?:\\{.*?})?\\s+(\\S+)");
    private static final Duration POLL = Duration.ofMillis(100);
    private static final Duration STEADY = Duration.ofSeconds(3);
    private static final Duration PATIENCE = Duration.ofSeconds(30);

    private final Bench bench;
    private int full;
    private boolean filling;

    Pool(Bench bench) {
        this.bench = bench;
    }

    /** Waits until it does not grow any more. False, and noted, when there is none. */
    boolean learn() {
        Deadline patience = Deadline.after(PATIENCE);
        int ready = 0;
        for (long changed = System.nanoTime();
                System.nanoTime() - changed < STEADY.toNanos() && !patience.expired(); ) {
            int now = ready(bench.rest().metrics());
            if (now != ready) {
                ready = now;
                changed = System.nanoTime();
            }
            bench.pause(POLL);
        }
        full = ready;
        if (full == 0) {
            bench.notes().add("the server has no pool of warm machines, or does not tell: each create makes its own");
        }
        return full > 0;
    }

    /** Returns when there is a warm machine and none is being made. */
    void awaitWarm() {
        Deadline patience = Deadline.after(PATIENCE);
        while (full > 0 && !patience.expired()) {
            int ready = ready(bench.rest().metrics());
            filling = ready <= full / 2 || (filling && ready < full);
            if (!filling) {
                return;
            }
            bench.pause(POLL);
        }
    }

    /** 0 when the server does not say. */
    static int ready(String metrics) {
        Matcher matcher = READY.matcher(metrics);
        return matcher.find() ? (int) Double.parseDouble(matcher.group(1)) : 0;
    }
}
