package dev.sandglass.bench;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/**
 * One promise of the platform and whether this run has kept it.
 *
 * @param measured in words; says so when it was not
 */
record Promise(String text, String measured, Verdict verdict) {
    private static final String UNMEASURED = "not measured";
    private static final Duration CREATE_TAIL = Duration.ofMillis(100);
    private static final Duration BURST = Duration.ofSeconds(30);
    private static final Duration BURST_TAIL = Duration.ofSeconds(3);
    private static final Duration LARGE_EXTRA = Duration.ofMillis(20);
    private static final Duration REST_EXTRA = Duration.ofMillis(4);
    private static final Duration ECHO_EXTRA = Duration.ofMillis(5);
    private static final double COPY_SHARE = 0.7;
    private static final double TENTH_TIMES_SECOND = 1.2;
    private static final double READS_SHARE = 0.3;
    private static final long PSS_BYTES = 50_000_000;
    private static final long DISK_AFTER_CREATE_BYTES = 6_000_000;
    private static final long DISK_PER_MEGABYTE_BYTES = 1_100_000;

    enum Verdict {
        KEPT,
        BROKEN,
        NOT_MEASURED
    }

    /** All of them, in a fixed order. */
    static List<Promise> weigh(Outcome outcome) {
        Samples samples = outcome.samples();
        List<Promise> promises = new ArrayList<>();
        promises.add(median("create → running, pool warm, p50 ≤ 25 ms", samples, Subject.CREATE, 25));
        promises.add(tail("create → running, pool warm, p99 ≤ 100 ms", samples, Subject.CREATE, CREATE_TAIL));
        promises.add(faster("create ≥ 5× faster than podman run", samples, Subject.CREATE, Subject.PODMAN_RUN, 5));
        promises.add(faster("create ≥ 8× faster than cold boot", samples, Subject.CREATE, Subject.COLD_BOOT, 8));
        promises.add(median("create → output of echo, p50 ≤ 75 ms", samples, Subject.CREATE_ECHO, 75));
        promises.add(median("create → output of python3 -c, p50 ≤ 250 ms", samples, Subject.CREATE_PYTHON, 250));
        promises.add(median("exec true, p50 ≤ 60 ms", samples, Subject.EXEC_TRUE, 60));
        promises.add(faster("exec true faster than podman exec", samples, Subject.EXEC_TRUE, Subject.PODMAN_EXEC, 1));
        promises.add(of("all creates of a burst, 10 at a time, within 30 s", outcome.burst(), Promise::burst));
        promises.add(tail("create in a burst, p99 ≤ 3 s", samples, Subject.BURST_CREATE, BURST_TAIL));
        promises.add(median("pause, 10 MB changed, p50 ≤ 60 ms", samples, Subject.PAUSE, 60));
        promises.add(largeGuest(samples));
        promises.add(tenthPause(samples));
        promises.add(median("resume → output of echo, from disk, p50 ≤ 350 ms", samples, Subject.RESUME_ECHO, 350));
        promises.add(median("a snapshot stops its sandbox, p50 ≤ 60 ms", samples, Subject.SNAPSHOT_STOP, 60));
        promises.add(
                extra("exec through REST ≤ 4 ms more", samples, Subject.EXEC_REST, Subject.EXEC_GUEST, REST_EXTRA));
        promises.add(extra(
                "a key's echo through the WebSocket ≤ 5 ms more",
                samples,
                Subject.ECHO_WEBSOCKET,
                Subject.ECHO_GUEST,
                ECHO_EXTRA));
        promises.add(share("upload ≥ 70 % of a plain TCP copy", samples, Subject.UPLOAD, Subject.UPLOAD_PLAIN));
        promises.add(share("download ≥ 70 % of a plain TCP copy", samples, Subject.DOWNLOAD, Subject.DOWNLOAD_PLAIN));
        promises.add(of("disk of a sandbox paused after create ≤ 6 MB", outcome.disk(), Promise::diskAfterCreate));
        promises.add(of("disk of each MB changed ≤ 1.1 MB", outcome.disk(), Promise::diskPerMegabyte));
        promises.add(of("PSS of an idle clone ≤ 50 MB each", outcome.memory(), Promise::lightEnough));
        promises.add(of("all alive at once answer an exec", outcome.memory(), Promise::allAnswer));
        promises.add(of(
                "reads by id ≥ 30 % of pgbench -S, same clients",
                outcome.api().filter(use -> !use.peerPerSecond().isEmpty()), Promise::reads));
        promises.add(of("reads by id stay flat in time and memory", outcome.api(), Promise::flat));
        if (outcome.soak().isPresent()) {
            promises.add(of("pauses and resumes without a wrong byte", outcome.soak(), Promise::soaked));
        }
        return promises;
    }

    private record Finding(String measured, boolean kept) {}

    /** There is no figure at all. */
    boolean isUnmeasured() {
        return measured.equals(UNMEASURED);
    }

    private static <T> Promise of(String text, Optional<T> found, Function<T, Finding> judge) {
        return found.map(judge)
                .map(finding -> new Promise(text, finding.measured(), finding.kept() ? Verdict.KEPT : Verdict.BROKEN))
                .orElse(new Promise(text, UNMEASURED, Verdict.NOT_MEASURED));
    }

