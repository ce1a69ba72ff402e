package dev.sandglass.bench;

import java.util.Optional;

/** What a paused sandbox takes on disk. */
final class DiskGrowth {
    private static final int MEMORY_MB = 512;
    private static final int LITTLE = 10;
    private static final int MUCH = 60;

    private final Bench bench;
    private final HostFiles files;

    DiskGrowth(Bench bench, HostFiles files) {
        this.bench = bench;
        this.files = files;
    }

    static Optional<DiskUse> measure(Bench bench) {
        if (bench.files().isEmpty()) {
            bench.notes().add("disk was not measured: the server's files are not on this machine");
            return Optional.empty();
        }
        return Optional.of(new DiskGrowth(bench, bench.files().get()).measure());
    }

    private DiskUse measure() {
        bench.progress().step("looking at a paused sandbox's files");
        String id = bench.rest().create(MEMORY_MB);
        long afterCreate = paused(id);
        bench.rest().resume(id);
        Guest guest = Guest.startIn(bench.rest(), id, 1);
        long base = paused(id);
        bench.rest().resume(id);
        guest.change(LITTLE);
        long little = paused(id);
        bench.rest().resume(id);
        guest.change(MUCH);
        long much = paused(id);
        bench.rest().delete(id);
        return new DiskUse(afterCreate, LITTLE, little - base, MUCH, much - little);
    }

    private long paused(String id) {
        bench.rest().pause(id);
        return files.allocatedBytes(id);
    }
}
