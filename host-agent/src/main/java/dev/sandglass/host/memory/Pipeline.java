package dev.sandglass.host.memory;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.host.linux.LinuxException;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Works on numbered pieces on threads of its own, each piece in a slot of a few, and hands the slots in order to the
 * thread that called. The work of pieces ahead goes on while the caller deals with one. The first failure of either ends
 * both. No thread outlives {@link #run}.
 */
final class Pipeline<S> {
    /** More do not help: a guest's memory is copied as fast as two processors can. */
    private static final int THREADS_MAX = 2;

    /** So many pieces may be ahead: what a slow write to the disk takes, in memory that is small. */
    private static final int SLOTS = 16;

    @FunctionalInterface
    interface Stage<S> {
        void run(int piece, S slot) throws IOException, Damage;
    }

    private final int pieces;
    private final Supplier<S> newSlot;
    private final Stage<S> work;

    /** Made when they are first needed: who takes pieces as fast as they come needs few. */
    @GuardedBy("this")
    private final Deque<S> free = new ArrayDeque<>();

    /** Of pieces that are done and not yet taken. */
    @GuardedBy("this")
    private final Map<Integer, S> done = new HashMap<>();

    @GuardedBy("this")
    private int begun;

    @GuardedBy("this")
    private int taken;

    @GuardedBy("this")
    private @Nullable Throwable failure;

    private Pipeline(int pieces, Supplier<S> newSlot, Stage<S> work) {
        this.pieces = pieces;
        this.newSlot = newSlot;
        this.work = work;
    }

    /**
     * @param work on several threads at once
     * @param sink in order, on this thread
     */
    static <S> void run(int pieces, Supplier<S> slot, Stage<S> work, Stage<S> sink) throws IOException, Damage {
        Pipeline<S> pipeline = new Pipeline<>(pieces, slot, work);
        if (pieces <= 1) {
            pipeline.runHere(sink);
            return;
        }
        List<Thread> threads = new ArrayList<>();
        try {
            for (int i = 0; i < Math.min(THREADS_MAX, pieces); i++) {
                threads.add(
                        Thread.ofPlatform().daemon().name("guest-memory-" + i).start(pipeline::work));
            }
            pipeline.takeAll(sink);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw (IOException) new InterruptedIOException("interrupted").initCause(e);
        } finally {
            pipeline.end();
            threads.forEach(Pipeline::join);
        }
    }

    private void runHere(Stage<S> sink) throws IOException, Damage {
        S slot = newSlot.get();
        for (int piece = 0; piece < pieces; piece++) {
            work.run(piece, slot);
            sink.run(piece, slot);
        }
    }

    private void work() {
        try {
            for (int piece = nextToWorkOn(); piece < pieces; piece = nextToWorkOn()) {
                S slot = freeSlot();
                work.run(piece, slot);
                synchronized (this) {
                    done.put(piece, slot);
                    notifyAll();
                }
            }
        } catch (InterruptedException | IOException | Damage | RuntimeException | Error e) {
            fail(e);
        }
    }

    private synchronized int nextToWorkOn() throws InterruptedException {
        while (begun < pieces && begun >= taken + SLOTS) {
            wait();
        }
        return begun < pieces ? begun++ : pieces;
    }

    private S freeSlot() {
        synchronized (this) {
            if (!free.isEmpty()) {
                return free.pop();
            }
        }
        return newSlot.get();
    }

    private void takeAll(Stage<S> sink) throws IOException, Damage, InterruptedException {
        for (int piece = 0; piece < pieces; piece++) {
            S slot = await(piece);
            sink.run(piece, slot);
            synchronized (this) {
                free.push(slot);
                taken++;
                notifyAll();
            }
        }
    }

    private synchronized S await(int piece) throws IOException, Damage, InterruptedException {
        S slot = done.remove(piece);
        while (slot == null) {
            switch (failure) {
                case null -> wait();
                case IOException e -> throw e;
                case Damage e -> throw e;
                case LinuxException e -> throw e;
                default -> throw new IllegalStateException("work on guest memory", failure);
            }
            slot = done.remove(piece);
        }
        return slot;
    }

    private synchronized void fail(Throwable e) {
        if (failure == null) {
            failure = e;
        }
        end();
    }

    /** Nothing is begun any more. */
    private synchronized void end() {
        begun = pieces;
        notifyAll();
    }

    /** They finish the piece they are at, which no disk and no guest can hold up for long. */
    private static void join(Thread thread) {
        boolean interrupted = false;
        while (true) {
            try {
                thread.join();
                break;
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
