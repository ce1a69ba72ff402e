package dev.sandglass.bench;

import java.util.List;
import java.util.Optional;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/** Pauses and resumes over and over; in each sandbox a process checks every byte it has ever written. */
final class Soak {
    private static final int SANDBOXES = 20;
    /** As a busy server would have them: more than cores, so that operations overlap. */
    private static final int AT_ONCE = 4;

    private static final int MEMORY_MB = 512;
    private static final int MEGABYTES = 2;

    private final Bench bench;
    private final AtomicInteger begun = new AtomicInteger();
    private final AtomicInteger done = new AtomicInteger();
    private final ConcurrentLinkedQueue<String> troubles = new ConcurrentLinkedQueue<>();

    Soak(Bench bench) {
        this.bench = bench;
    }

    SoakResult measure() {
        int rounds = bench.options().rounds();
        int sandboxes = Math.min(SANDBOXES, rounds);
        bench.progress().step("making " + sandboxes + " sandboxes for the soak");
        ConcurrentLinkedQueue<Guest> guests = new ConcurrentLinkedQueue<>();
        for (int i = 0; i < sandboxes; i++) {
            bench.interruption().check();
            guests.add(Guest.create(bench.rest(), MEMORY_MB, MEGABYTES));
        }
        List<Guest> all = List.copyOf(guests);
        long log = bench.files().map(HostFiles::logLength).orElse(0L);
        bench.progress().step("pausing and resuming");
        long begin = System.nanoTime();
        try (ExecutorService tasks = Executors.newFixedThreadPool(AT_ONCE)) {
            for (int i = 0; i < AT_ONCE; i++) {
                tasks.execute(() -> work(guests, rounds));
            }
        }
        bench.interruption().check();
        SoakResult result = new SoakResult(
                sandboxes,
                done.get(),
                Bench.since(begin),
                List.copyOf(troubles),
                bench.files().map(files -> files.troublesSince(log)).orElse(List.of()));
        all.forEach(guest -> bench.rest().delete(guest.id()));
        return result;
    }

    /** Takes a guest, does one round with it and puts it back; one that had trouble is not used again. */
    private void work(ConcurrentLinkedQueue<Guest> guests, int rounds) {
        while (begun.getAndIncrement() < rounds) {
            Optional<Guest> guest = Optional.ofNullable(guests.poll());
            if (guest.isEmpty()) {
                return;
            }
            try {
                bench.interruption().check();
                bench.rest().pause(guest.get().id());
                bench.rest().resume(guest.get().id());
                guest.get().change(MEGABYTES);
                guests.add(guest.get());
                bench.progress().advance(done.incrementAndGet(), rounds, "rounds");
            } catch (BenchFailure e) {
                troubles.add(guest.get().id() + ": " + e.reason());
            }
        }
    }
}
