package dev.sandglass.host.disk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.DeadlineExceeded;
import dev.sandglass.host.linux.Linux;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What every implementation of {@link Disks} keeps. */
abstract class DisksContract {
    static final long MIB = 1 << 20;

    /** 16 MiB: 1 in the first half, 2 in the second. */
    private static final long BASE_BYTES = 16 * MIB;

    @TempDir
    Path root;

    Disks disks;
    DiskLayer base;

    abstract Disks disks();

    /** Fills a range with a byte, as a guest would. */
    abstract void write(Disk disk, long offset, long length, int value);

    /** Whether a range holds nothing but this byte, as a guest sees it. */
    abstract boolean holds(Disk disk, long offset, long length, int value);

    @BeforeEach
    void prepare() throws IOException {
        byte[] content = new byte[(int) BASE_BYTES];
        Arrays.fill(content, 0, content.length / 2, (byte) 1);
        Arrays.fill(content, content.length / 2, content.length, (byte) 2);
        base = new DiskLayer(Files.write(root.resolve("base"), content), DiskLayer.Format.RAW);
        disks = disks();
    }

    private Path directory(String name) throws IOException {
        return Files.createDirectories(root.resolve(name));
    }

    static Deadline soon() {
        return Deadline.after(Duration.ofSeconds(10));
    }

    Disk create(String name, long bytes, DiskLayer... layers) throws IOException {
        return disks.create(directory(name), List.of(layers), bytes, soon());
    }

    @Test
    void aNewDiskReadsLikeItsBase() throws IOException {
        Disk disk = create("a", BASE_BYTES, base);
        assertThat(holds(disk, 0, BASE_BYTES / 2, 1)).isTrue();
        assertThat(holds(disk, BASE_BYTES / 2, BASE_BYTES / 2, 2)).isTrue();
        assertThat(holds(disk, 0, BASE_BYTES, 1)).isFalse();
    }

    @Test
    void whatIsWrittenStaysInTheDiskAndNextToItTheBaseShines() throws IOException {
        byte[] before = Files.readAllBytes(base.file());
        Disk disk = create("a", BASE_BYTES, base);
        write(disk, 4096, 4096, 7);
        write(disk, BASE_BYTES / 2 - 512, 1024, 8);
        Disk again = disks.open(root.resolve("a"), List.of(base));
        assertThat(holds(again, 0, 4096, 1)).isTrue();
        assertThat(holds(again, 4096, 4096, 7)).isTrue();
        assertThat(holds(again, 8192, BASE_BYTES / 2 - 512 - 8192, 1)).isTrue();
        assertThat(holds(again, BASE_BYTES / 2 - 512, 1024, 8)).isTrue();
        assertThat(holds(again, BASE_BYTES / 2 + 512, BASE_BYTES / 2 - 512, 2)).isTrue();
        assertThat(Files.readAllBytes(base.file())).isEqualTo(before);
    }

    @Test
    void disksOverOneBaseDoNotSeeEachOther() throws IOException {
        Disk one = create("a", BASE_BYTES, base);
        Disk other = create("b", BASE_BYTES, base);
        write(one, 0, MIB, 5);
        write(other, 0, MIB, 6);
        assertThat(holds(one, 0, MIB, 5)).isTrue();
        assertThat(holds(other, 0, MIB, 6)).isTrue();
        assertThat(holds(create("c", BASE_BYTES, base), 0, MIB, 1)).isTrue();
    }

    @Test
    void aDiskMayLieOverAnother() throws IOException {
        Disk template = create("template", BASE_BYTES, base);
        write(template, 0, MIB, 5);
        Disk disk = create("a", BASE_BYTES, template.layers().toArray(DiskLayer[]::new));
        assertThat(disk.layers()).hasSize(3).endsWith(template.layers().toArray(DiskLayer[]::new));
        write(disk, 4096, 4096, 9);
        assertThat(holds(disk, 0, 4096, 5)).isTrue();
        assertThat(holds(disk, 4096, 4096, 9)).isTrue();
        assertThat(holds(disk, MIB, MIB, 1)).isTrue();
        assertThat(holds(template, 0, MIB, 5)).isTrue();
    }

    @Test
    void itCanBeWrittenInFullMoreThanOnce() throws IOException {
        Disk disk = create("a", BASE_BYTES, base);
        for (int value : new int[] {3, 4}) {
            write(disk, 0, BASE_BYTES, value);
            assertThat(holds(disk, 0, BASE_BYTES, value)).isTrue();
        }
    }

    @Test
    void beyondTheBaseItReadsAsZeroes() throws IOException {
        Disk disk = create("a", 8L << 30, base);
        assertThat(holds(disk, BASE_BYTES, MIB, 0)).isTrue();
        write(disk, (8L << 30) - MIB, MIB, 3);
        assertThat(holds(disk, (8L << 30) - MIB, MIB, 3)).isTrue();
    }

