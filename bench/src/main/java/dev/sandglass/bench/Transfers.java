package dev.sandglass.bench;

import java.util.Random;

/** Files into a sandbox and out of it, in turns with a plain copy over TCP into the same sandbox. */
final class Transfers {
    static final int MEGABYTES = 64;
    private static final int QUICK_MEGABYTES = 16;
    private static final int ROUNDS = 9;
    private static final int QUICK_ROUNDS = 3;
    private static final int MEMORY_MB = 512;
    private static final int BLOCK_BYTES = 1 << 20;
    private static final String OURS = "/var/tmp/ours";
    private static final String PLAIN = "/var/tmp/plain";

    private final Bench bench;

    Transfers(Bench bench) {
        this.bench = bench;
    }

    void measure() {
        bench.progress().step("copying files");
        Rest rest = bench.rest();
        String id = rest.create(MEMORY_MB);
        PlainCopy plain = PlainCopy.startIn(rest, id);
        int megabytes = bench.options().quick() ? QUICK_MEGABYTES : MEGABYTES;
        int rounds = bench.options().quick() ? QUICK_ROUNDS : ROUNDS;
        byte[] block = new byte[BLOCK_BYTES];
        new Random(1).nextBytes(block);
        // The first copies find a disk without blocks and a cold server.
        for (int round = -1; round < rounds; round++) {
            bench.interruption().check();
            boolean counts = round >= 0;
            timed(counts, Subject.UPLOAD, () -> rest.upload(id, OURS, block, megabytes));
            timed(counts, Subject.UPLOAD_PLAIN, () -> plain.put(PLAIN, block, megabytes));
            timed(counts, Subject.DOWNLOAD, () -> requireWhole(rest.download(id, OURS), megabytes));
            timed(counts, Subject.DOWNLOAD_PLAIN, () -> requireWhole(plain.get(PLAIN), megabytes));
            bench.progress().advance(round + 1, rounds + 1, "rounds");
        }
        rest.delete(id);
    }

    private void timed(boolean counts, Subject subject, Runnable copy) {
        if (counts) {
            bench.timed(subject, copy);
        } else {
            copy.run();
        }
    }

    private static void requireWhole(long bytes, int megabytes) {
        if (bytes != (long) megabytes * BLOCK_BYTES) {
            throw new BenchFailure("A file of " + megabytes + " MiB came back with " + bytes + " bytes.");
        }
    }
}
