package dev.sandglass.bench;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

/** Many sandboxes at once: how long it takes to make them in one go, and what memory they take when they idle. */
final class Crowd {
    static final int AT_ONCE = 10;
    private static final Duration SETTLE = Duration.ofSeconds(2);
    private static final String TRUE = "/bin/true";

    private final Bench bench;
    private final ConcurrentLinkedQueue<String> ids = new ConcurrentLinkedQueue<>();
    private Optional<Burst> burst = Optional.empty();
    private Optional<MemoryUse> memory = Optional.empty();

    Crowd(Bench bench) {
        this.bench = bench;
    }

    void measure() {
        int wanted = bench.options().sandboxes();
        long available = HostMemory.availableBytes();
        bench.progress().step("making " + wanted + " sandboxes, " + AT_ONCE + " at a time");
        long begin = System.nanoTime();
        ConcurrentLinkedQueue<Duration> times = new ConcurrentLinkedQueue<>();
        each(range(wanted), _ -> {
            long start = System.nanoTime();
            ids.add(bench.rest().create());
            times.add(Bench.since(start));
        });
        burst = Optional.of(new Burst(wanted, ids.size(), Bench.since(begin)));
        times.forEach(time -> bench.samples().add(Subject.BURST_CREATE, time));
        if (bench.options().wants(Part.MEMORY) && !ids.isEmpty()) {
            memory = memory(available);
        }
        bench.progress().step("deleting them");
        each(List.copyOf(ids), bench.rest()::delete);
    }

    Optional<Burst> burst() {
        return burst;
    }

    Optional<MemoryUse> memory() {
        return memory;
    }

    private Optional<MemoryUse> memory(long availableBefore) {
        bench.progress().step("running a command in each");
        each(List.copyOf(ids), id -> bench.rest().exec(id, TRUE));
        bench.pause(SETTLE);
        long available = HostMemory.availableBytes();
        List<String> machines = ids.stream()
                .map(id -> bench.files().flatMap(files -> files.machine(id)).orElse(id))
                .toList();
        long pss = VmMemory.proportionalBytes(machines);
        bench.progress().step("asking all " + ids.size());
        AtomicInteger answered = new AtomicInteger();
        each(List.copyOf(ids), id -> {
            bench.rest().exec(id, TRUE);
            answered.incrementAndGet();
        });
        if (pss == 0) {
            bench.notes()
                    .add("memory was not measured: the sandboxes' processes cannot be seen from here"
                            + " (it needs root on the server's machine)");
            return Optional.empty();
        }
        return Optional.of(new MemoryUse(ids.size(), answered.get(), pss, availableBefore - available));
    }

    private static List<Integer> range(int count) {
        List<Integer> numbers = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            numbers.add(i);
        }
        return numbers;
    }

    /** Ten at a time; the first failure is noted, and how many there were. */
    private <T> void each(List<T> items, Consumer<T> work) {
        AtomicInteger done = new AtomicInteger();
        ConcurrentLinkedQueue<String> failures = new ConcurrentLinkedQueue<>();
        try (ExecutorService tasks = Executors.newFixedThreadPool(AT_ONCE)) {
            items.forEach(item -> tasks.execute(() -> {
                try {
                    bench.interruption().check();
                    work.accept(item);
                } catch (BenchFailure e) {
                    failures.add(e.reason());
                }
                bench.progress().advance(done.incrementAndGet(), items.size(), "sandboxes");
            }));
        }
        bench.interruption().check();
        if (!failures.isEmpty()) {
            bench.notes().add(failures.size() + " of " + items.size() + " failed, the first with: " + failures.peek());
        }
    }
}
