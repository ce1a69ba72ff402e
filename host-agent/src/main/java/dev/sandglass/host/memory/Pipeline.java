package dev.sandglass.host.memory;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.host.linux.LinuxException;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Works on numbered pieces on threads of its own, each piece in one of a few slots, and hands the slots in order to the
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
    private final Stage<S> work;
    private final List<S> slots = new ArrayList<>();

    @GuardedBy("this")
    private final boolean[] done;

    @GuardedBy("this")
    private int begun;

    @GuardedBy("this")
    private int taken;

    @GuardedBy("this")
    private @Nullable Throwable failure;

    private Pipeline(int pieces, Supplier<S> slot, Stage<S> work) {
        this.pieces = pieces;
        this.work = work;
        this.done = new boolean[pieces];
        for (int i = 0; i < Math.min(SLOTS, pieces); i++) {
            slots.add(slot.get());
        }
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
        for (int piece = 0; piece < pieces; piece++) {
            work.run(piece, slots.getFirst());
            sink.run(piece, slots.getFirst());
        }
    }

    private void work() {
        try {
            for (int piece = nextToWorkOn(); piece < pieces; piece = nextToWorkOn()) {
                work.run(piece, slots.get(piece % slots.size()));
                synchronized (this) {
                    done[piece] = true;
                    notifyAll();
                }
            }
        } catch (InterruptedException | IOException | Damage | RuntimeException | Error e) {
            fail(e);
        }
    }

    private synchronized int nextToWorkOn() throws InterruptedException {
        while (begun < pieces && begun >= taken + slots.size()) {
            wait();
        }
        return begun < pieces ? begun++ : pieces;
    }

    private void takeAll(Stage<S> sink) throws IOException, Damage, InterruptedException {
        for (int piece = 0; piece < pieces; piece++) {
            await(piece);
            sink.run(piece, slots.get(piece % slots.size()));
            synchronized (this) {
                taken++;
                notifyAll();
            }
        }
    }

    private synchronized void await(int piece) throws IOException, Damage, InterruptedException {
        while (!done[piece]) {
            switch (failure) {
                case null -> wait();
                case IOException e -> throw e;
                case Damage e -> throw e;
                case LinuxException e -> throw e;
                default -> throw new IllegalStateException("work on guest memory", failure);
            }
        }
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
