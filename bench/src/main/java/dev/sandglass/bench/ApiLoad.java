package dev.sandglass.bench;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;

/**
 * Authenticated reads of a sandbox by its id, in turns with {@code pgbench -S} on the same PostgreSQL with as many clients;
 * then a long series of them, of which neither the latency nor the server's memory may grow.
 */
final class ApiLoad {
    static final int CLIENTS = 8;

    private static final int ROUNDS = 5;
    private static final int QUICK_ROUNDS = 2;
    private static final Duration ROUND = Duration.ofSeconds(3);

    /** Until the server's compiler has done its work. */
    private static final long WARM_UP_REQUESTS = 200_000;

    private static final int SLICES = 10;
    private static final Duration COLLECTION = Duration.ofSeconds(30);
    private static final Pattern HEAP = Pattern.compile("(?m)^jvm_memory_used_bytes\\{area=\"heap\".*} (\\S+)$");

    private final Bench bench;
    private final String database;

    /** {@code database}: a name for one that pgbench may have. */
    ApiLoad(Bench bench, String database) {
        this.bench = bench;
        this.database = database;
    }

    ApiUse measure() {
        String id = bench.rest().create();
        Optional<Pgbench> peer = peer();
        try {
            String path = "/v1/sandboxes/" + id;
            bench.progress().step("reading a sandbox " + WARM_UP_REQUESTS + " times to warm up");
            requests(path, WARM_UP_REQUESTS);
            List<Double> ours = new ArrayList<>();
            List<Double> theirs = new ArrayList<>();
            Latencies latencies = new Latencies();
            int rounds = bench.options().quick() ? QUICK_ROUNDS : ROUNDS;
            bench.progress().step("reading in turns with pgbench");
            for (int round = 0; round < rounds; round++) {
                bench.interruption().check();
                if (peer.isPresent()) {
                    theirs.add(peer.get().transactionsPerSecond(CLIENTS, processors(), ROUND));
                }
                long begin = System.nanoTime();
                Latencies answers = load(path, () -> System.nanoTime() - begin < ROUND.toNanos());
                ours.add(answers.count() / seconds(begin));
                latencies.add(answers);
                bench.progress().advance(round + 1L, rounds, "rounds");
            }
            return new ApiUse(CLIENTS, ours, theirs, latencies, series(path));
        } catch (Pgbench.Missing e) {
            throw new BenchFailure(String.valueOf(e.getMessage()));
        } finally {
            peer.ifPresent(Pgbench::close);
            bench.rest().delete(id);
        }
    }

    private static int processors() {
        return Math.min(CLIENTS, Runtime.getRuntime().availableProcessors());
    }

    private Optional<Pgbench> peer() {
        try {
            bench.progress().step("filling pgbench's tables");
            Path home = bench.files()
                    .map(HostFiles::home)
                    .orElseThrow(() -> new Pgbench.Missing("the server's home is not on this machine"));
            return Optional.of(Pgbench.start(home, database));
        } catch (Pgbench.Missing e) {
            bench.notes().add("pgbench was not measured: " + e.getMessage());
            return Optional.empty();
        }
    }

    private static double seconds(long begin) {
        return (System.nanoTime() - begin) / 1e9;
    }

    private List<ApiUse.Slice> series(String path) {
        bench.progress().step("reading a sandbox " + bench.options().requests() + " times");
        List<ApiUse.Slice> slices = new ArrayList<>();
        for (int i = 0; i < SLICES; i++) {
            bench.interruption().check();
            Latencies answers = requests(path, bench.options().requests() / SLICES);
            slices.add(new ApiUse.Slice(
                    answers.count(), answers.percentile(0.5), answers.percentile(0.99), liveHeapBytes()));
            bench.progress().advance(i + 1L, SLICES, "tenths");
        }
        return slices;
    }

    private Latencies requests(String path, long count) {
        AtomicLong left = new AtomicLong(count);
        return load(path, () -> left.getAndDecrement() > 0);
    }

    /** By all clients at once, as long as {@code more}. */
    private Latencies load(String path, BooleanSupplier more) {
        List<CompletableFuture<Latencies>> clients = new ArrayList<>();
        for (int i = 0; i < CLIENTS; i++) {
            CompletableFuture<Latencies> outcome = new CompletableFuture<>();
            clients.add(outcome);
            Thread.ofPlatform().daemon().name("client-" + i).start(() -> {
                try {
                    outcome.complete(client(path, more));
                } catch (RuntimeException e) {
                    outcome.completeExceptionally(e);
                }
            });
        }
        Latencies all = new Latencies();
        try {
            clients.forEach(client -> all.add(client.join()));
        } catch (CompletionException e) {
            throw e.getCause() instanceof BenchFailure failure ? failure : e;
        }
        return all;
    }

    private Latencies client(String path, BooleanSupplier more) {
        Latencies latencies = new Latencies();
        try (KeptConnection connection = bench.rest().keptConnection(path)) {
            while (more.getAsBoolean()) {
                long begin = System.nanoTime();
                connection.get();
                latencies.add(System.nanoTime() - begin);
            }
        }
        return latencies;
    }

    /** What the server really holds, after a full collection; 0 when it cannot be told. */
    private long liveHeapBytes() {
        Optional<Long> pid = bench.files().flatMap(HostFiles::serverPid);
        Path jcmd = Path.of(System.getProperty("java.home", ""), "bin", "jcmd");
        if (pid.isEmpty()
                || Program.run(COLLECTION, jcmd.toString(), pid.get().toString(), "GC.run")
                        .filter(result -> result.exitCode() == 0)
                        .isEmpty()) {
            return 0;
        }
        return (long) HEAP.matcher(bench.rest().metrics())
                .results()
                .mapToDouble(match -> Double.parseDouble(match.group(1)))
                .sum();
    }
}
