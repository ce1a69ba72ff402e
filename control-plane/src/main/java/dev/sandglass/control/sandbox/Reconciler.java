package dev.sandglass.control.sandbox;

import dev.sandglass.control.database.Leadership;
import dev.sandglass.control.host.Host;
import dev.sandglass.control.host.HostMonitor;
import dev.sandglass.control.host.HostStore;
import dev.sandglass.control.observe.Telemetry;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Every few seconds, in one control plane at a time, has {@link Rounds} look at all hosts, each on a thread of its own so
 * that a slow one holds up no other. What is to be removed goes on in the background while the next pass begins.
 */
final class Reconciler implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Reconciler.class);
    static final long LOCK = 0x73616e64676c6173L; // "sandglas"
    private static final Duration PERIOD = Duration.ofSeconds(5);

    /** Long enough for several reasons to be one, short enough not to be noticed. */
    private static final Duration SOON = Duration.ofMillis(200);

    private static final Duration ROUND_LIMIT = Duration.ofSeconds(30);
    private static final Duration REMOVALS_LIMIT = Duration.ofSeconds(3); // of a pass; they go on
    private static final int REMOVALS_AT_ONCE = 8;

    private final Leadership leadership;
    private final Rounds rounds;
    private final HostStore hosts;
    private final PostgresSandboxStore store;
    private final Telemetry telemetry;
    private final List<Runnable> chores = new CopyOnWriteArrayList<>();
    private final AtomicBoolean soon = new AtomicBoolean();
    private final Set<String> removing = ConcurrentHashMap.newKeySet();
    private final Semaphore removals = new Semaphore(REMOVALS_AT_ONCE);
    private final ExecutorService workers = Executors.newThreadPerTaskExecutor(
            Thread.ofVirtual().name("reconciler-", 0).factory());
    private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("reconciler").factory());

    Reconciler(Leadership leadership, Rounds rounds, HostStore hosts, PostgresSandboxStore store, Telemetry telemetry) {
        this.leadership = leadership;
        this.rounds = rounds;
        this.hosts = hosts;
        this.store = store;
        this.telemetry = telemetry;
    }

    void also(Runnable chore) {
        chores.add(chore);
    }

    void start() {
        long period = PERIOD.toMillis();
        var _ = thread.scheduleWithFixedDelay(this::pass, SOON.toMillis(), period, TimeUnit.MILLISECONDS);
    }

    /** A pass before its time. */
    void soon() {
        if (!thread.isShutdown() && soon.compareAndSet(false, true)) {
            var _ = thread.schedule(
                    () -> {
                        soon.set(false);
                        pass();
                    },
                    SOON.toMillis(),
                    TimeUnit.MILLISECONDS);
        }
    }

    /** One pass; returns when it is over. */
    void passNow() throws Exception {
        thread.submit(this::pass).get(1, TimeUnit.MINUTES);
    }

    private void pass() {
        try {
            if (!leadership.isOurs()) {
                return;
            }
            long began = System.nanoTime();
            List<Future<?>> started = new ArrayList<>();
            for (Future<List<Future<?>>> round : startRounds()) {
                started.addAll(outcome(round));
            }
            telemetry.reconciled(System.nanoTime() - began);
            chores.forEach(Runnable::run);
            store.tidy();
            awaitRemovals(started);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException e) {
            log.warn("rows and hosts were not compared this time", e);
        }
    }

    private List<Future<List<Future<?>>>> startRounds() {
        return hosts.all().stream()
                .map(host -> workers.submit(() -> round(host)))
                .toList();
    }

    private List<Future<?>> round(Host host) {
        return switch (rounds.at(host.id())) {
            case Rounds.Outcome.Unreachable unreachable -> {
                hosts.unreachable(host.id(), HostMonitor.PATIENCE);
                yield List.of();
            }
            case Rounds.Outcome.Compared compared -> {
                hosts.answered(host.id());
                telemetry.strangers(host.id(), compared.strangers());
                List<Future<?>> started = new ArrayList<>();
                compared.removals().stream()
                        .filter(removal -> removing.add(removal.sandbox()))
                        .forEach(removal -> started.add(workers.submit(() -> remove(removal))));
                yield started;
            }
        };
    }

    private void remove(Rounds.Removal removal) {
        try {
            removals.acquire();
            try {
                removal.work().run();
            } finally {
                removals.release();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException e) {
            log.atWarn().addKeyValue("sandbox", removal.sandbox()).setCause(e).log("a sandbox was not removed");
        } finally {
            removing.remove(removal.sandbox());
        }
    }

    private static List<Future<?>> outcome(Future<List<Future<?>>> round) throws InterruptedException {
        try {
            return round.get(ROUND_LIMIT.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            log.warn("a host was not looked at this time", e.getCause());
        } catch (TimeoutException e) {
            round.cancel(true);
            log.warn("a host took too long to look at", e);
        }
        return List.of();
    }

    private static void awaitRemovals(List<Future<?>> started) throws InterruptedException {
        long until = System.nanoTime() + REMOVALS_LIMIT.toNanos();
        for (Future<?> removal : started) {
            try {
                removal.get(Math.max(0, until - System.nanoTime()), TimeUnit.NANOSECONDS);
            } catch (ExecutionException e) {
                log.warn("unexpected failure in a removal", e.getCause());
            } catch (TimeoutException e) {
                return; // they go on
            }
        }
    }

    @Override
    public void close() {
        thread.shutdownNow();
        workers.shutdownNow();
        try {
            thread.awaitTermination(15, TimeUnit.SECONDS);
            workers.awaitTermination(15, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        leadership.close();
    }
}
