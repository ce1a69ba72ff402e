package dev.sandglass.control.sandbox;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Semaphore;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Tasks that run one at a time, in an order that a seed decides, in a time of their own that passes only while all of
 * them wait. Each is a thread, so that what they run is the real code; each gives the others their turn where it says
 * so. The same seed gives the same run.
 */
final class Schedule implements Pace {
    /** Ends a task at its next turn: what its process was doing is done no further. */
    static final class Crash extends Error {
        private static final long serialVersionUID = 1;

        Crash() {
            super("crashed", null, false, false);
        }
    }

    /** Something that may die; its tasks die with it. */
    static final class Mortal {
        boolean dead;
    }

    private static final class Task {
        final Mortal process;
        final Semaphore turn = new Semaphore(0);
        long wakeAt;

        @Nullable
        BooleanSupplier until;

        boolean over;

        Task(Mortal process) {
            this.process = process;
        }
    }

    private static final int TURNS_MAX = 200_000;

    final Random random;
    private final List<Task> tasks = new ArrayList<>();
    private final Semaphore handedBack = new Semaphore(0);
    private long now;
    private @Nullable Task current;
    private @Nullable Throwable failure;

    Schedule(long seed) {
        random = new Random(seed);
    }

    void spawn(Mortal process, Runnable body) {
        Task task = new Task(process);
        task.wakeAt = now;
        tasks.add(task);
        Thread.ofVirtual().start(() -> {
            task.turn.acquireUninterruptibly();
            try {
                if (!process.dead) {
                    body.run();
                }
            } catch (Crash crash) {
                // as it was to
            } catch (Throwable thrown) {
                failure = thrown;
            } finally {
                task.over = true;
                handedBack.release();
            }
        });
    }

    /** Runs tasks until none is left or {@code done} holds; then all that are left die. */
    void run(BooleanSupplier done) throws Throwable {
        int turns = 0;
        while (!tasks.isEmpty() && !done.getAsBoolean()) {
            if (++turns > TURNS_MAX) {
                throw new AssertionError("no end in sight");
            }
            give(next());
            Throwable thrown = failure;
            if (thrown != null) {
                kill();
                throw thrown;
            }
        }
        kill();
    }

    private Task next() {
        List<Task> ready = ready();
        if (ready.isEmpty()) {
            now = tasks.stream().mapToLong(task -> task.wakeAt).min().orElseThrow();
            ready = ready();
        }
        return ready.size() == 1 ? ready.getFirst() : ready.get(random.nextInt(ready.size()));
    }

    private List<Task> ready() {
        List<Task> ready = new ArrayList<>();
        for (Task task : tasks) {
            if (isReady(task)) {
                ready.add(task);
            }
        }
        return ready;
    }

    private boolean isReady(Task task) {
        BooleanSupplier until = task.until;
        return task.process.dead || task.wakeAt <= now || (until != null && until.getAsBoolean());
    }

    private void give(Task task) {
        current = task;
        task.turn.release();
        handedBack.acquireUninterruptibly();
        if (task.over) {
            tasks.remove(task);
        }
    }

    private void kill() {
        tasks.forEach(task -> task.process.dead = true);
        while (!tasks.isEmpty()) {
            give(tasks.getFirst());
        }
    }

    // ---- for tasks

    private void await(long nanos, @Nullable BooleanSupplier until) {
        Task me = current;
        if (me == null) {
            throw new IllegalStateException("not in a task");
        }
        if (me.process.dead) {
            throw new Crash();
        }
        me.wakeAt = now + nanos;
        me.until = until;
        handedBack.release();
        me.turn.acquireUninterruptibly();
        me.until = null;
        if (me.process.dead) {
            throw new Crash();
        }
    }

    /** Whether it came true within {@code limit}. */
    boolean await(Duration limit, BooleanSupplier condition) {
        await(limit.toNanos(), condition);
        return condition.getAsBoolean();
    }

    /** Between the two, but far more often near the first. */
    void sleepAbout(Duration least, Duration most) {
        double skewed = Math.pow(random.nextDouble(), 4);
        sleep(least.plusNanos((long) (skewed * most.minus(least).toNanos())));
    }

    boolean oneIn(int times) {
        return random.nextInt(times) == 0;
    }

    @Override
    public long nanoTime() {
        return now;
    }

    @Override
    public Instant now() {
        return Instant.EPOCH.plus(Duration.ofDays(365)).plusNanos(now);
    }

    @Override
    public void sleep(Duration duration) {
        await(duration.toNanos(), null);
    }
}
