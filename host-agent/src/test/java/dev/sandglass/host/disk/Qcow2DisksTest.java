package dev.sandglass.host.disk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.Command;
import dev.sandglass.host.linux.Linux;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Read and written by QEMU itself, through an explicit chain as the VMM is given it. */
class Qcow2DisksTest extends DisksContract {
    @Override
    Disks disks() {
        return new Qcow2Disks();
    }

    static String chain(Disk disk) {
        StringBuilder options = new StringBuilder();
        String prefix = "";
        for (DiskLayer layer : disk.layers()) {
            options.append(options.isEmpty() ? "" : ",")
                    .append(prefix + "driver=" + layer.format().name().toLowerCase(Locale.ROOT))
                    .append("," + prefix + "file.driver=file," + prefix + "file.filename=" + layer.file());
            prefix += "backing.";
        }
        return options.toString();
    }

    @Override
    void write(Disk disk, long offset, long length, int value) {
        Command.of("qemu-io", "-c", "write -P " + value + " " + offset + " " + length, "--image-opts", chain(disk))
                .run();
    }

    @Override
    boolean holds(Disk disk, long offset, long length, int value) {
        String out = Command.of(
                        "sh",
                        "-c",
                        "qemu-io -r -c \"$1\" --image-opts \"$2\" || true",
                        "sh",
                        "read -P " + value + " " + offset + " " + length,
                        chain(disk))
                .run();
        assertThat(out).contains("read " + length + "/" + length + " bytes").isNotEmpty();
        return !out.contains("Pattern verification failed");
    }

    private static void check(Disk disk) {
        Command.of(
                        "qemu-img",
                        "check",
                        "-f",
                        "qcow2",
                        disk.layers().getFirst().file().toString())
                .run();
    }

    @Test
    void qemuFindsNoFaultInItEmptyOrWritten() throws IOException {
        for (long bytes : new long[] {512, MIB, 8L << 30, Qcow2Image.VIRTUAL_BYTES_MAX}) {
            Disk disk = create("d" + bytes, bytes, base);
            check(disk);
            write(disk, bytes - 512, 512, 3);
            check(disk);
            String info = Command.of(
                            "qemu-img",
                            "info",
                            "--output=json",
                            disk.layers().getFirst().file().toString())
                    .run();
            assertThat(info)
                    .contains("\"virtual-size\": " + bytes)
                    .contains("\"extended-l2\": true")
                    .doesNotContain("backing");
        }
    }

    @Test
    void aSmallWriteCopiesNothingUpFromBelow() throws IOException {
        Disk disk = create("a", 16 * MIB, base);
        write(disk, 0, 4096, 3);
        long one = disk.allocatedBytes();
        write(disk, 8 * MIB, 4096, 3);
        assertThat(disk.allocatedBytes() - one).isLessThanOrEqualTo(8 << 10);
    }

    static Stream<byte[]> damagedImages() {
        byte[] wrongVersion = new byte[200];
        System.arraycopy(new byte[] {'Q', 'F', 'I', (byte) 0xfb, 0, 0, 0, 2}, 0, wrongVersion, 0, 8);
        return Stream.of(new byte[0], new byte[] {'Q', 'F', 'I', (byte) 0xfb}, new byte[4096], wrongVersion);
    }

    @ParameterizedTest
    @MethodSource("damagedImages")
    void aDamagedOneIsRefused(byte[] content) throws IOException {
        Path directory = Files.createDirectories(root.resolve("a"));
        Files.write(directory.resolve("disk-0001.qcow2"), content);
        assertThatThrownBy(() -> disks.open(directory, List.of(base)))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("disk-0001.qcow2");
        DiskLayer layer = new DiskLayer(directory.resolve("disk-0001.qcow2"), DiskLayer.Format.QCOW2);
        assertThatThrownBy(() -> create("b", MIB, layer, base)).isInstanceOf(IllegalStateException.class);
    }

    /** Every second 4 KiB of 1 MiB, by turns in 7 layers, then 1 MiB of zeroes. */
    private Disk scattered(Disks disks, Path directory) {
        Disk disk = disks.create(directory, List.of(base), 16 * MIB, soon());
        for (int layer = 1; layer <= 7; layer++) {
            List<String> argv = new ArrayList<>(List.of("qemu-io"));
            for (int page = 2 * layer; page < 256; page += 14) {
                argv.addAll(List.of("-c", "write -q -P " + layer + " " + page * 4096 + " 4096"));
            }
            argv.addAll(List.of("-c", "write -q -z " + (MIB + layer * 100_352L) + " 100352"));
            argv.addAll(List.of("--image-opts", chain(disk)));
            Command.of(argv).run();
            disk = disks.push(directory, List.of(base), soon());
        }
        return disk;
    }

    private void requireScattered(Disk disk) {
        assertThat(holds(disk, 0, 4096, 1)).isTrue();
        for (int page = 2; page < 20; page += 2) {
            assertThat(holds(disk, page * 4096L, 4096, (page - 2) / 2 % 7 + 1)).isTrue();
            assertThat(holds(disk, page * 4096L + 4096, 4096, 1)).isTrue();
        }
        assertThat(holds(disk, MIB + 100_352, 7 * 100_352, 0)).isTrue();
        assertThat(holds(disk, MIB + 8 * 100_352, MIB, 1)).isTrue();
    }

    @Test
    void aMergeCopiesNothingFromBelowAndKeepsHoles() throws IOException {
        Path directory = Files.createDirectories(root.resolve("a"));
        scattered(disks, directory);
        disks.merge(directory, List.of(base), soon());
        Disk disk = disks.open(directory, List.of(base));
        requireScattered(disk);
        DiskLayer merged = disk.own().getLast();
        Command.of("qemu-img", "check", "-f", "qcow2", merged.file().toString()).run();
        assertThat(Linux.statx(merged.file()).allocatedBytes()).isLessThan(MIB / 2 + (256 << 10));
    }

