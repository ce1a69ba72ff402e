package dev.sandglass.host.agent;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.host.lifecycle.SandboxState;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Pauses sandboxes that nobody has used for longer than they allow: looks every two seconds, pauses several at once. One
 * that cannot be paused goes on and is tried again, less and less often. Closing it waits for the pauses in progress.
 */
final class IdleReaper implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(IdleReaper.class);
    private static final Duration PERIOD = Duration.ofSeconds(2);
    private static final int PARALLEL = 4;
    private static final Duration RETRY_FIRST = Duration.ofSeconds(2);
    private static final Duration RETRY_MAX = Duration.ofMinutes(5);
    private static final Duration CLOSE_LIMIT = Duration.ofSeconds(90);

    private final Supplier<Collection<Sandbox>> sandboxes;
    private final Consumer<Sandbox> pauseIfIdle;
    private final Semaphore room = new Semaphore(PARALLEL);
    private final ConcurrentMap<SandboxId, Attempt> attempts = new ConcurrentHashMap<>();
    private final ExecutorService pauses = Executors.newVirtualThreadPerTaskExecutor();
    private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("idle-reaper").factory());

    /** A pause under way, or one that failed and is not tried again before {@code notBefore}. */
    private record Attempt(boolean underWay, int failures, Instant notBefore) {
        static final Attempt FIRST = new Attempt(false, 0, Instant.MIN);
    }

    /** @param pauseIfIdle pauses it unless it has been used meanwhile; throws when that fails */
    IdleReaper(Supplier<Collection<Sandbox>> sandboxes, Consumer<Sandbox> pauseIfIdle) {
        this.sandboxes = sandboxes;
        this.pauseIfIdle = pauseIfIdle;
    }

    void start() {
        var _ = clock.scheduleWithFixedDelay(this::tick, PERIOD.toMillis(), PERIOD.toMillis(), TimeUnit.MILLISECONDS);
    }

    /** Whether it runs, may be paused, and nobody has used it for long enough. */
    static boolean isIdle(Sandbox sandbox, Instant now) {
        int allowed = sandbox.entry().timeoutSec();
        return allowed > 0
                && sandbox.state() instanceof SandboxState.Running
                && sandbox.transition() == null
                && !sandbox.inUse()
                && sandbox.lastActiveAt().plusSeconds(allowed).isBefore(now);
    }

    /** Starts what is due and returns; does not wait. */
    void tick() {
        try {
            Instant now = Instant.now();
            for (Sandbox sandbox : sandboxes.get()) {
                if (isIdle(sandbox, now)) {
                    begin(sandbox, now);
                } else if (!attempts.isEmpty()) {
                    attempts.computeIfPresent(sandbox.id(), (_, attempt) -> attempt.underWay() ? attempt : null);
                }
            }
        } catch (RuntimeException failure) {
            log.error("idle sandboxes were not looked for this time", failure);
        }
    }

    private void begin(Sandbox sandbox, Instant now) {
        Attempt earlier = attempts.getOrDefault(sandbox.id(), Attempt.FIRST);
        if (earlier.underWay() || now.isBefore(earlier.notBefore()) || !room.tryAcquire()) {
            return; // the next tick looks again
        }
        attempts.put(sandbox.id(), new Attempt(true, earlier.failures(), now));
        pauses.execute(() -> {
            try {
                pauseIfIdle.accept(sandbox);
                attempts.remove(sandbox.id());
            } catch (RuntimeException failure) {
                int failures = earlier.failures() + 1;
                Duration wait = RETRY_FIRST.multipliedBy(1L << Math.min(failures, 10));
                wait = wait.compareTo(RETRY_MAX) > 0 ? RETRY_MAX : wait;
                attempts.put(
                        sandbox.id(), new Attempt(false, failures, Instant.now().plus(wait)));
                log.warn("sandbox={} is idle and could not be paused; again in {}", sandbox.id(), wait, failure);
            } finally {
                room.release();
            }
        });
    }

    @Override
    public void close() {
        clock.shutdownNow();
        pauses.shutdown();
        try {
            if (!pauses.awaitTermination(CLOSE_LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
                log.warn("sandboxes are still being paused while the agent stops");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
