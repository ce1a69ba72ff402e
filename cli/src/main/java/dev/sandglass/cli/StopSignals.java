package dev.sandglass.cli;

import dev.sandglass.cli.terminal.SignalTrap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

/**
 * SIGINT, SIGTERM and SIGHUP of a server: while it starts they end it where it is, which the next start puts right; once
 * {@link #await} is called they end it gracefully, and a second one at once.
 */
final class StopSignals {
    private static final Map<String, Integer> SIGNALS = Map.of("HUP", 1, "INT", 2, "TERM", 15);

    private final Context context;
    private final CountDownLatch arrived = new CountDownLatch(1);
    private boolean awaited;
    private int first;

    private StopSignals(Context context) {
        this.context = context;
    }

    static StopSignals install(Context context) {
        var signals = new StopSignals(context);
        SIGNALS.forEach((name, number) -> SignalTrap.on(name, () -> signals.arrive(number)));
        return signals;
    }

    private synchronized void arrive(int number) {
        if (!awaited || first != 0) {
            context.out().println();
            context.err().println("sandglass: interrupted");
            Runtime.getRuntime().halt(128 + number);
        }
        first = number;
        arrived.countDown();
    }

    /** Returns the signal's number. */
    int await() throws InterruptedException {
        synchronized (this) {
            awaited = true;
        }
        arrived.await();
        synchronized (this) {
            return first;
        }
    }
}
