package dev.sandglass.control.sandbox;

import java.time.Duration;
import java.util.function.Supplier;

/** How work is run that is finished whether or not somebody waits for it. */
interface Detached {
    /** Runs {@code work} and waits for it, at most {@code patience}. */
    <T> T run(String operation, String subject, Duration patience, Supplier<T> work);
}