    /** What kill -9 leaves: the directory as it is at that moment, with no code running after it. */
    @Test
    void aProcessThatEndsAtAnyStepLeavesTheDiskWhole() throws IOException {
        Path directory = Files.createDirectories(root.resolve("a"));
        scattered(disks, directory);
        List<Path> copies = new ArrayList<>();
        Disks observed = new Qcow2Disks(step -> {
            Path copy = root.resolve("killed-" + copies.size() + "-" + step);
            Command.of("cp", "-a", directory.toString(), copy.toString()).run();
            copies.add(copy);
        });
        observed.merge(directory, List.of(base), soon());
        observed.push(directory, List.of(base), soon());
        assertThat(copies).hasSize(2 + 6 + 2);
        for (Path copy : copies) {
            requireScattered(disks.open(copy, List.of(base)));
            disks.push(copy, List.of(base), soon());
            disks.merge(copy, List.of(base), soon());
            Disk again = disks.open(copy, List.of(base));
            assertThat(again.own()).hasSize(2);
            requireScattered(again);
            assertThat(copy.toFile().list()).hasSize(2);
        }
    }

    static Stream<Arguments> hostileHeaders() {
        return Stream.of(Arguments.of(8, 1), Arguments.of(32, 1), Arguments.of(72, 4), Arguments.of(72, 1 << 8));
    }

    /** A backing file, encryption, an external data file, a feature that there is not. */
    @ParameterizedTest
    @MethodSource("hostileHeaders")
    void aLayerThatCouldLeadToOtherFilesIsNotMerged(int offset, int bit) throws IOException {
        Disk disk = create("a", MIB, base);
        push("a");
        Disk before = push("a");
        try (RandomAccessFile file = new RandomAccessFile(disk.top().file().toFile(), "rw")) {
            int at = offset + (offset == 32 ? 3 : 7) - (bit > 255 ? 1 : 0);
            file.seek(at);
            int value = file.read();
            file.seek(at);
            file.write(value | (bit > 255 ? bit >> 8 : bit));
        }
        assertThatThrownBy(() -> disks.merge(root.resolve("a"), List.of(base), soon()))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("disk-0001.qcow2");
        assertThat(disks.open(root.resolve("a"), List.of(base))).isEqualTo(before);
    }

    @Test
    void aFullDiskIsToldAsSuchLeavesTheOldDiskAndIsGoneWithSpace() throws IOException {
        Path full = Files.createDirectories(root.resolve("full"));
        Command.of("mount", "-t", "tmpfs", "-o", "size=4m", "sandglass-test", full.toString())
                .run();
        try {
            Path directory = Files.createDirectory(full.resolve("a"));
            Path ballast = full.resolve("ballast");
            fill(ballast);
            requireDiskFull(() -> disks.create(directory, List.of(base), MIB, soon()));
            assertThat(directory).isEmptyDirectory();
            Files.delete(ballast);
            Disk disk = scattered(disks, directory);
            fill(ballast);
            requireDiskFull(() -> disks.push(directory, List.of(base), soon()));
            requireDiskFull(() -> disks.merge(directory, List.of(base), soon()));
            try (var out = new RandomAccessFile(ballast.toFile(), "rw")) {
                out.setLength(out.length() - (300 << 10));
            }
            requireDiskFull(() -> disks.merge(directory, List.of(base), soon()));
            assertThat(disks.open(directory, List.of(base))).isEqualTo(disk);
            assertThat(directory.toFile().list()).hasSize(8);
            Files.delete(ballast);
            disks.push(directory, List.of(base), soon());
            disks.merge(directory, List.of(base), soon());
            requireScattered(disks.open(directory, List.of(base)));
        } finally {
            Command.of("umount", full.toString()).run();
        }
    }

    @Test
    void whereNoMoreNamesCanBeMadeSharingFailsAndLeavesNothing() throws IOException {
        Path full = Files.createDirectories(root.resolve("full"));
        Command.of("mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=11", "sandglass-test", full.toString())
                .run();
        try {
            Path from = Files.createDirectory(full.resolve("a"));
            Path to = Files.createDirectory(full.resolve("b"));
            disks.create(from, List.of(base), MIB, soon());
            for (int layer = 0; layer < 4; layer++) {
                disks.push(from, List.of(base), soon());
            }
            requireDiskFull(() -> disks.shareAll(from, to));
            requireDiskFull(() -> disks.shareFrozen(from, to));
            assertThat(to).isEmptyDirectory();
            Command.of("mount", "-o", "remount,nr_inodes=100", full.toString()).run();
            disks.shareAll(from, to);
            assertThat(disks.open(to, List.of(base)).own()).hasSize(5);
        } finally {
            Command.of("umount", full.toString()).run();
        }
    }

    private static void fill(Path ballast) throws IOException {
        try (var out = Files.newOutputStream(ballast)) {
            byte[] block = new byte[4096];
            while (true) {
                out.write(block);
            }
        } catch (IOException e) {
            assertThat(e).hasMessageContaining("No space left");
        }
    }

    private static void requireDiskFull(ThrowingCallable call) {
        assertThatThrownBy(call).isInstanceOfSatisfying(PlatformException.class, e -> {
            assertThat(e.code()).isEqualTo(ErrorCode.DISK_FULL);
            assertThat(e).hasMessageContaining("Remove sandboxes or snapshots");
        });
    }
}
