package dev.sandglass.host.agent;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.Deadline;
import io.micrometer.core.instrument.Metrics;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Machines that are made before anybody asks for them. One thread fills it, one machine at a time, while nobody else is
 * starting a VM.
 *
 * <p>A kind is kept ready once it was asked for twice in a short time, or when it was named as a standard one. When so few
 * are left as the low mark says, it is filled up to the high one. When memory runs short all are given up. Thread-safe.
 *
 * @param <K> kind of machine, with equality
 * @param <T> machine
 */
final class Stock<K, T> implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Stock.class);

    static final Duration FILL_TIMEOUT = Duration.ofSeconds(60);
    private static final Duration HOT_WITHIN = Duration.ofMinutes(10);
    private static final int KINDS_MAX = 4;
    /** How long others may keep it from being filled. */
    private static final Duration PATIENCE = Duration.ofSeconds(5);

    private static final Duration LOOK_EVERY = Duration.ofMillis(500);
    private static final Duration QUIET_POLL = Duration.ofMillis(20);
    private static final Duration AFTER_FAILURE = Duration.ofSeconds(10);

    /** Where the machines come from. */
    interface Source<K, T> {
        /** Within {@link #FILL_TIMEOUT}. NOT_FOUND or INVALID_REQUEST: there will never be one. */
        T make(K kind);

        boolean alive(T one);

        void discard(T one);
    }

    /**
     * When it is filled.
     *
     * @param quiet nobody is starting a VM
     * @param pressure memory is short
     */
    record Times(BooleanSupplier quiet, BooleanSupplier pressure) {}

    private final String name;
    private final Source<K, T> source;
    private final int high;
    private final int low;
    private final Times times;

    private final AtomicInteger ready = new AtomicInteger();
    private final Thread filler;

    @GuardedBy("this")
    private final Map<K, Kept<T>> kinds = new LinkedHashMap<>(16, 0.75f, true);

    @GuardedBy("this")
    private boolean closed;

    private static final class Kept<T> {
        final Deque<T> ready = new ArrayDeque<>();
        boolean hot;
        boolean filling;
        long lastUse = System.nanoTime();
        /** Counts what makes those in the making worthless. */
        int epoch;
    }

    /**
     * @param name in metrics: {@code sandglass.NAME.ready} and {@code .takes}
     * @param high kept of a hot kind; 0: none of any
     */
    Stock(String name, Source<K, T> source, int high, Times times) {
        this.name = name;
        this.source = source;
        this.high = high;
        this.low = high / 2;
        this.times = times;
        this.filler = Thread.ofPlatform().name(name).daemon().unstarted(this::fill);
        Metrics.gauge("sandglass." + name + ".ready", ready);
        if (high > 0) {
            filler.start();
        }
    }

    /** Keeps some of this kind from now on. */
    synchronized void keep(K kind) {
        if (high > 0 && !closed) {
            Kept<T> kept = kinds.computeIfAbsent(kind, _ -> new Kept<>());
            kept.hot = true;
            notifyAll();
        }
    }

    /** One that is ready, which is the caller's from now on. */
    synchronized Optional<T> take(K kind) {
        if (high == 0 || closed) {
            return Optional.empty();
        }
        Kept<T> kept = kinds.get(kind);
        if (kept == null) {
            kept = new Kept<>();
            kinds.put(kind, kept);
            forgetOldest();
        } else if (System.nanoTime() - kept.lastUse < HOT_WITHIN.toNanos()) {
            kept.hot = true;
        }
        kept.lastUse = System.nanoTime();
        T one = pollLiving(kept);
        Metrics.counter("sandglass." + name + ".takes", "hit", Boolean.toString(one != null))
                .increment();
        notifyAll();
        return Optional.ofNullable(one);
    }

    @GuardedBy("this")
    private void forgetOldest() {
        if (kinds.size() > KINDS_MAX) {
            K oldest = kinds.keySet().iterator().next();
            discardLater(drain(kinds.get(oldest)));
            kinds.remove(oldest);
        }
    }

    /** Gives up those of kinds that are gone. */
    void drop(Predicate<K> gone) {
        List<T> dropped = new ArrayList<>();
        synchronized (this) {
            for (K kind : List.copyOf(kinds.keySet())) {
                if (gone.test(kind)) {
                    dropped.addAll(drain(kinds.remove(kind)));
                }
            }
        }
        dropped.forEach(this::discard);
    }

    /** Gives all up; they are made anew when there is room again. */
    void shrink() {
        List<T> gone = new ArrayList<>();
        synchronized (this) {
            for (Kept<T> kept : kinds.values()) {
                gone.addAll(drain(kept));
            }
        }
        gone.forEach(this::discard);
    }

    @GuardedBy("this")
    private List<T> drain(@Nullable Kept<T> kept) {
        if (kept == null) {
            return List.of();
        }
        List<T> all = new ArrayList<>(kept.ready);
        kept.ready.clear();
        kept.epoch++;
        ready.addAndGet(-all.size());
        return all;
    }

    private void discardLater(List<T> gone) {
        gone.forEach(one -> Thread.ofVirtual().start(() -> discard(one)));
    }

    private void discard(T one) {
        try {
            source.discard(one);
        } catch (RuntimeException failure) {
            log.error("one of the {} could not be released", name, failure);
        }
    }

    /** What ended while nobody waited for it is nobody's. */
    @GuardedBy("this")
    private @Nullable T pollLiving(Kept<T> kept) {
        while (true) {
            T one = kept.ready.pollFirst();
            if (one == null) {
                return null;
            }
            ready.decrementAndGet();
            if (source.alive(one)) {
                return one;
            }
            discardLater(List.of(one));
        }
    }

    // ---- Filling

    private record Task<K, T>(K kind, Kept<T> kept, int epoch) {}

    private void fill() {
        try {
            for (Task<K, T> task = next(); task != null; task = next()) {
                awaitQuiet();
                try {
                    offer(task, source.make(task.kind()));
                } catch (RuntimeException failure) {
                    log.warn("none of {} for the {}", task.kind(), name, failure);
                    giveUpWhatIsGone(task.kind(), failure);
                    restAfterFailure();
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt(); // closed
        }
    }

    /** A kind that cannot be made, now or later, is not tried for ever. */
    private synchronized void giveUpWhatIsGone(K kind, RuntimeException failure) {
        if (failure instanceof PlatformException refused
                && (refused.code() == ErrorCode.NOT_FOUND || refused.code() == ErrorCode.INVALID_REQUEST)) {
            discardLater(drain(kinds.remove(kind)));
        }
    }

    /** Not longer than until it is closed. */
    private synchronized void restAfterFailure() throws InterruptedException {
        Deadline rest = Deadline.after(AFTER_FAILURE);
        while (!closed && !rest.expired()) {
            wait(Math.max(1, rest.remaining().toMillis()));
        }
    }

    /** Null: closed. */
    private @Nullable Task<K, T> next() throws InterruptedException {
        while (true) {
            boolean short_ = times.pressure().getAsBoolean();
            if (short_) {
                shrink();
            }
            synchronized (this) {
                if (closed) {
                    return null;
                }
                Task<K, T> task = short_ ? null : wanted();
                if (task != null) {
                    return task;
                }
                wait(LOOK_EVERY.toMillis());
            }
        }
    }

    @GuardedBy("this")
    private @Nullable Task<K, T> wanted() {
        for (Map.Entry<K, Kept<T>> entry : List.copyOf(kinds.entrySet())) {
            Kept<T> kept = entry.getValue();
            int count = kept.ready.size();
            kept.filling = kept.hot && (count <= low || (kept.filling && count < high));
            if (kept.filling) {
                return new Task<>(entry.getKey(), kept, kept.epoch);
            }
        }
        return null;
    }

    private void awaitQuiet() throws InterruptedException {
        Deadline patience = Deadline.after(PATIENCE);
        while (!times.quiet().getAsBoolean() && !patience.expired()) {
            Thread.sleep(QUIET_POLL);
        }
    }

    private void offer(Task<K, T> task, T one) {
        synchronized (this) {
            if (!closed && task.kept().epoch == task.epoch() && kinds.get(task.kind()) == task.kept()) {
                task.kept().ready.addLast(one);
                ready.incrementAndGet();
                return;
            }
        }
        discard(one);
    }

    /** Ends everything in it; waits for the one in the making. */
    @Override
    public void close() {
        synchronized (this) {
            closed = true;
            notifyAll();
        }
        try {
            if (high > 0) {
                filler.join(FILL_TIMEOUT);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        shrink();
    }
}
