package dev.sandglass.control.sandbox;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.observe.RequestContext;
import dev.sandglass.control.observe.Telemetry;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Work on sandboxes and snapshots that is finished whether or not somebody waits for it: it runs on a thread of its own, and a caller
 * who leaves takes nothing with them. Closing it waits for what is under way.
 */
public final class Lifecycle implements Detached, AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Lifecycle.class);

    /** More at once than any host carries out; beyond it callers are told to come back. */
    private static final int UNDER_WAY_MAX = 512;

    private static final Duration CLOSE_LIMIT = Duration.ofSeconds(60);

    private final Semaphore room = new Semaphore(UNDER_WAY_MAX);
    private final Telemetry telemetry;

    Lifecycle(Telemetry telemetry) {
        this.telemetry = telemetry;
    }

    @Override
    public <T> T run(String operation, String sandbox, Duration patience, Supplier<T> work) {
        if (!room.tryAcquire()) {
            throw new PlatformException(
                    ErrorCode.NO_CAPACITY, "Too many sandboxes are being made or ended: try again shortly.");
        }
        CompletableFuture<T> outcome = new CompletableFuture<>();
        Runnable detached = RequestContext.here().around(() -> {
            long began = System.nanoTime();
            boolean succeeded = false;
            try {
                outcome.complete(work.get());
                succeeded = true;
            } catch (Throwable failure) {
                outcome.completeExceptionally(failure);
            } finally {
                room.release();
                report(operation, sandbox, succeeded, System.nanoTime() - began);
            }
        });
        Thread.ofVirtual()
                .name(operation + "-" + sandbox)
                .start(() -> ScopedValue.where(OPERATION, operation).run(detached));
        return await(outcome, operation, patience);
    }

    private void report(String operation, String sandbox, boolean succeeded, long nanos) {
        telemetry.operation(operation, succeeded, nanos);
        log.atInfo()
                .addKeyValue("operation", operation)
                .addKeyValue("sandbox", sandbox)
                .addKeyValue("succeeded", succeeded)
                .addKeyValue("elapsed_ms", nanos / 1_000_000)
                .log("operation ended");
    }

    private static <T> T await(CompletableFuture<T> outcome, String operation, Duration patience) {
        try {
            return outcome.get(patience.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException failure) {
                throw failure;
            }
            throw new IllegalStateException(operation, e.getCause());
        } catch (TimeoutException e) {
            throw new PlatformException(
                    ErrorCode.AGENT_ERROR, "The " + operation + " is still under way; look at the sandbox later.", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PlatformException(
                    ErrorCode.HOST_UNAVAILABLE,
                    "The server is stopping; the " + operation + " is finished by itself.",
                    e);
        }
    }

    @Override
    public void close() {
        try {
            if (!room.tryAcquire(UNDER_WAY_MAX, CLOSE_LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
                log.warn("stopping while work on sandboxes is still under way");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
