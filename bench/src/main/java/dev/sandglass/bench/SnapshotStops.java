package dev.sandglass.bench;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Snapshots of a running sandbox that changes 10 MB before each, and clones of them. */
final class SnapshotStops {
    private static final int SNAPSHOTS = 8;
    private static final int QUICK_SNAPSHOTS = 2;
    private static final int MEMORY_MB = 512;
    /** From the vCPUs' stop to their going on; the host agent times each. */
    private static final List<String> STANDING =
            List.of("snapshot_stop", "snapshot_devices", "snapshot_memory", "snapshot_disk", "snapshot_continue");

    private final Bench bench;
    private final String name;

    /** @param name of the run */
    SnapshotStops(Bench bench, String name) {
        this.bench = bench;
        this.name = name;
    }

    void measure() {
        bench.progress().step("taking snapshots");
        Guest guest = Guest.create(bench.rest(), MEMORY_MB, Pauses.MEGABYTES);
        int snapshots = bench.options().quick() ? QUICK_SNAPSHOTS : SNAPSHOTS;
        boolean told = true;
        for (int n = 1; n <= snapshots; n++) {
            bench.interruption().check();
            String snapshot = name + "-" + n;
            guest.change(Pauses.MEGABYTES);
            Map<String, StepTimes.Total> before = StepTimes.parse(bench.rest().metrics());
            long begin = System.nanoTime();
            bench.rest().snapshot(guest.id(), snapshot);
            Duration whole = Bench.since(begin);
            if (n > 1) { // the first one holds all that has happened since the sandbox was made
                bench.samples().add(Subject.SNAPSHOT, whole);
                Optional<Duration> standing = standing(
                        StepTimes.between(before, StepTimes.parse(bench.rest().metrics())));
                standing.ifPresent(time -> bench.samples().add(Subject.SNAPSHOT_STOP, time));
                told &= standing.isPresent();
            }
            clone(snapshot);
            bench.rest().deleteSnapshot(snapshot);
            bench.progress().advance(n, snapshots, "snapshots");
        }
        if (!told) {
            bench.notes().add("how long a snapshot stops its sandbox was not told in /metrics");
        }
        guest.change(Pauses.MEGABYTES);
        bench.rest().delete(guest.id());
    }

    private void clone(String snapshot) {
        long begin = System.nanoTime();
        String id = bench.rest().createFrom(snapshot);
        bench.rest().exec(id, "/bin/echo", "ready");
        bench.samples().add(Subject.CREATE_FROM, Bench.since(begin));
        bench.rest().delete(id);
    }

    /** Empty when not all steps were seen exactly once. */
    static Optional<Duration> standing(Map<String, StepTimes.Total> steps) {
        List<StepTimes.Total> seen = STANDING.stream()
                .map(step -> steps.getOrDefault(step, new StepTimes.Total(0, 0)))
                .toList();
        return seen.stream().allMatch(total -> total.count() == 1)
                ? Optional.of(Duration.ofNanos(seen.stream()
                        .mapToLong(total -> Math.round(total.seconds() * 1e9))
                        .sum()))
                : Optional.empty();
    }
}