    @Test
    void itsSizeOnDiskIsWhatIsAllocatedAndNotItsLength() throws IOException {
        Disk disk = create("a", 8L << 30, base);
        long empty = disk.allocatedBytes();
        assertThat(empty).isLessThanOrEqualTo(64 << 10);
        write(disk, 1L << 30, MIB, 3);
        assertThat(disk.allocatedBytes() - empty).isBetween(MIB, 2 * MIB);
    }

    @Test
    void makingOneTakesNoLongerForALargeDisk() throws IOException {
        create("warm", BASE_BYTES, base);
        long begin = System.nanoTime();
        int count = 100;
        for (int i = 0; i < count; i++) {
            create("d" + i, (i % 2 == 0 ? 1L : 1024L) << 30, base);
        }
        long each = (System.nanoTime() - begin) / count / 1000;
        System.out.println("disk made in " + each + " µs");
        assertThat(each).isLessThan(50_000);
    }

    @Test
    void aSecondOneInTheSamePlaceIsRefusedAndTheFirstStays() throws IOException {
        Disk first = create("a", BASE_BYTES, base);
        write(first, 0, 4096, 9);
        assertThatThrownBy(() -> create("a", BASE_BYTES, base)).isInstanceOf(IllegalStateException.class);
        assertThat(holds(first, 0, 4096, 9)).isTrue();
    }

    @Test
    void removalIsIdempotentAndLeavesWhatIsBelow() throws IOException {
        create("a", BASE_BYTES, base);
        disks.remove(root.resolve("a"));
        disks.remove(root.resolve("a"));
        disks.remove(root.resolve("never-was"));
        assertThat(base.file()).exists();
        assertThat(root.resolve("a")).isEmptyDirectory();
        assertThatThrownBy(() -> disks.open(root.resolve("a"), List.of(base)))
                .isInstanceOf(IllegalStateException.class);
        assertThat(holds(create("a", BASE_BYTES, base), 0, MIB, 1)).isTrue();
    }

    @ParameterizedTest
    @ValueSource(longs = {0, -512, 511, 513, Long.MIN_VALUE, Long.MAX_VALUE, (1L << 62)})
    void aSizeThatIsNoneIsRefusedAndNothingIsMade(long bytes) throws IOException {
        assertThatThrownBy(() -> create("a", bytes, base)).isInstanceOf(IllegalArgumentException.class);
        assertThat(root.resolve("a")).isEmptyDirectory();
    }

    @ParameterizedTest
    @ValueSource(longs = {512, 65_536 + 512, (256L << 20) - 512, (256L << 20) + 512})
    void anyNumberOfSectorsWillDo(long bytes) throws IOException {
        Disk disk = create("a", bytes, base);
        write(disk, bytes - 512, 512, 3);
        assertThat(holds(disk, bytes - 512, 512, 3)).isTrue();
    }

    @Test
    void aMissingOrEmptyLayerIsRefusedAndNamed() throws IOException {
        DiskLayer missing = new DiskLayer(root.resolve("missing"), DiskLayer.Format.RAW);
        DiskLayer empty = new DiskLayer(Files.createFile(root.resolve("empty")), DiskLayer.Format.RAW);
        assertThatThrownBy(() -> create("a", BASE_BYTES, missing)).hasMessageContaining("missing");
        assertThatThrownBy(() -> create("a", BASE_BYTES, empty)).hasMessageContaining("empty");
        assertThatThrownBy(() -> create("a", BASE_BYTES)).isInstanceOf(IllegalArgumentException.class);
        assertThat(root.resolve("a")).isEmptyDirectory();
    }

    @Test
    void afterTheDeadlineNothingIsMade() throws IOException {
        Path directory = directory("a");
        assertThatThrownBy(() -> disks.create(directory, List.of(base), BASE_BYTES, Deadline.after(Duration.ZERO)))
                .isInstanceOf(DeadlineExceeded.class);
        assertThat(directory).isEmptyDirectory();
    }

    Disk push(String name) {
        return disks.push(root.resolve(name), List.of(base), soon());
    }

    private Path merged(String name) {
        Path directory = root.resolve(name);
        disks.merge(directory, List.of(base), soon());
        return directory;
    }

    private long inode(Disk disk) {
        return Linux.statx(disk.top().file()).inode();
    }

    @Test
    void whatIsWrittenAfterAPushLeavesTheLayersBelowAsTheyAre() throws IOException {
        Disk first = create("a", BASE_BYTES, base);
        write(first, 0, MIB, 5);
        byte[] frozen = Files.readAllBytes(first.top().file());
        Disk second = push("a");
        assertThat(second.own()).hasSize(2).endsWith(first.top());
        write(second, 4096, 4096, 6);
        assertThat(holds(second, 0, 4096, 5)).isTrue();
        assertThat(holds(second, 4096, 4096, 6)).isTrue();
        assertThat(holds(second, 8192, MIB - 8192, 5)).isTrue();
        assertThat(Files.readAllBytes(first.top().file())).isEqualTo(frozen);
        assertThat(disks.open(root.resolve("a"), List.of(base))).isEqualTo(second);
    }

