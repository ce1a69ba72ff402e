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
    private static final String FREEZE = "snapshot_freeze";
    private static final String DEVICES = "snapshot_devices";
    private static final String MEMORY = "snapshot_memory";
    /** One after another, the two above beside each other in between. */
    private static final List<String> OTHERS = List.of("snapshot_stop", "snapshot_disk", "snapshot_continue");

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
                Map<String, StepTimes.Total> steps =
                        StepTimes.between(before, StepTimes.parse(bench.rest().metrics()));
                Optional<Duration> standing = standing(steps);
                standing.ifPresent(time -> bench.samples().add(Subject.SNAPSHOT_STOP, time));
                once(steps, FREEZE).ifPresent(time -> bench.samples().add(Subject.SNAPSHOT_FREEZE, time));
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

    /** From the stop of the vCPUs until its processes go on. Empty when not all steps were seen exactly once. */
    static Optional<Duration> standing(Map<String, StepTimes.Total> steps) {
        Optional<Duration> devices = once(steps, DEVICES);
        Optional<Duration> memory = once(steps, MEMORY);
        if (devices.isEmpty() || memory.isEmpty()) {
            return Optional.empty();
        }
        Duration sum = devices.get().compareTo(memory.get()) > 0 ? devices.get() : memory.get();
        for (String step : OTHERS) {
            Optional<Duration> time = once(steps, step);
            if (time.isEmpty()) {
                return Optional.empty();
            }
            sum = sum.plus(time.get());
        }
        return Optional.of(sum);
    }

    private static Optional<Duration> once(Map<String, StepTimes.Total> steps, String name) {
        return Optional.ofNullable(steps.get(name))
                .filter(total -> total.count() == 1)
                .map(total -> Duration.ofNanos(Math.round(total.seconds() * 1e9)));
    }
}
