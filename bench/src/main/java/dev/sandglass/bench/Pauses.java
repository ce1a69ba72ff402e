package dev.sandglass.bench;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * Pauses and resumes of a few sandboxes in turns, one of them large. Before each pause a process in the sandbox changes
 * 10 MB; after each resume it has to be the same process, with every byte.
 */
final class Pauses {
    static final int MEGABYTES = 10;
    private static final int SMALL = 5;
    private static final int PAUSES = 11;
    private static final int QUICK_PAUSES = 3;
    private static final int SMALL_MB = 512;
    private static final int LARGE_MB = 4096;

    private final Bench bench;
    private boolean cacheDropped = true;

    private record Paused(Guest guest, boolean large) {}

    Pauses(Bench bench) {
        this.bench = bench;
    }

    void measure() {
        bench.progress().step("making sandboxes to pause");
        List<Paused> all = new ArrayList<>();
        for (int i = 0; i < (bench.options().quick() ? 1 : SMALL); i++) {
            all.add(new Paused(Guest.create(bench.rest(), SMALL_MB, MEGABYTES), false));
        }
        try {
            all.add(new Paused(Guest.create(bench.rest(), LARGE_MB, MEGABYTES), true));
        } catch (BenchFailure e) {
            bench.notes().add("no guest of 4 GiB was measured: " + e.reason());
        }
        bench.progress().step("pausing and resuming");
        int pauses = bench.options().quick() ? QUICK_PAUSES : PAUSES;
        for (int n = 1; n <= pauses; n++) {
            for (Paused one : all) {
                bench.interruption().check();
                pauseAndResume(one, n);
            }
            bench.progress().advance(n, pauses, "pauses of each");
        }
        if (!cacheDropped) {
            bench.notes().add("the page cache could not be dropped before a resume (it needs root)");
        }
        all.forEach(one -> {
            one.guest().change(MEGABYTES);
            bench.rest().delete(one.guest().id());
        });
    }

    private void pauseAndResume(Paused one, int n) {
        Guest guest = one.guest();
        guest.change(MEGABYTES);
        long begin = System.nanoTime();
        bench.rest().pause(guest.id());
        Duration pause = Bench.since(begin);
        if (n > 1) { // the first one holds all that has happened since the sandbox was made
            bench.samples().add(one.large() ? Subject.PAUSE_LARGE : Subject.PAUSE, pause);
        }
        if (!one.large()) {
            switch (n) { // with their neighbours, which are twice as many samples of the same
                case 2, 3 -> bench.samples().add(Subject.PAUSE_SECOND, pause);
                case 10, 11 -> bench.samples().add(Subject.PAUSE_TENTH, pause);
                default -> {}
            }
        }
        boolean cold = !one.large();
        if (cold) {
            cacheDropped &= HostMemory.dropPageCache();
        }
        bench.timed(cold && cacheDropped ? Subject.RESUME_ECHO : Subject.RESUME_ECHO_CACHED, () -> {
            bench.rest().resume(guest.id());
            bench.rest().exec(guest.id(), "/bin/echo", "ready");
        });
    }
}
