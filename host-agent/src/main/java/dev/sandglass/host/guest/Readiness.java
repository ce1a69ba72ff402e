package dev.sandglass.host.guest;

import dev.sandglass.host.linux.Deadline;
import java.io.IOException;
import java.time.Duration;
import java.util.Optional;

/**
 * Waits for a guest that is being booted or continued. A first attempt often comes before the guest's network is there,
 * and its packet is then lost: TCP itself would repeat it only after a second, so attempts are short and many.
 */
final class Readiness {
    private static final Duration CONNECT_TIMEOUT = Duration.ofMillis(40);
    private static final Duration CONNECT_TIMEOUT_MAX = Duration.ofMillis(500);
    private static final Duration HELLO_TIMEOUT = Duration.ofSeconds(2);
    private static final long PAUSE_MILLIS = 5;

    private Readiness() {}

    static GuestConnection await(ConnectionPool pool, Deadline deadline) {
        Duration timeout = CONNECT_TIMEOUT;
        for (; ; ) {
            try {
                return pool.open(
                        pool.token(), timeout, deadline.orAfter(timeout.plus(HELLO_TIMEOUT)), Optional.empty());
            } catch (GuestConnection.HelloRefused refused) {
                throw GuestFailures.of(refused.failure());
            } catch (IOException notYet) {
                if (deadline.expired()) {
                    throw GuestFailures.of(new java.net.SocketTimeoutException("not ready"));
                }
                pause();
                timeout = timeout.multipliedBy(2).compareTo(CONNECT_TIMEOUT_MAX) < 0
                        ? timeout.multipliedBy(2)
                        : CONNECT_TIMEOUT_MAX;
            }
        }
    }

    private static void pause() {
        try {
            Thread.sleep(PAUSE_MILLIS);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw GuestFailures.of(new java.io.InterruptedIOException("interrupted"));
        }
    }
}
