package dev.sandglass.host.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.Command;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.ValueSource;

class GenerationStoreTest {
    static final Set<StoreStep> COMMIT_STEPS = EnumSet.range(StoreStep.DRAFT_MADE, StoreStep.LEFTOVERS_REMOVED);

    @TempDir
    Path scratch;

    private final SimulatedGuest guest = new SimulatedGuest(0, 1, 2, 3, 0, 5, 6, 7);
    private Path directory = Path.of("/");
    private Base base = new Base(Header.flat(HeaderTest.U, 4096), Path.of("/"));

    @BeforeEach
    void makeBase() throws IOException {
        directory = scratch.resolve("memory");
        base = guest.writeBase(scratch.resolve("template"));
    }

    private static Draft.Saved pause(GenerationStore store, PrivateMemory guest) {
        try (Draft draft = store.begin()) {
            Draft.Saved saved = draft.save(guest);
            draft.commit();
            return saved;
        }
    }

    private static void requireHolds(GenerationStore store, SimulatedGuest wanted) throws IOException {
        try (MemoryImage image = store.verifiedImage()) {
            assertThat(image.firstDifference(wanted)).isEmpty();
            assertThat(image.firstDifference(wanted.restored(image))).isEmpty();
        }
    }

    private static List<String> filesIn(Path directory) throws IOException {
        try (var files = Files.walk(directory)) {
            return files.filter(Files::isRegularFile)
                    .map(file -> directory.relativize(file).toString())
                    .sorted()
                    .toList();
        }
    }

    @Test
    void aStoreWithoutGenerationsHoldsTheBase() throws IOException {
        requireHolds(GenerationStore.open(directory, base), guest);
        assertThat(filesIn(directory)).containsExactly("manifest");
    }

    @Test
    void onlyPagesThatDifferFromWhatIsHeldAreWritten() throws IOException {
        GenerationStore store = GenerationStore.open(directory, base);
        guest.fill(2, 42);
        guest.touch(3);
        assertThat(pause(store, guest)).isEqualTo(new Draft.Saved(2, 1, 0, 4096));
        assertThat(pause(store, guest)).isEqualTo(new Draft.Saved(2, 0, 0, 0));
        guest.setByte(2, 4095, 1);
        assertThat(pause(store, guest)).isEqualTo(new Draft.Saved(2, 1, 0, 4096));
        requireHolds(GenerationStore.open(directory, base), guest);
    }

    @Test
    void zeroedPagesNeverFallBackToOlderContent() throws IOException {
        GenerationStore store = GenerationStore.open(directory, base);
        guest.fill(2, 42);
        guest.fill(4, 43);
        pause(store, guest);
        guest.fill(1, 0); // the template's content
        guest.fill(2, 0); // content of its own over the template's
        guest.fill(4, 0); // content of its own over the template's zeroes
        assertThat(pause(store, guest)).isEqualTo(new Draft.Saved(3, 3, 0, 0));
        assertThat(store.header().lookup(2 * 4096).build()).isEqualTo(BuildId.ZERO_FILL);
        requireHolds(store, guest);
        pause(store, guest);
        requireHolds(GenerationStore.open(directory, base), guest);
    }

    @Test
    void aPageThatIsNoLongerPrivateHasTheTemplatesContentAgain() throws IOException {
        GenerationStore store = GenerationStore.open(directory, base);
        for (int page = 0; page < 8; page++) {
            guest.fill(page, 50 + page);
        }
        guest.fill(6, 0);
        pause(store, guest);
        guest.drop(1);
        guest.drop(2);
        guest.drop(6);
        guest.fill(5, 0);
        assertThat(pause(store, guest)).isEqualTo(new Draft.Saved(5, 1, 3, 0));
        assertThat(store.header().lookup(4096))
                .isEqualTo(new Header.Run(base.header().build(), 4096, 2 * 4096));
        requireHolds(GenerationStore.open(directory, base), guest);
        assertThat(pause(store, guest)).isEqualTo(new Draft.Saved(5, 0, 0, 0));
    }

