package dev.sandglass.host.agent;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.function.Supplier;

/**
 * Work that goes on beside its caller's, on a thread of its own. Closing waits for it, so that nothing it uses is gone
 * before it has ended; whether it failed is for {@link #join} to say.
 */
final class Beside<T> implements AutoCloseable {
    private final CompletableFuture<T> result = new CompletableFuture<>();

    private Beside() {}

    static <T> Beside<T> start(Supplier<T> work) {
        Beside<T> beside = new Beside<>();
        Thread.ofVirtual().name("beside").start(() -> {
            try {
                beside.result.complete(work.get());
            } catch (Throwable failure) {
                beside.result.completeExceptionally(failure);
            }
        });
        return beside;
    }

    static Beside<Boolean> run(Runnable work) {
        return start(() -> {
            work.run();
            return true;
        });
    }

    /** Its result; throws what it threw. */
    T join() {
        try {
            return result.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof RuntimeException failure) {
                throw failure;
            }
            throw e;
        }
    }

    @Override
    public void close() {
        result.handle((_, _) -> true).join();
    }
}
