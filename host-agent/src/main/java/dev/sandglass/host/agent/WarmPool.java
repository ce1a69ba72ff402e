package dev.sandglass.host.agent;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.ExecId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.guest.v1.StartExec;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.image.Shape;
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
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Clones that are restored, warmed and stopped, ready to be continued: what a create would wait for has been done. One
 * thread fills the pool, one clone at a time, while nobody else is starting a VM.
 *
 * <p>A shape is kept ready once it was asked for twice in a short time, or when it was named as a standard one. When so
 * few are left as the low mark says, it is filled up to the high one. When memory runs short all are given up. Thread-safe.
 */
final class WarmPool implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(WarmPool.class);

    private static final Duration FILL_TIMEOUT = Duration.ofSeconds(60);
    private static final Duration HOT_WITHIN = Duration.ofMinutes(10);
    private static final int SHAPES_MAX = 4;
    /** How long others may keep the pool from being filled. */
    private static final Duration PATIENCE = Duration.ofSeconds(5);

    private static final Duration LOOK_EVERY = Duration.ofMillis(500);
    private static final Duration QUIET_POLL = Duration.ofMillis(20);
    private static final Duration AFTER_FAILURE = Duration.ofSeconds(10);
    private static final int KEPT_BYTES = 4096;

    /**
     * Run in each clone, so that the emulator has translated what the first execs of its owner need, and the guest has
     * touched the pages that it would touch then.
     */
    private static final String WARM_NAME = "warm";

    private static final List<List<String>> WARM_UP = List.of(
            List.of("/bin/sh", "-c", "echo warm"),
            List.of("/usr/bin/python3", "-c", "print('warm')"),
            List.of("/bin/echo", "warm"));

    private final Clones clones;
    private final Parts parts;
    private final int high;
    private final int low;
    /** Nobody is starting a VM. */
    private final BooleanSupplier quiet;
    /** Memory is short. */
    private final BooleanSupplier pressure;

    private final AtomicInteger ready = new AtomicInteger();
    private final Thread filler = Thread.ofPlatform().name("warm-pool").daemon().unstarted(this::fill);

    @GuardedBy("this")
    private final Map<Shape, Kept> shapes = new LinkedHashMap<>(16, 0.75f, true);

    @GuardedBy("this")
    private boolean closed;

    private static final class Kept {
        final Deque<Clones.Clone> clones = new ArrayDeque<>();
        boolean hot;
        boolean filling;
        long lastUse = System.nanoTime();
        /** Counts what makes clones in the making worthless. */
        int epoch;
    }

    /** @param high clones kept of a hot shape; 0: none of any */
    WarmPool(Clones clones, Parts parts, int high, BooleanSupplier quiet, BooleanSupplier pressure) {
        this.clones = clones;
        this.parts = parts;
        this.high = high;
        this.low = high / 2;
        this.quiet = quiet;
        this.pressure = pressure;
        Metrics.gauge("sandglass.pool.ready", ready);
        if (high > 0) {
            filler.start();
        }
    }

    /** Keeps clones of this shape from now on. */
    synchronized void keep(Shape shape) {
        if (high > 0 && !closed) {
            Kept kept = shapes.computeIfAbsent(shape, _ -> new Kept());
            kept.hot = true;
            notifyAll();
        }
    }

    /** One that is ready, which is the caller's from now on. */
    synchronized Optional<Clones.Clone> take(Shape shape) {
        if (high == 0 || closed) {
            return Optional.empty();
        }
        Kept kept = shapes.get(shape);
        if (kept == null) {
            kept = new Kept();
            shapes.put(shape, kept);
            forgetOldest();
        } else if (System.nanoTime() - kept.lastUse < HOT_WITHIN.toNanos()) {
            kept.hot = true;
        }
        kept.lastUse = System.nanoTime();
        Clones.Clone clone = kept.clones.pollFirst();
        Metrics.counter("sandglass.pool.takes", "hit", Boolean.toString(clone != null))
                .increment();
        if (clone != null) {
            ready.decrementAndGet();
        }
        notifyAll();
        return Optional.ofNullable(clone);
    }

    @GuardedBy("this")
    private void forgetOldest() {
        if (shapes.size() > SHAPES_MAX) {
            Shape oldest = shapes.keySet().iterator().next();
            discardLater(drain(shapes.get(oldest)));
            shapes.remove(oldest);
        }
    }

    /** Gives up clones of a template or snapshot that is gone. */
    void drop(String templateId) {
        List<Clones.Clone> gone = new ArrayList<>();
        synchronized (this) {
            for (Shape shape : List.copyOf(shapes.keySet())) {
                if (shape.templateId().equals(templateId)) {
                    gone.addAll(drain(shapes.remove(shape)));
                }
            }
        }
        gone.forEach(this::discard);
    }

    /** Gives all clones up; they are made anew when there is room again. */
    void shrink() {
        List<Clones.Clone> gone = new ArrayList<>();
        synchronized (this) {
            for (Kept kept : shapes.values()) {
                gone.addAll(drain(kept));
            }
        }
        gone.forEach(this::discard);
    }

    /** As {@link Admission#admit}; what is only kept ready makes room for what somebody waits for. */
    Admission.Promise admit(int memoryMb) {
        try {
            return parts.admission().admit(memoryMb);
        } catch (PlatformException full) {
            if (full.code() != ErrorCode.NO_CAPACITY) {
                throw full;
            }
            shrink();
            return parts.admission().admit(memoryMb);
        }
    }

    @GuardedBy("this")
    private List<Clones.Clone> drain(@Nullable Kept kept) {
        if (kept == null) {
            return List.of();
        }
        List<Clones.Clone> all = new ArrayList<>(kept.clones);
        kept.clones.clear();
        kept.epoch++;
        ready.addAndGet(-all.size());
        return all;
    }

    private void discardLater(List<Clones.Clone> gone) {
        gone.forEach(clone -> Thread.ofVirtual().start(() -> discard(clone)));
    }

    private void discard(Clones.Clone clone) {
        try {
            clones.discard(clone);
        } catch (RuntimeException failure) {
            log.error(
                    "machine={} of the pool could not be released",
                    clone.machine().name(),
                    failure);
        }
    }

    // ---- Filling

    private record Task(Shape shape, Kept kept, int epoch) {}

    private void fill() {
        try {
            for (Task task = next(); task != null; task = next()) {
                awaitQuiet();
                try {
                    offer(task, make(task.shape()));
                } catch (RuntimeException failure) {
                    log.warn("no clone of {} for the pool", task.shape(), failure);
                    giveUpWhatIsGone(task.shape(), failure);
                    restAfterFailure();
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt(); // closed
        }
    }

    /** A shape that cannot be cloned, now or later, is not tried for ever. */
    private synchronized void giveUpWhatIsGone(Shape shape, RuntimeException failure) {
        if (failure instanceof PlatformException refused
                && (refused.code() == ErrorCode.NOT_FOUND || refused.code() == ErrorCode.INVALID_REQUEST)) {
            discardLater(drain(shapes.remove(shape)));
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
    private @Nullable Task next() throws InterruptedException {
        while (true) {
            boolean short_ = pressure.getAsBoolean();
            if (short_) {
                shrink();
            }
            synchronized (this) {
                if (closed) {
                    return null;
                }
                Task task = short_ ? null : wanted();
                if (task != null) {
                    return task;
                }
                wait(LOOK_EVERY.toMillis());
            }
        }
    }

    @GuardedBy("this")
    private @Nullable Task wanted() {
        for (Map.Entry<Shape, Kept> entry : List.copyOf(shapes.entrySet())) {
            Kept kept = entry.getValue();
            int count = kept.clones.size();
            kept.filling = kept.hot && (count <= low || (kept.filling && count < high));
            if (kept.filling) {
                return new Task(entry.getKey(), kept, kept.epoch);
            }
        }
        return null;
    }

    private void awaitQuiet() throws InterruptedException {
        Deadline patience = Deadline.after(PATIENCE);
        while (!quiet.getAsBoolean() && !patience.expired()) {
            Thread.sleep(QUIET_POLL);
        }
    }

    private Clones.Clone make(Shape shape) {
        Deadline deadline = Deadline.after(FILL_TIMEOUT);
        Clones.Clone clone;
        try (Clones.Source source = clones.open(shape)) {
            clone = source.make(true, deadline);
        }
        try {
            parts.steps().run(Step.MACHINE_WARM, clone.machine().name(), () -> warm(clone, deadline));
            return clone;
        } catch (RuntimeException failure) {
            discard(clone);
            throw failure;
        }
    }

    private void warm(Clones.Clone clone, Deadline deadline) {
        LiveMachine machine = clone.machine();
        machine.vm().continueVcpus(deadline);
        GuestClient guest = machine.guest();
        // With a name, since setting one is part of what is to be warm: 2.5 instead of 12 ms of processor time later.
        parts.renew(machine, Secrets.guestToken(), WARM_NAME, false, deadline);
        // What a snapshot holds must not run before it is somebody's, and then nothing else can.
        for (List<String> command : clone.snapshot() ? List.<List<String>>of() : WARM_UP) {
            guest.exec(
                    StartExec.newBuilder()
                            .setExecId(ExecId.random().value())
                            .addAllArgv(command)
                            .setUnlisted(true)
                            .build(),
                    new byte[0],
                    KEPT_BYTES,
                    deadline);
        }
        machine.vm().stopVcpus(deadline);
    }

    private void offer(Task task, Clones.Clone clone) {
        synchronized (this) {
            if (!closed && task.kept().epoch == task.epoch() && shapes.get(task.shape()) == task.kept()) {
                task.kept().clones.addLast(clone);
                ready.incrementAndGet();
                return;
            }
        }
        discard(clone);
    }

    /** Ends all of its clones; waits for the one in the making. */
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