    @Test
    void aGenerationThatNoPageComesFromIsDropped() throws IOException {
        GenerationStore store = GenerationStore.open(directory, base);
        for (int round = 1; round <= 5; round++) {
            guest.fill(2, 100 + round);
            pause(store, guest);
            assertThat(store.generations()).hasSize(1);
        }
        assertThat(store.header().generation()).isEqualTo(5);
        requireHolds(store, guest);
    }

    @Test
    void attachmentsBelongToTheNewestGenerationAndOutliveAMerge() throws IOException {
        GenerationStore store = GenerationStore.open(directory, base);
        for (int round = 0; round < 3; round++) {
            guest.fill(round, 100 + round);
            try (Draft draft = store.begin()) {
                draft.save(guest);
                Files.writeString(draft.directory().resolve("device-state"), "state " + round);
                draft.commit();
            }
        }
        assertThat(store.requireAttachment("device-state")).hasContent("state 2");
        assertThat(filesIn(directory))
                .filteredOn(name -> name.endsWith("device-state"))
                .hasSize(1);
        assertThat(store.merge()).isTrue();
        assertThat(GenerationStore.open(directory, base).requireAttachment("device-state"))
                .hasContent("state 2");
        assertThatThrownBy(() -> store.requireAttachment("disk")).hasMessageContaining("it has no file disk");
    }

    @Test
    void manyGenerationsBecomeOneWithTheSameContent() throws IOException {
        GenerationStore store = GenerationStore.open(directory, base);
        for (int round = 0; round < 12; round++) {
            assertThat(store.mergeDue())
                    .isEqualTo(round >= 8 && store.generations().size() >= 8);
            guest.setByte(round % 8, round, 77);
            if (round == 7) {
                guest.fill(3, 0);
            }
            pause(store, guest);
        }
        long generation = store.header().generation();
        assertThat(store.merge()).isTrue();
        assertThat(store.generations()).hasSize(1);
        assertThat(store.header().generation()).isEqualTo(generation);
        requireHolds(GenerationStore.open(directory, base), guest);
        assertThat(filesIn(directory)).hasSize(4);
        pause(store, guest);
        requireHolds(store, guest);
    }

    @Test
    void aMergeThatAPauseOvertakesChangesNothing() throws IOException {
        AtomicBoolean overtake = new AtomicBoolean();
        List<GenerationStore> stores = new ArrayList<>();
        GenerationStore store = GenerationStore.open(directory, base, step -> {
            if (step == StoreStep.DIFF_WRITTEN && overtake.getAndSet(false)) {
                guest.fill(7, 99);
                pause(stores.getFirst(), guest);
            }
        });
        stores.add(store);
        for (int round = 0; round < 3; round++) {
            guest.fill(round, 100 + round);
            pause(store, guest);
        }
        overtake.set(true);
        assertThat(store.merge()).isFalse();
        assertThat(store.generations()).hasSize(4);
        requireHolds(GenerationStore.open(directory, base), guest);
    }

    @Test
    void aMergeDuringAPauseDoesNotDisturbIt() throws IOException {
        GenerationStore store = GenerationStore.open(directory, base);
        for (int round = 0; round < 3; round++) {
            guest.fill(round, 100 + round);
            pause(store, guest);
        }
        try (MemoryImage before = store.image();
                Draft draft = store.begin()) {
            SimulatedGuest then = guest.copy();
            guest.fill(1, 7);
            guest.drop(2);
            draft.save(guest);
            assertThat(store.merge()).isTrue();
            draft.commit();
            assertThat(before.firstDifference(then)).isEmpty();
        }
        requireHolds(GenerationStore.open(directory, base), guest);
    }

