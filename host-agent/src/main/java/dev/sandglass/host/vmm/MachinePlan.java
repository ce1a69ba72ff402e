package dev.sandglass.host.vmm;

import java.nio.file.Path;
import java.util.List;

/**
 * One machine to be.
 *
 * @param name for messages and process lists
 * @param directory made if absent, this VM's own: socket, stderr, exit status
 * @param memoryMb in MiB; also the size of the memory given with {@link BootSource} or {@link FrozenState}
 * @param disk top first, at least one layer
 */
public record MachinePlan(
        String name, Path directory, int vcpus, int memoryMb, List<BlockLayer> disk, Confinement confinement) {
    public MachinePlan {
        disk = List.copyOf(disk);
        if (vcpus < 1 || memoryMb < 1 || disk.isEmpty()) {
            throw new IllegalArgumentException(name + ": needs a vCPU, memory and a disk");
        }
    }
}
