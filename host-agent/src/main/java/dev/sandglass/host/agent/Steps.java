package dev.sandglass.host.agent;

import io.micrometer.core.instrument.Metrics;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs steps: times them for log and metrics ({@code sandglass_step_seconds{step}}), and ends the process at a
 * failpoint. A failpoint is {@code before:STEP} or {@code after:STEP}; it exists so that a test can kill the agent
 * between any two kernel calls, and is never set otherwise.
 */
final class Steps {
    private static final Logger log = LoggerFactory.getLogger(Steps.class);
    /** What a shell reports of a process ended by SIGKILL: the failpoint imitates one, no shutdown hook runs. */
    private static final int KILLED = 137;

    private final Optional<String> failpoint;

    Steps(Optional<String> failpoint) {
        this.failpoint = failpoint;
    }

    void run(Step step, String subject, Runnable work) {
        call(step, subject, () -> {
            work.run();
            return Boolean.TRUE;
        });
    }

    <T> T call(Step step, String subject, Supplier<T> work) {
        failHere("before:" + step);
        long start = System.nanoTime();
        T result = work.get();
        Duration elapsed = Duration.ofNanos(System.nanoTime() - start);
        Metrics.timer("sandglass.step", "step", step.name().toLowerCase(Locale.ROOT))
                .record(elapsed);
        log.debug("step={} subject={} elapsed_us={}", step, subject, elapsed.toNanos() / 1000);
        failHere("after:" + step);
        return result;
    }

    private void failHere(String point) {
        if (failpoint.filter(point::equals).isPresent()) {
            Runtime.getRuntime().halt(KILLED);
        }
    }
}