    private static Promise median(String text, Samples samples, Subject subject, long millis) {
        return of(
                text,
                samples.statistics(subject),
                known -> new Finding(Units.time(known.median()), within(known.median(), Duration.ofMillis(millis))));
    }

    /** With few samples only the greatest is known: it can keep the promise and cannot break it. */
    private static Promise tail(String text, Samples samples, Subject subject, Duration limit) {
        Optional<Statistics> times = samples.statistics(subject);
        if (times.isPresent() && !times.get().knowsTail() && !within(times.get().greatest(), limit)) {
            return new Promise(
                    text,
                    "max " + Units.time(times.get().greatest()) + " of "
                            + times.get().count() + ", too few for a percentile",
                    Verdict.NOT_MEASURED);
        }
        return of(
                text,
                times,
                known -> known.knowsTail()
                        ? new Finding(
                                Units.time(known.percentile(0.99)) + " of " + known.count(),
                                within(known.percentile(0.99), limit))
                        : new Finding("max " + Units.time(known.greatest()) + " of " + known.count(), true));
    }

    private static boolean within(Duration time, Duration limit) {
        return time.compareTo(limit) <= 0;
    }

    private record Pair(Statistics one, Statistics other) {
        static Optional<Pair> of(Samples samples, Subject one, Subject other) {
            return samples.statistics(one)
                    .flatMap(first -> samples.statistics(other).map(second -> new Pair(first, second)));
        }
    }

    private static Promise faster(String text, Samples samples, Subject ours, Subject other, double times) {
        return of(text, Pair.of(samples, ours, other), pair -> {
            double ratio = pair.one().timesFasterThan(pair.other());
            return new Finding(Units.ratio(ratio), times == 1 ? ratio > 1 : ratio >= times);
        });
    }

    private static Promise largeGuest(Samples samples) {
        return extra(
                "pause of a 4 GiB guest at most 20 ms more", samples, Subject.PAUSE_LARGE, Subject.PAUSE, LARGE_EXTRA);
    }

    /** How much longer the median of one is than that of what it is held against. */
    private static Promise extra(String text, Samples samples, Subject one, Subject basis, Duration limit) {
        return of(text, Pair.of(samples, one, basis), pair -> {
            Duration extra = pair.one().median().minus(pair.other().median());
            return new Finding((extra.isNegative() ? "-" : "+") + Units.time(extra.abs()), within(extra, limit));
        });
    }

    /** Of the peer's speed, by the medians. */
    private static Promise share(String text, Samples samples, Subject ours, Subject peer) {
        return of(text, Pair.of(samples, ours, peer), pair -> {
            double share = pair.one().timesFasterThan(pair.other());
            return new Finding(Math.round(100 * share) + " %", share >= COPY_SHARE);
        });
    }

    private static Promise tenthPause(Samples samples) {
        return of("10th pause ≤ 1.2× the 2nd", Pair.of(samples, Subject.PAUSE_TENTH, Subject.PAUSE_SECOND), pair -> {
            double ratio = 1 / pair.one().timesFasterThan(pair.other());
            return new Finding(Units.ratio(ratio), ratio <= TENTH_TIMES_SECOND);
        });
    }

    private static Finding burst(Burst burst) {
        return new Finding(
                burst.created() + " of " + burst.wanted() + " in " + Units.time(burst.elapsed()),
                burst.created() == burst.wanted() && within(burst.elapsed(), BURST));
    }

    private static Finding diskAfterCreate(DiskUse use) {
        return new Finding(Units.megabytes(use.afterCreateBytes()), use.afterCreateBytes() <= DISK_AFTER_CREATE_BYTES);
    }

    private static Finding diskPerMegabyte(DiskUse use) {
        return new Finding(Units.megabytes(use.bytesPerMegabyte()), use.bytesPerMegabyte() <= DISK_PER_MEGABYTE_BYTES);
    }

    private static Finding lightEnough(MemoryUse use) {
        return new Finding(
                Units.megabytes(use.pssEach()) + " of " + use.sandboxes() + "; MemAvailable "
                        + Units.megabytes(use.availableLostEach()),
                use.pssEach() <= PSS_BYTES);
    }

    private static Finding allAnswer(MemoryUse use) {
        return new Finding(use.answered() + " of " + use.sandboxes(), use.answered() == use.sandboxes());
    }

    private static Finding reads(ApiUse use) {
        return new Finding(
                Math.round(use.share() * 100) + " %, " + Math.round(use.medianPerSecond()) + " of "
                        + Math.round(use.medianPeerPerSecond()) + " a second",
                use.share() >= READS_SHARE);
    }

    private static Finding flat(ApiUse use) {
        return new Finding(
                "p50 " + Units.ratio(use.latencyGrowth()) + ", live heap "
                        + (use.heapGrowthBytes() < 0 ? "-" : "+")
                        + Units.megabytes(Math.abs(use.heapGrowthBytes())) + " over " + use.requests() + " reads",
                use.isFlat());
    }

    private static Finding soaked(SoakResult soak) {
        return new Finding(
                soak.rounds() + " rounds, " + soak.sandboxes() + " sandboxes, "
                        + soak.troubles().size() + " troubles",
                soak.troubles().isEmpty());
    }
}
