package dev.sandglass.control.sandbox;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import java.time.Duration;
import java.time.Instant;

/** Time, and waiting for it to pass. */
interface Pace {
    Pace SYSTEM = new Pace() {
        @Override
        public long nanoTime() {
            return System.nanoTime();
        }

        @Override
        public Instant now() {
            return Instant.now();
        }

        @Override
        public void sleep(Duration duration) {
            try {
                Thread.sleep(duration);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "The server is stopping.", e);
            }
        }
    };

    long nanoTime();

    Instant now();

    /** Throws HOST_UNAVAILABLE when the server stops meanwhile. */
    void sleep(Duration duration);
}
