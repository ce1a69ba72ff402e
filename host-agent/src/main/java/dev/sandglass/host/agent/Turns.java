package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.Deadline;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * Who may start a VM now. Starting is work for the processor: more at a time than this only makes all of them late.
 * Whoever fills the pool goes last. Fair, thread-safe.
 */
final class Turns {
    private final int limit = Math.max(2, Runtime.getRuntime().availableProcessors());
    private final Semaphore free = new Semaphore(limit, true);

    /** The right to start one VM; closing gives it back. */
    interface Turn extends AutoCloseable {
        @Override
        void close();
    }

    Turn await(Deadline deadline) {
        try {
            if (!free.tryAcquire(deadline.remaining().toNanos(), TimeUnit.NANOSECONDS)) {
                throw new PlatformException(
                        ErrorCode.NO_CAPACITY, "This host is starting too many sandboxes at once; try again.");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "The host agent is stopping.", e);
        }
        return free::release;
    }

    /** Nobody is starting a VM or waits for it. */
    boolean idle() {
        return free.availablePermits() == limit && !free.hasQueuedThreads();
    }
}
