package dev.sandglass.host.disk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.Command;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Read and written by QEMU itself, through an explicit chain as the VMM is given it. */
class Qcow2DisksTest extends DisksContract {
    @Override
    Disks disks() {
        return new Qcow2Disks();
    }

    private static String chain(Disk disk) {
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

    @Test
    void aFullDiskIsToldAsSuchAndLeavesNothing() throws IOException {
        Path full = Files.createDirectories(root.resolve("full"));
        Command.of("mount", "-t", "tmpfs", "-o", "size=8k", "sandglass-test", full.toString())
                .run();
        try {
            assertThatThrownBy(() -> create("full", MIB, base))
                    .isInstanceOfSatisfying(
                            PlatformException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.DISK_FULL));
            assertThat(full).isEmptyDirectory();
        } finally {
            Command.of("umount", full.toString()).run();
        }
    }
}
