package dev.sandglass.host.memory;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Random lives of a guest against its arrays of pages; each short, so that a failing seed is easy to follow. */
class GenerationStorePropertyTest {
    private static final int LIVES = Integer.getInteger("sandglass.memory.lives", 1000);
    private static final int STEPS = 12;

    /** In memory where there is such a file system, since each commit waits for the disk several times. */
    private static final Path SHARED_MEMORY = Path.of("/dev/shm");

    /** Breaks one step of the store on request. */
    private static final class Sabotage implements StoreStep.Observer {
        private int stepsLeft = -1;

        @Override
        public void reached(StoreStep step) {
            if (stepsLeft >= 0 && stepsLeft-- == 0) {
                throw new IllegalStateException("sabotage after " + step);
            }
        }
    }

    @Test
    void whateverHappensAStoreHoldsTheMemoryOfTheLastPause() throws IOException {
        Path scratch = Files.isDirectory(SHARED_MEMORY)
                ? Files.createTempDirectory(SHARED_MEMORY, "sandglass-test-")
                : Files.createTempDirectory("sandglass-test-");
        try {
            for (int seed = 0; seed < LIVES; seed++) {
                Path home = Files.createDirectory(scratch.resolve("life"));
                try {
                    new Life(seed, home).run();
                } catch (AssertionError | RuntimeException e) {
                    throw new AssertionError("seed " + seed, e);
                }
                GenerationStore.remove(home);
            }
        } finally {
            GenerationStore.remove(scratch);
        }
    }

    private static final class Life {
        private final Random random;
        private final Sabotage sabotage = new Sabotage();
        private final Path directory;
        private final Base base;
        private final int pages;
        private GenerationStore store;
        private SimulatedGuest guest;
        private SimulatedGuest saved;

        Life(int seed, Path home) throws IOException {
            random = new Random(seed);
            // Mostly small, so that a failure is easy to follow; some of several pieces, which are worked on at once.
            pages = 1 + random.nextInt(seed % 20 == 0 ? 400 : 20);
            int[] fills = new int[pages];
            for (int page = 0; page < pages; page++) {
                fills[page] = random.nextInt(3);
            }
            guest = new SimulatedGuest(fills);
            saved = guest.copy();
            directory = home.resolve("memory");
            base = guest.writeBase(home.resolve("template"));
            store = GenerationStore.open(directory, base, sabotage);
        }

        void run() throws IOException {
            for (int step = 0; step < STEPS; step++) {
                switch (random.nextInt(10)) {
                    case 8 -> damage();
                    case 9 -> link();
                    case 0 -> store = GenerationStore.open(directory, base, sabotage);
                    case 1 -> store.merge();
                    case 2 -> sabotagedMerge();
                    case 3 -> resume();
                    case 4 -> sabotagedPause();
                    default -> {
                        live();
                        pause(random.nextInt(6) == 0);
                    }
                }
            }
            resume();
        }

        private void live() {
            for (int writes = random.nextInt(2 * pages); writes >= 0; writes--) {
                int page = random.nextInt(pages);
                switch (random.nextInt(6)) {
                    case 0 -> guest.fill(page, 0);
                    case 1 -> guest.drop(page);
                    case 2 -> guest.touch(page);
                    case 3 -> guest.fill(page, random.nextInt(3));
                    default -> guest.setByte(page, random.nextInt(4096), random.nextInt(256));
                }
            }
        }

        private void pause(boolean mergeInBetween) {
            try (Draft draft = store.begin()) {
                draft.save(guest);
                if (mergeInBetween) {
                    store.merge();
                }
                draft.commit();
            }
            saved = guest.copy();
        }

        private void sabotagedPause() throws IOException {
            live();
            long before = store.header().generation();
            sabotage.stepsLeft = random.nextInt(GenerationStoreTest.COMMIT_STEPS.size());
            try {
                pause(false);
            } catch (IllegalStateException e) {
                if (store.header().generation() > before) {
                    saved = guest.copy();
                }
            } finally {
                sabotage.stepsLeft = -1;
            }
            requireSaved();
        }

        private void sabotagedMerge() throws IOException {
            sabotage.stepsLeft = random.nextInt(GenerationStoreTest.COMMIT_STEPS.size());
            try {
                store.merge();
            } catch (IllegalStateException e) {
                assertThat(e).hasMessageStartingWith("sabotage");
            } finally {
                sabotage.stepsLeft = -1;
            }
            requireSaved();
        }

        /** The guest is alive, so whatever happens to what was saved, the next pause makes it good. */
        private void damage() throws IOException {
            live();
            List<Path> files;
            try (var found = Files.walk(directory)) {
                files = found.filter(Files::isRegularFile).sorted().toList();
            }
            Path file = files.get(random.nextInt(files.size()));
            byte[] content = Files.readAllBytes(file);
            switch (random.nextInt(3)) {
                case 0 -> Files.delete(file);
                case 1 -> Files.write(file, Arrays.copyOf(content, content.length / 2));
                default -> {
                    if (content.length > 0) {
                        content[random.nextInt(content.length)] ^= 4;
                        Files.write(file, content);
                    }
                }
            }
            if (random.nextBoolean() || file.endsWith("manifest")) {
                store = GenerationStore.open(directory, base, sabotage);
            }
            pause(false);
            requireSaved();
            store = GenerationStore.open(directory, base, sabotage);
            requireSaved();
        }

        private void link() throws IOException {
            Path other = directory.resolveSibling("linked");
            store.linkTo(other);
            SimulatedGuest then = saved;
            live();
            pause(random.nextBoolean());
            if (random.nextBoolean()) {
                GenerationStore.remove(directory);
                store = GenerationStore.open(other, base, sabotage);
                saved = then;
                requireSaved();
                GenerationStore.remove(directory);
                store.linkTo(directory);
                store = GenerationStore.open(directory, base, sabotage);
                guest = then.copy();
                guest.touchAll();
            } else {
                try (MemoryImage image = GenerationStore.open(other, base).verifiedImage()) {
                    assertThat(image.firstDifference(then)).isEmpty();
                }
            }
            GenerationStore.remove(other);
            requireSaved();
        }

        private void requireSaved() throws IOException {
            try (MemoryImage image = store.verifiedImage()) {
                assertThat(image.firstDifference(saved)).isEmpty();
            }
        }

        /** The guest before is lost; this one begins with what is held. */
        private void resume() throws IOException {
            requireSaved();
            try (MemoryImage image = store.image()) {
                guest = guest.restored(image);
                assertThat(image.firstDifference(guest)).isEmpty();
            }
        }
    }
}