    @ParameterizedTest
    @FieldSource("COMMIT_STEPS")
    void afterAFailureAtAnyStepTheStoreIsTheOldOrTheNewOneAndGoesOn(StoreStep failing) throws IOException {
        AtomicBoolean armed = new AtomicBoolean();
        GenerationStore store = GenerationStore.open(directory, base, step -> {
            if (armed.get() && step == failing) {
                armed.set(false);
                throw new IllegalStateException("failed after " + step);
            }
        });
        guest.fill(1, 11);
        guest.fill(2, 12);
        pause(store, guest);
        SimulatedGuest old = guest.copy();
        guest.fill(2, 0);
        guest.fill(3, 13);
        armed.set(true);
        assertThatThrownBy(() -> pause(store, guest)).hasMessage("failed after " + failing);
        boolean switched = failing.compareTo(StoreStep.MANIFEST_SWITCHED) >= 0;
        requireHolds(store, switched ? guest : old);
        requireHolds(GenerationStore.open(directory, base), switched ? guest : old);
        pause(store, guest);
        requireHolds(store, guest);
        guest.fill(4, 9);
        pause(store, guest);
        SimulatedGuest merged = guest.copy();
        armed.set(true);
        assertThatThrownBy(store::merge).hasMessage("failed after " + failing);
        requireHolds(store, merged);
        store.merge();
        requireHolds(GenerationStore.open(directory, base), merged);
        assertThat(filesIn(directory)).hasSize(4);
    }

    /** What kill -9 leaves: the directory as it is at that moment, with no code running after it. */
    @Test
    void aProcessThatEndsAtAnyStepLeavesTheOldOrTheNewStoreWhole() throws IOException {
        List<Path> copies = new ArrayList<>();
        List<SimulatedGuest> wanted = new ArrayList<>();
        SimulatedGuest[] held = {guest.copy()};
        GenerationStore store = GenerationStore.open(directory, base, step -> {
            Path copy = scratch.resolve("killed-" + copies.size() + "-" + step);
            Command.of("cp", "-a", directory.toString(), copy.toString()).run();
            copies.add(copy);
            wanted.add(step.compareTo(StoreStep.MANIFEST_SWITCHED) >= 0 ? guest.copy() : held[0]);
        });
        for (int round = 0; round < 3; round++) {
            guest.fill(round, 0);
            guest.setByte(7 - round, 5, round + 1);
            guest.drop(round + 1);
            pause(store, guest);
            held[0] = guest.copy();
        }
        store.merge();
        assertThat(copies).hasSize(4 * COMMIT_STEPS.size());
        for (int i = 0; i < copies.size(); i++) {
            GenerationStore again = GenerationStore.open(copies.get(i), base);
            requireHolds(again, wanted.get(i));
            assertThat(filesIn(copies.get(i)))
                    .as("%s", copies.get(i))
                    .hasSize(1 + 3 * again.generations().size());
            pause(again, guest);
            requireHolds(again, guest);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"header", "diff", "checksums", "device-state"})
    void aMissingFileIsAnErrorThatNamesIt(String name) throws IOException {
        BuildId build = pauseTwice();
        Files.delete(directory.resolve(build.toString()).resolve(name));
        requireDamage("the file " + name + " of generation " + build + " is missing");
    }

    @ParameterizedTest
    @ValueSource(strings = {"header", "diff", "checksums", "device-state"})
    void anAlteredFileIsAnErrorThatNamesIt(String name) throws IOException {
        BuildId build = pauseTwice();
        Path file = directory.resolve(build.toString()).resolve(name);
        byte[] content = Files.readAllBytes(file);
        for (int at : new int[] {0, content.length / 2, content.length - 1}) {
            byte[] altered = content.clone();
            altered[at] ^= 1;
            Files.write(file, altered);
            requireDamage("the file " + name + " of generation " + build + " was altered");
        }
        Files.write(file, java.util.Arrays.copyOf(content, content.length - 1));
        requireDamage("the file " + name + " of generation " + build);
        Files.write(file, content);
        requireHolds(GenerationStore.open(directory, base), guest);
    }

