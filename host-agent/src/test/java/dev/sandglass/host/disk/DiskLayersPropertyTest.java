package dev.sandglass.host.disk;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.host.linux.Command;
import dev.sandglass.host.linux.Deadline;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Random lives of sandboxes' and snapshots' disks that share layers, each against an array of bytes; QEMU writes. */
class DiskLayersPropertyTest {
    private static final int LIVES = Integer.getInteger("sandglass.disk.lives", 8);
    private static final int STEPS = 25;
    private static final int SECTOR = 512;

    /** Some clusters, the last one cut off. */
    private static final int BYTES = 5 * (64 << 10) + 3 * SECTOR;

    @TempDir
    Path scratch;

    /** Stops as kill -9 would: nothing runs after it but the removal of what was being made, which may be skipped. */
    private static final class Sabotage implements DiskStep.Observer {
        private int stepsLeft = -1;

        @Override
        public void reached(DiskStep step) {
            if (stepsLeft >= 0 && stepsLeft-- == 0) {
                throw new Sabotaged("after " + step);
            }
        }
    }

    private static final class Sabotaged extends RuntimeException {
        private static final long serialVersionUID = 1;

        Sabotaged(String message) {
            super(message);
        }
    }

    /** @param writable a sandbox's, not a snapshot's */
    private record Known(Path directory, ByteBuffer content, boolean writable) {}

    @Test
    void whateverIsSharedMergedAndRemovedEachDiskHoldsWhatWasWrittenToIt() throws IOException {
        for (int seed = 0; seed < LIVES; seed++) {
            Path home = Files.createDirectory(scratch.resolve("life" + seed));
            try {
                new Life(seed, home).run();
            } catch (AssertionError | RuntimeException e) {
                throw new AssertionError("seed " + seed, e);
            }
        }
    }

    private static final class Life {
        private final Random random;
        private final Path home;
        private final Sabotage sabotage = new Sabotage();
        private final Disks disks = new Qcow2Disks(sabotage);
        private final List<DiskLayer> base;
        private final List<Known> all = new ArrayList<>();
        private int made;

        Life(int seed, Path home) throws IOException {
            this.random = new Random(seed);
            this.home = home;
            byte[] content = new byte[BYTES - 10 * SECTOR];
            random.nextBytes(content);
            base = List.of(new DiskLayer(Files.write(home.resolve("base"), content), DiskLayer.Format.RAW));
            Path directory = place();
            disks.create(directory, base, BYTES, soon());
            all.add(new Known(directory, ByteBuffer.wrap(Arrays.copyOf(content, BYTES)), true));
        }

        private static Deadline soon() {
            return Deadline.after(Duration.ofSeconds(20));
        }

        private Path place() throws IOException {
            return Files.createDirectory(home.resolve("disk" + made++));
        }

        void run() throws IOException {
            for (int step = 0; step < STEPS && !all.isEmpty(); step++) {
                Known disk = all.get(random.nextInt(all.size()));
                switch (random.nextInt(8)) {
                    case 0 -> snapshot(disk);
                    case 1 -> sandboxOf(disk);
                    case 2 -> merge(disk);
                    case 3 -> remove(disk);
                    case 4 -> push(disk);
                    default -> write(disk);
                }
            }
            for (Known disk : all) {
                requireHolds(disk);
            }
        }

        private void requireHolds(Known disk) throws IOException {
            Disk opened = disks.open(disk.directory(), base);
            assertThat(opened.layers()).hasSizeLessThanOrEqualTo(16);
            Path raw = home.resolve("raw");
            Command.of("qemu-img", "convert", "-O", "raw", "--image-opts", Qcow2DisksTest.chain(opened), raw.toString())
                    .run();
            assertThat(Files.readAllBytes(raw))
                    .as("%s", disk.directory())
                    .isEqualTo(disk.content().array());
        }

        private void write(Known disk) {
            if (!disk.writable()) {
                return;
            }
            List<String> argv = new ArrayList<>(List.of("qemu-io", "--image-opts"));
            argv.add("discard=unmap," + Qcow2DisksTest.chain(disks.open(disk.directory(), base)));
            for (int count = random.nextInt(12); count >= 0; count--) {
                int from = random.nextInt(BYTES / SECTOR);
                int sectors = 1 + random.nextInt(Math.min(random.nextBoolean() ? 12 : 300, BYTES / SECTOR - from));
                int value = random.nextInt(4) == 0 ? 0 : random.nextInt(256);
                String kind = value == 0 && random.nextBoolean() ? "-z" : "-P " + value;
                argv.addAll(List.of("-c", "write -q " + kind + " " + from * SECTOR + " " + sectors * SECTOR));
                Arrays.fill(disk.content().array(), from * SECTOR, (from + sectors) * SECTOR, (byte) value);
            }
            Command.of(argv).run();
        }

        /** Of a paused sandbox. */
        private void snapshot(Known disk) throws IOException {
            if (!disk.writable()) {
                return;
            }
            disks.push(disk.directory(), base, soon());
            Path directory = place();
            disks.shareFrozen(disk.directory(), directory);
            all.add(new Known(directory, ByteBuffer.wrap(disk.content().array().clone()), false));
        }

        private void sandboxOf(Known disk) throws IOException {
            if (disk.writable()) {
                return;
            }
            Path directory = place();
            disks.shareAll(disk.directory(), directory);
            disks.push(directory, base, soon());
            all.add(new Known(directory, ByteBuffer.wrap(disk.content().array().clone()), true));
        }

        private void merge(Known disk) throws IOException {
            sabotaged(() -> disks.merge(disk.directory(), base, soon()));
            requireHolds(disk);
        }

        private void push(Known disk) throws IOException {
            if (disk.writable()) {
                sabotaged(() -> disks.push(disk.directory(), base, soon()));
                requireHolds(disk);
            }
        }

        private void sabotaged(Runnable action) {
            sabotage.stepsLeft = random.nextInt(8) - 1;
            try {
                action.run();
            } catch (Sabotaged e) {
                assertThat(e).hasMessageStartingWith("after");
            } finally {
                sabotage.stepsLeft = -1;
            }
        }

        private void remove(Known disk) {
            if (all.size() > 1) {
                disks.remove(disk.directory());
                assertThat(disk.directory()).isEmptyDirectory();
                all.remove(disk);
            }
        }
    }
}
