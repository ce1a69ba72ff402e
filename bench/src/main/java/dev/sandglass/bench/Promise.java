package dev.sandglass.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * One promise of the platform and whether this run has kept it.
 *
 * @param measured in words; says so when it was not
 */
record Promise(String text, String measured, Verdict verdict) {
    private static final int CREATE_MILLIS = 500;
    private static final int CREATE_TIMES_FASTER = 8;
    private static final int EXEC_MILLIS = 60;
    private static final int MEMORY_MB = 60;

    enum Verdict {
        KEPT,
        BROKEN,
        NOT_MEASURED
    }

    /** All of them, in a fixed order. */
    static List<Promise> weigh(Samples samples, Optional<MemoryUse> memory) {
        Optional<Statistics> create = samples.statistics(Subject.CREATE);
        Optional<Statistics> exec = samples.statistics(Subject.EXEC_TRUE);
        List<Promise> promises = new ArrayList<>();
        promises.add(atMost("create → running, p50 ≤ " + CREATE_MILLIS + " ms", create, CREATE_MILLIS));
        promises.add(faster(
                "create ≥ " + CREATE_TIMES_FASTER + "× faster than cold boot",
                create,
                samples.statistics(Subject.COLD_BOOT),
                CREATE_TIMES_FASTER));
        promises.add(atMost("exec true, p50 ≤ " + EXEC_MILLIS + " ms", exec, EXEC_MILLIS));
        promises.add(faster("exec true faster than podman exec", exec, samples.statistics(Subject.PODMAN_EXEC), 1));
        promises.add(memory.filter(use -> use.sandboxes() > 1)
                .map(Promise::lightEnough)
                .orElseGet(() -> notMeasured(memoryText())));
        promises.add(memory.map(Promise::allAnswer).orElseGet(() -> notMeasured("all alive at once answer an exec")));
        return promises;
    }

    private static Promise atMost(String text, Optional<Statistics> times, int millis) {
        return times.map(known ->
                        judged(text, Units.time(known.median()), known.median().toNanos() <= millis * 1_000_000L))
                .orElseGet(() -> notMeasured(text));
    }

    private static Promise faster(String text, Optional<Statistics> ours, Optional<Statistics> other, double times) {
        if (ours.isEmpty() || other.isEmpty()) {
            return notMeasured(text);
        }
        double ratio = ours.get().timesFasterThan(other.get());
        return judged(text, Units.ratio(ratio), times == 1 ? ratio > 1 : ratio >= times);
    }

    private static Promise lightEnough(MemoryUse use) {
        long bytes = use.bytesEachBeyondFirst();
        return judged(memoryText(), Units.megabytes(bytes) + " of " + use.sandboxes(), bytes <= MEMORY_MB * 1_000_000L);
    }

    private static String memoryText() {
        return String.format(Locale.ROOT, "PSS of an idle clone ≤ %d MB each beyond the first", MEMORY_MB);
    }

    private static Promise allAnswer(MemoryUse use) {
        return judged(
                "all alive at once answer an exec",
                use.answered() + " of " + use.sandboxes(),
                use.answered() == use.sandboxes());
    }

    private static Promise judged(String text, String measured, boolean kept) {
        return new Promise(text, measured, kept ? Verdict.KEPT : Verdict.BROKEN);
    }

    private static Promise notMeasured(String text) {
        return new Promise(text, "not measured", Verdict.NOT_MEASURED);
    }
}
