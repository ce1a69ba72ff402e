package dev.sandglass.control.database;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.sql.SQLTransientConnectionException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * Reads of single rows, of which those that are asked for while others are under way share the next query: many callers at
 * once cost the database little more than one. A query begins after everybody who shares it has asked, so nobody is
 * given what was true before. When it fails, it fails for all of them. Thread-safe; callers block.
 */
public final class SharedReads<K, V> {
    /** More than one, so that a single slow answer does not hold everybody up. */
    private static final int AT_ONCE = 2;

    private static final int KEYS_MAX = 100;

    /** Longer than a query may take, and the one before it. */
    private static final Duration PATIENCE = Duration.ofSeconds(90);

    /** One who waits, and is told once what to do: return a row, throw, or read for those who wait by then. */
    private static final class Waiting<K, V> {
        private final K key;
        private final CompletableFuture<Supplier<Optional<V>>> told = new CompletableFuture<>();

        Waiting(K key) {
            this.key = key;
        }
    }

    private final Function<Set<K>, Map<K, V>> query;

    /** Empty while fewer than AT_ONCE are under way; as long as callers are many, whose number the server bounds. */
    @GuardedBy("this")
    private final Queue<Waiting<K, V>> queue = new ArrayDeque<>();

    @GuardedBy("this")
    private int underWay;

    /** {@code query} answers with the rows there are. */
    public SharedReads(Function<Set<K>, Map<K, V>> query) {
        this.query = query;
    }

    public Optional<V> find(K key) {
        Waiting<K, V> own = new Waiting<>(key);
        return begins(own) ? readWith(own) : await(own).get();
    }

    /** How many wait for a query to begin. */
    synchronized int waiting() {
        return queue.size();
    }

    private synchronized boolean begins(Waiting<K, V> own) {
        if (underWay < AT_ONCE) {
            underWay++;
            return true;
        }
        queue.add(own);
        return false;
    }

    private Supplier<Optional<V>> await(Waiting<K, V> own) {
        try {
            return own.told.get(PATIENCE.toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            return leave(own);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return leave(own);
        } catch (ExecutionException e) {
            throw new IllegalStateException(e); // it is never completed with a failure
        }
    }

    /** Unless it has just been told: it may be the one who has to read for the others. */
    private static <K, V> Supplier<Optional<V>> leave(Waiting<K, V> own) {
        own.told.complete(() -> {
            throw new IllegalStateException(
                    "read a row", new SQLTransientConnectionException("the database did not answer in time"));
        });
        return own.told.join();
    }

    /** With all who wait at this moment; then it is the next one's turn. */
    private Optional<V> readWith(Waiting<K, V> own) {
        List<Waiting<K, V>> others = takeWaiting();
        try {
            Set<K> keys = HashSet.newHashSet(others.size() + 1);
            keys.add(own.key);
            others.forEach(other -> keys.add(other.key));
            Map<K, V> rows = query.apply(keys);
            others.forEach(other -> other.told.complete(() -> Optional.ofNullable(rows.get(other.key))));
            return Optional.ofNullable(rows.get(own.key));
        } catch (RuntimeException | Error e) {
            others.forEach(other -> other.told.complete(() -> {
                throw e;
            }));
            throw e;
        } finally {
            passOn();
        }
    }

    private synchronized List<Waiting<K, V>> takeWaiting() {
        List<Waiting<K, V>> taken = new ArrayList<>();
        while (taken.size() < KEYS_MAX - 1 && !queue.isEmpty()) {
            taken.add(queue.remove());
        }
        return taken;
    }

    private synchronized void passOn() {
        for (Waiting<K, V> next = queue.poll(); next != null; next = queue.poll()) {
            Waiting<K, V> reader = next;
            if (reader.told.complete(() -> readWith(reader))) {
                return;
            }
        }
        underWay--;
    }
}
