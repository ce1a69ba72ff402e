package dev.sandglass.host.vmm;

import java.nio.file.Path;
import java.util.List;

/**
 * One machine to be: all that does not depend on whose it becomes.
 *
 * @param name for messages and process lists
 * @param directory made if absent, this VM's own: socket, stderr, exit status
 * @param memoryMb in MiB; also the size of the memory it is given
 * @param baseDisk the layers that others read as well, top first; the machine's own come on top of them later
 */
public record MachinePlan(
        String name, Path directory, int vcpus, int memoryMb, List<BlockLayer> baseDisk, Confinement confinement) {
    public MachinePlan {
        baseDisk = List.copyOf(baseDisk);
        if (vcpus < 1 || memoryMb < 1) {
            throw new IllegalArgumentException(name + ": needs a vCPU and memory");
        }
    }
}
