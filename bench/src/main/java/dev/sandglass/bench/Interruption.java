package dev.sandglass.bench;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Ctrl-C and SIGTERM: the run stops at its next {@link #check} and cleans up, and the process waits for that. Nothing is
 * cut off half-way, so that what was being made is known and can be removed.
 */
final class Interruption implements AutoCloseable {
    private static final long CLEANUP_SECONDS = 120;

    private final CountDownLatch cleaned = new CountDownLatch(1);
    private final Thread hook = new Thread(this::stopAndWait, "bench-interruption");
    private volatile boolean stopping;

    static Interruption install() {
        var interruption = new Interruption();
        Runtime.getRuntime().addShutdownHook(interruption.hook);
        return interruption;
    }

    void check() {
        if (stopping) {
            throw new BenchFailure("interrupted");
        }
    }

    private void stopAndWait() {
        stopping = true;
        try {
            boolean _ = cleaned.await(CLEANUP_SECONDS, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Everything has been cleaned up. */
    @Override
    public void close() {
        cleaned.countDown();
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException e) {
            // The JVM is exiting: the hook was waiting for this.
        }
    }
}
