package dev.sandglass.contract;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.util.ArrayDeque;
import java.util.Deque;
import org.jspecify.annotations.Nullable;

/**
 * Owns resources until they are handed over. {@link #close} releases them in reverse order, each once and all of them;
 * the first failure is thrown with the later ones suppressed in it. After {@link #close} or {@link #handOver} the scope
 * is spent: whatever is given to it then is released at once, since nobody else would. Thread-safe.
 */
public final class Scope implements AutoCloseable {
    private record Owned(String what, ThrowingRunnable release) {}

    private final String what;

    @GuardedBy("this")
    private final Deque<Owned> owned = new ArrayDeque<>();

    @GuardedBy("this")
    private boolean spent;

    private Scope(String what) {
        this.what = what;
    }

    public static Scope open(String what) {
        return new Scope(what);
    }

    /** Takes {@code resource}, which is closed with this scope from now on, and returns it. */
    public <T extends AutoCloseable> T own(T resource) {
        add(new Owned(resource.getClass().getSimpleName(), resource::close));
        return resource;
    }

    public void defer(String step, ThrowingRunnable release) {
        add(new Owned(step, release));
    }

    /** All went well: what is owned now belongs to somebody else, and {@link #close} releases nothing. */
    public synchronized void handOver() {
        if (spent) {
            throw new IllegalStateException(what + ": handed over or closed before");
        }
        spent = true;
        owned.clear();
    }

    @Override
    public void close() {
        RuntimeException failure = null;
        for (Owned next = takeLast(); next != null; next = takeLast()) {
            failure = released(next, failure);
        }
        if (failure != null) {
            throw failure;
        }
    }

    private void add(Owned resource) {
        synchronized (this) {
            if (!spent) {
                owned.addLast(resource);
                return;
            }
        }
        IllegalStateException late =
                new IllegalStateException(what + ": " + resource.what + " arrived after the scope had ended");
        throw suppressing(late, released(resource, null));
    }

    private synchronized @Nullable Owned takeLast() {
        spent = true;
        return owned.pollLast();
    }

    private @Nullable RuntimeException released(Owned resource, @Nullable RuntimeException earlier) {
        try {
            resource.release.run();
            return earlier;
        } catch (Exception e) {
            if (e instanceof InterruptedException) {
                Thread.currentThread().interrupt();
            }
            RuntimeException failure = new IllegalStateException(what + ": could not release " + resource.what, e);
            return earlier == null ? failure : suppressing(earlier, failure);
        }
    }

    private static RuntimeException suppressing(RuntimeException main, @Nullable RuntimeException other) {
        if (other != null) {
            main.addSuppressed(other);
        }
        return main;
    }
}
