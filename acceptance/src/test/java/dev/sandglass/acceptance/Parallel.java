package dev.sandglass.acceptance;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;

/** The same for many at once; the first failure is the caller's, after all have ended. */
final class Parallel {
    private static final long PATIENCE_SECONDS = 180;

    private Parallel() {}

    static <T, R> List<R> each(Collection<T> inputs, Function<T, R> work) {
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<R>> running = inputs.stream()
                    .map(input -> threads.submit(() -> work.apply(input)))
                    .toList();
            List<R> results = new ArrayList<>();
            AssertionError failure = null;
            for (Future<R> one : running) {
                try {
                    results.add(one.get(PATIENCE_SECONDS, TimeUnit.SECONDS));
                } catch (ExecutionException | TimeoutException e) {
                    AssertionError failed = new AssertionError("one of " + inputs.size() + " failed", e);
                    if (failure == null) {
                        failure = failed;
                    } else {
                        failure.addSuppressed(failed);
                    }
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    threads.shutdownNow();
                    throw new AssertionError("interrupted", e);
                }
            }
            if (failure != null) {
                throw failure;
            }
            return results;
        }
    }
}
