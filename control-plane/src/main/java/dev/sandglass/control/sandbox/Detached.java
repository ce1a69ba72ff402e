package dev.sandglass.control.sandbox;

import java.time.Duration;
import java.util.function.Supplier;

/** How work is run that is finished whether or not somebody waits for it. */
interface Detached {
    /** Bound in the thread that does such work. */
    ScopedValue<String> OPERATION = ScopedValue.newInstance();

    /** Whether this thread does such work. */
    static boolean isHere() {
        return OPERATION.isBound();
    }

    /** Runs {@code work} and waits for it, at most {@code patience}. */
    <T> T run(String operation, String subject, Duration patience, Supplier<T> work);
}