    private BuildId pauseTwice() {
        GenerationStore store = GenerationStore.open(directory, base);
        guest.fill(1, 11);
        pause(store, guest);
        guest.fill(2, 12);
        try (Draft draft = store.begin()) {
            draft.save(guest);
            Files.writeString(draft.directory().resolve("device-state"), "state");
            draft.commit();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
        return store.generations().getLast();
    }

    private void requireDamage(String message) {
        assertThatThrownBy(() -> GenerationStore.open(directory, base).requireIntact())
                .isInstanceOf(PlatformException.class)
                .hasMessageContaining(message)
                .hasMessageNotContaining(scratch.toString());
        assertThatThrownBy(() -> GenerationStore.open(directory, base).merge()).hasMessageContaining(message);
    }

    @Test
    void aManifestOfAnotherFormatIsNamedAndNothingIsRemoved() throws IOException {
        pauseTwice();
        Path manifest = directory.resolve("manifest");
        byte[] content = Files.readAllBytes(manifest);
        String text = new String(content, StandardCharsets.US_ASCII);
        String later = text.substring(0, text.lastIndexOf("checksum "))
                .replace("sandglass-memory 1", "sandglass-memory 7\ncolour blue");
        int checksum = Checksums.of(java.nio.ByteBuffer.wrap(later.getBytes(StandardCharsets.US_ASCII)));
        Files.writeString(manifest, later + String.format("checksum %08x\n", checksum));
        List<String> files = filesIn(directory);
        assertThatThrownBy(() -> GenerationStore.open(directory, base).requireIntact())
                .isInstanceOfSatisfying(
                        PlatformException.class,
                        refused -> assertThat(refused.code()).isEqualTo(ErrorCode.INCOMPATIBLE_SNAPSHOT))
                .hasMessageContaining("version 7, this Sandglass knows 1");
        assertThat(filesIn(directory)).isEqualTo(files);
        Files.write(manifest, content);
        requireHolds(GenerationStore.open(directory, base), guest);
    }

    @Test
    void aMissingOrAlteredManifestOrAnotherBaseIsAnError() throws IOException {
        pauseTwice();
        Path manifest = directory.resolve("manifest");
        byte[] content = Files.readAllBytes(manifest);
        for (int at = 0; at < content.length; at++) {
            byte[] altered = content.clone();
            altered[at] ^= 1;
            Files.write(manifest, altered);
            requireDamage("its manifest was altered");
        }
        Files.delete(manifest);
        requireDamage("its manifest is missing");
        Files.write(manifest, content);
        Base other = Base.flat(BuildId.named("other"), guest.bytes(), base.file());
        assertThatThrownBy(() -> GenerationStore.open(directory, other)).hasMessageContaining("build on");
        requireHolds(GenerationStore.open(directory, base), guest);
    }

    @Test
    void aLiveGuestIsSavedInFullOverDamagedGenerations() throws IOException {
        pauseTwice();
        List<String> files = filesIn(directory);
        assertThat(files).hasSize(8);
        for (String name : files) {
            if (name.endsWith("device-state")) {
                continue; // each pause brings its own
            }
            Path copy = scratch.resolve("damaged-" + name.replace('/', '-'));
            Command.of("cp", "-a", directory.toString(), copy.toString()).run();
            GenerationStore opened = GenerationStore.open(copy, base);
            Files.delete(copy.resolve(name));
            if (!name.equals("manifest")) {
                pause(opened, guest);
                requireHolds(GenerationStore.open(copy, base), guest);
                GenerationStore.remove(copy);
                Command.of("cp", "-a", directory.toString(), copy.toString()).run();
                Files.delete(copy.resolve(name));
            }
            GenerationStore reopened = GenerationStore.open(copy, base);
            List<String> left = filesIn(copy);
            for (ThrowingCallable use : List.<ThrowingCallable>of(
                    reopened::header,
                    reopened::generations,
                    reopened::image,
                    reopened::merge,
                    () -> reopened.requireAttachment("device-state"),
                    () -> reopened.linkTo(scratch.resolve("link")))) {
                assertThatThrownBy(use).isInstanceOf(PlatformException.class).hasMessageContaining("is missing");
            }
            assertThat(filesIn(copy)).isEqualTo(left);
            Draft.Saved saved = pause(reopened, guest);
            assertThat(saved.changed()).isEqualTo(2);
            assertThat(filesIn(copy)).hasSize(4);
            requireHolds(reopened, guest);
            requireHolds(GenerationStore.open(copy, base), guest);
        }
    }

    @Test
    void aPageThatWasAlteredOnDiskIsNotTakenForOneThatTheGuestChanged() throws IOException {
        pauseTwice();
        GenerationStore store = GenerationStore.open(directory, base);
        BuildId first = store.generations().getFirst();
        Path diff = directory.resolve(first.toString()).resolve("diff");
        byte[] content = Files.readAllBytes(diff);
        content[1234] ^= 8;
        Files.write(diff, content);
        assertThatThrownBy(store::verifiedImage)
                .hasMessageContaining("the file diff of generation " + first + " was altered at byte 0");
        assertThatThrownBy(() -> {
                    try (MemoryImage image = store.image()) {
                        guest.restored(image);
                    }
                })
                .isInstanceOf(PlatformException.class)
                .hasMessageContaining("was altered");
        assertThat(pause(store, guest)).isEqualTo(new Draft.Saved(2, 2, 0, 8192));
        assertThat(store.generations()).hasSize(1);
        requireHolds(GenerationStore.open(directory, base), guest);
    }

    @Test
    void aLinkedStoreLivesOnWithoutTheOther() throws IOException {
        pauseTwice();
        GenerationStore store = GenerationStore.open(directory, base);
        Path snapshot = scratch.resolve("snapshot");
        store.linkTo(snapshot);
        SimulatedGuest then = guest.copy();
        assertThatThrownBy(() -> store.linkTo(snapshot)).isInstanceOf(IllegalStateException.class);
        assertThat(filesIn(snapshot)).isEqualTo(filesIn(directory));
        long allocated = store.allocatedBytes();
        guest.fill(2, 99);
        guest.fill(3, 0);
        pause(store, guest);
        store.merge();
        requireHolds(GenerationStore.open(snapshot, base), then);
        Path clone = scratch.resolve("clone");
        GenerationStore.open(snapshot, base).linkTo(clone);
        GenerationStore.remove(directory);
        GenerationStore.remove(snapshot);
        GenerationStore left = GenerationStore.open(clone, base);
        requireHolds(left, then);
        assertThat(left.requireAttachment("device-state")).hasContent("state");
        assertThat(left.allocatedBytes()).isEqualTo(allocated);
        pause(left, guest);
        requireHolds(left, guest);
    }

    @Test
    void aStoreWithoutGenerationsCanBeLinkedAsWell() throws IOException {
        GenerationStore.open(directory, base).linkTo(scratch.resolve("other"));
        requireHolds(GenerationStore.open(scratch.resolve("other"), base), guest);
    }

    @Test
    void linkingWhileAMergeRunsGivesTheOldOrTheNewFilesWhole() throws IOException {
        List<GenerationStore> stores = new ArrayList<>();
        List<Path> links = new ArrayList<>();
        AtomicBoolean link = new AtomicBoolean();
        GenerationStore store = GenerationStore.open(directory, base, step -> {
            if (link.get() && COMMIT_STEPS.contains(step)) {
                Path to = scratch.resolve("link-" + step);
                stores.getFirst().linkTo(to);
                links.add(to);
            }
        });
        stores.add(store);
        for (int round = 0; round < 3; round++) {
            guest.fill(round, 100 + round);
            pause(store, guest);
        }
        link.set(true);
        store.merge();
        assertThat(links).hasSize(COMMIT_STEPS.size());
        for (Path to : links) {
            requireHolds(GenerationStore.open(to, base), guest);
        }
    }

    @Test
    void aProcessThatEndsWhileLinkingLeavesTheFirstStoreWholeAndTheOtherWholeOrNone() throws IOException {
        pauseTwice();
        List<Path> copies = new ArrayList<>();
        GenerationStore store = GenerationStore.open(directory, base, step -> {
            Path copy = scratch.resolve("killed-" + step);
            Command.of("cp", "-a", scratch.resolve("other").toString(), copy.toString())
                    .run();
            copies.add(copy);
        });
        store.linkTo(scratch.resolve("other"));
        assertThat(copies).hasSize(2);
        assertThatThrownBy(() -> GenerationStore.open(copies.getFirst(), base).image())
                .hasMessageContaining("its manifest is missing");
        requireHolds(GenerationStore.open(copies.getLast(), base), guest);
        GenerationStore failing = GenerationStore.open(directory, base, step -> {
            throw new IllegalStateException("failed after " + step);
        });
        assertThatThrownBy(() -> failing.linkTo(scratch.resolve("third"))).hasMessageStartingWith("failed after");
        assertThat(scratch.resolve("third")).doesNotExist();
        requireHolds(failing, guest);
    }

    @Test
    void aGuestThatBeganWithNothingHasOnlyWhatItWrote() throws IOException {
        SimulatedGuest fresh = new SimulatedGuest(0, 0, 0, 0);
        base = Base.zero(fresh.bytes(), Files.createFile(scratch.resolve("empty")));
        GenerationStore store = GenerationStore.open(directory, base);
        fresh.touch(0);
        fresh.fill(1, 5);
        fresh.fill(2, 6);
        assertThat(pause(store, fresh)).isEqualTo(new Draft.Saved(3, 2, 0, 8192));
        fresh.drop(1);
        fresh.fill(2, 0);
        assertThat(pause(store, fresh)).isEqualTo(new Draft.Saved(2, 1, 1, 0));
        requireHolds(GenerationStore.open(directory, base), fresh);
    }

    /** With each amount of free space up to what is needed: every write of a pause, merge and link fails once. */
    @Test
    void whenTheDiskIsFullNothingHappensAndItWorksAgainWithSpace() throws IOException {
        Files.createDirectory(directory);
        Command.of("mount", "-t", "tmpfs", "-o", "size=256k", "none", directory.toString())
                .run();
        try {
            Path home = directory.resolve("memory");
            GenerationStore store = GenerationStore.open(home, base);
            guest.fill(1, 11);
            pause(store, guest);
            guest.fill(2, 12);
            pause(store, guest);
            requireDoneOnlyWithSpace(store, home, () -> {
                for (int page = 0; page < 8; page++) {
                    guest.fill(page, 20 + page);
                }
                pause(store, guest);
            });
            guest.fill(3, 1);
            pause(store, guest);
            requireDoneOnlyWithSpace(store, home, store::merge);
            assertThat(store.generations()).hasSize(1);
            requireDoneOnlyWithSpace(store, home, () -> store.linkTo(directory.resolve("link")));
            requireHolds(GenerationStore.open(directory.resolve("link"), base), guest);
        } finally {
            Command.of("umount", directory.toString()).run();
        }
    }

    private void requireDoneOnlyWithSpace(GenerationStore store, Path home, Runnable action) throws IOException {
        Path ballast = directory.resolve("ballast");
        SimulatedGuest old = guest.copy();
        for (int free = 0; ; free += 4 << 10) {
            fill(ballast, free);
            List<String> before = filesIn(directory);
            try {
                action.run();
                assertThat(free).isPositive();
                return;
            } catch (PlatformException e) {
                assertThat(e.code()).isEqualTo(ErrorCode.DISK_FULL);
                assertThat(e).hasMessageContaining("Free some space");
                assertThat(filesIn(directory)).isEqualTo(before);
                requireHolds(store, old);
                requireHolds(GenerationStore.open(home, base), old);
            } finally {
                Files.delete(ballast);
            }
        }
    }

    private static void fill(Path ballast, int free) throws IOException {
        try (var file = new RandomAccessFile(ballast.toFile(), "rw")) {
            long length = 0;
            try {
                while (true) {
                    file.write(new byte[4096]);
                    length += 4096;
                }
            } catch (IOException e) {
                file.setLength(Math.max(0, length - free));
            }
        }
    }

    @Test
    void aPackedBaseServesAsWell() throws IOException {
        Path packed = scratch.resolve("packed");
        Header generation0;
        try (DiffWriter writer = new DiffWriter(packed, HeaderTest.U, guest.bytes(), DiffWriter.Cache.KEEP)) {
            byte[] page = new byte[4096];
            for (int i = 0; i < 8; i++) {
                guest.read(i * 4096L, java.nio.ByteBuffer.wrap(page));
                writer.append(i, java.nio.ByteBuffer.wrap(page));
            }
            writer.flush();
            generation0 = new Header(guest.bytes(), 0, HeaderTest.U, HeaderTest.U, writer.entries());
        }
        base = new Base(generation0, packed);
        GenerationStore store = GenerationStore.open(directory, base);
        guest.fill(0, 7);
        guest.fill(5, 0);
        guest.fill(6, 8);
        pause(store, guest);
        guest.drop(5);
        guest.drop(0);
        guest.fill(4, 1);
        pause(store, guest);
        requireHolds(GenerationStore.open(directory, base), guest);
    }
}