    @Test
    void aSnapshotSharesWhatIsFrozenAndLivesOnWithoutItsSandbox() throws IOException {
        write(create("a", BASE_BYTES, base), 0, MIB, 5);
        write(push("a"), 0, 4096, 6);
        disks.shareFrozen(root.resolve("a"), directory("snapshot"));
        disks.shareAll(root.resolve("snapshot"), directory("clone"));
        write(push("clone"), MIB, MIB, 7);
        disks.remove(root.resolve("a"));
        Disk snapshot = disks.open(root.resolve("snapshot"), List.of(base));
        assertThat(holds(snapshot, 0, MIB, 5)).isTrue();
        assertThat(holds(snapshot, MIB, MIB, 1)).isTrue();
        disks.remove(root.resolve("snapshot"));
        Disk clone = disks.open(root.resolve("clone"), List.of(base));
        assertThat(holds(clone, 0, MIB, 5)).isTrue();
        assertThat(holds(clone, MIB, MIB, 7)).isTrue();
    }

    @Test
    void sharingNeedsSomethingFrozenAndAnEmptyPlace() throws IOException {
        create("a", BASE_BYTES, base);
        Path from = root.resolve("a");
        Path to = directory("b");
        assertThatThrownBy(() -> disks.shareFrozen(from, to)).isInstanceOf(IllegalStateException.class);
        push("a");
        disks.shareFrozen(from, to);
        assertThatThrownBy(() -> disks.shareFrozen(from, to)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> disks.shareAll(from, to)).isInstanceOf(IllegalStateException.class);
        assertThat(disks.open(to, List.of(base)).own()).hasSize(1);
    }

    @Test
    void aLayerThatNoMachineSwitchedToIsTakenOffAgain() throws IOException {
        Disk first = create("a", BASE_BYTES, base);
        write(first, 0, 4096, 5);
        push("a");
        Disk third = push("a");
        Path directory = root.resolve("a");
        assertThatThrownBy(() -> disks.discardAbove(directory, 1)).isInstanceOf(IllegalStateException.class);
        assertThat(disks.open(directory, List.of(base))).isEqualTo(third);
        disks.discardAbove(directory, inode(third));
        assertThat(disks.open(directory, List.of(base))).isEqualTo(third);
        disks.discardAbove(directory, inode(first));
        assertThat(disks.open(directory, List.of(base))).isEqualTo(first);
    }

    @Test
    void manyLayersBecomeTwoWithTheSameContentAndSharedOnesStay() throws IOException {
        write(create("a", BASE_BYTES, base), 0, 8 * 4096, 3);
        for (int layer = 1; layer < 8; layer++) {
            assertThat(disks.mergeDue(root.resolve("a"))).isFalse();
            write(push("a"), layer * 4096L, 4096, 10 + layer);
        }
        assertThat(disks.mergeDue(root.resolve("a"))).isTrue();
        disks.shareFrozen(root.resolve("a"), directory("snapshot"));
        long before = disks.open(root.resolve("a"), List.of(base)).allocatedBytes();
        Disk disk = disks.open(merged("a"), List.of(base));
        assertThat(disk.own()).hasSize(2);
        assertThat(disk.allocatedBytes()).isLessThan(before);
        assertThat(holds(disk, 0, 4096, 3)).isTrue();
        for (int layer = 1; layer < 8; layer++) {
            assertThat(holds(disk, layer * 4096L, 4096, 10 + layer)).isTrue();
        }
        assertThat(holds(disk, 8 * 4096, MIB, 1)).isTrue();
        Disk snapshot = disks.open(root.resolve("snapshot"), List.of(base));
        assertThat(snapshot.own()).hasSize(7);
        assertThat(holds(snapshot, 6 * 4096, 4096, 16)).isTrue();
        assertThat(holds(snapshot, 7 * 4096, 4096, 3)).isTrue();
        assertThat(disks.open(merged("a"), List.of(base))).isEqualTo(disk);
    }

    @Test
    void aChainNeverGetsLongerThanItMay() throws IOException {
        create("a", BASE_BYTES, base);
        for (int layer = 1; layer < 40; layer++) {
            Disk disk = push("a");
            assertThat(disk.layers()).hasSizeLessThanOrEqualTo(16);
            write(disk, layer * 4096L, 4096, layer);
        }
        Disk disk = disks.open(root.resolve("a"), List.of(base));
        for (int layer = 1; layer < 40; layer++) {
            assertThat(holds(disk, layer * 4096L, 4096, layer)).isTrue();
        }
    }

    @Test
    void aMergeWithoutTimeLeavesTheOldChain() throws IOException {
        create("a", BASE_BYTES, base);
        push("a");
        Disk disk = push("a");
        Path directory = root.resolve("a");
        for (Duration time : List.of(Duration.ZERO, Duration.ofMillis(5))) {
            assertThatThrownBy(() -> disks.merge(directory, List.of(base), Deadline.after(time)))
                    .isInstanceOf(DeadlineExceeded.class);
            assertThat(disks.open(directory, List.of(base))).isEqualTo(disk);
        }
        assertThat(directory.toFile().list()).hasSize(3);
    }
}
