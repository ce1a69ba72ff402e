package dev.sandglass.host.agent;

import dev.sandglass.host.disk.DiskLayer;
import dev.sandglass.host.disk.Disks;
import dev.sandglass.host.image.Template;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.network.Networks;
import dev.sandglass.host.network.Slot;
import dev.sandglass.host.process.Cgroup;
import dev.sandglass.host.process.CgroupLimits;
import dev.sandglass.host.process.Cgroups;
import dev.sandglass.host.vmm.BlockLayer;
import dev.sandglass.host.vmm.Confinement;
import dev.sandglass.host.vmm.MachinePlan;
import dev.sandglass.host.vmm.Vmm;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.stream.Stream;

/**
 * The implementations this host uses for each contract, and how their types translate into each other. Owns none of
 * them.
 */
record Host(Vmm vmm, Disks disks, Networks networks, Cgroups cgroups, long rootDiskBytes) {
    /**
     * What a VMM needs on top of its guest's memory before the guest's own out-of-memory killer has to come first:
     * translation cache (32 MiB), its twin of metadata, device queues, page tables. Measured 70 MiB at most with TCG.
     */
    private static final long VMM_OVERHEAD_BYTES = 192L << 20;
    /** Threads of a VMM: vCPUs, main loop, I/O workers (at most 64), and the supervisor. */
    private static final int PIDS_MAX = 128;
    /** Of one core in percent, on top of what the vCPUs may use: the VMM's own I/O thread. */
    private static final int CPU_OVERHEAD_PERCENT = 25;

    /** What every disk on this template builds on, top first. */
    static List<DiskLayer> layers(Template template) {
        return template.diskFilesTopFirst().stream()
                .map(file -> new DiskLayer(
                        file, file.toString().endsWith(".qcow2") ? DiskLayer.Format.QCOW2 : DiskLayer.Format.RAW))
                .toList();
    }

    /**
     * The guest's memory counts twice: where its template has a hole, the first guest that touches the page is charged for
     * the page that the kernel puts into the template's memfd, besides its own copy. With less, a guest that used all of
     * its memory was killed by the limit.
     */
    Cgroup createCgroup(String name, int vcpus, int memoryMb) {
        return cgroups.create(
                name,
                new CgroupLimits(
                        2 * ((long) memoryMb << 20) + VMM_OVERHEAD_BYTES,
                        vcpus * 100 + CPU_OVERHEAD_PERCENT,
                        PIDS_MAX));
    }

    /** @param directory where the VM keeps its sockets, pid, exit status and error output */
    MachinePlan plan(Path directory, String name, Machines.Frame frame, Slot slot, Cgroup cgroup) {
        return new MachinePlan(
                name,
                directory,
                frame.vcpus(),
                frame.memoryMb(),
                blockLayers(frame.baseDisk()),
                new Confinement(slot.uid(), slot.namespace(), slot.tap(), cgroup.procsFiles()));
    }

    static List<BlockLayer> blockLayers(List<DiskLayer> layers) {
        return layers.stream()
                .map(layer -> new BlockLayer(layer.file(), layer.format() == DiskLayer.Format.QCOW2))
                .toList();
    }

    /** With parents, readable by root alone. */
    static void createDirectory(Path directory) {
        try {
            Files.createDirectories(
                    directory, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        } catch (IOException e) {
            throw new UncheckedIOException("create " + directory, e);
        }
    }

    /** Of all files in it, in blocks on disk and not by length. */
    static long allocatedBytes(Path directory) {
        try (Stream<Path> files = Files.walk(directory)) {
            return files.mapToLong(file -> Linux.statx(file).allocatedBytes()).sum();
        } catch (IOException e) {
            throw new UncheckedIOException("measure " + directory.getFileName(), e);
        }
    }

    /** Recursively, without following links; idempotent. */
    static void removeDirectory(Path directory) {
        try {
            Files.walkFileTree(directory, new SimpleFileVisitor<>() {
                @Override
                public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                    Files.deleteIfExists(file);
                    return FileVisitResult.CONTINUE;
                }

                @Override
                public FileVisitResult postVisitDirectory(
                        Path folder, @org.jspecify.annotations.Nullable IOException failure) throws IOException {
                    if (failure != null) {
                        throw failure;
                    }
                    Files.deleteIfExists(folder);
                    return FileVisitResult.CONTINUE;
                }
            });
        } catch (NoSuchFileException e) {
            return; // removed already
        } catch (IOException e) {
            throw new UncheckedIOException("remove " + directory, e);
        }
    }
}
