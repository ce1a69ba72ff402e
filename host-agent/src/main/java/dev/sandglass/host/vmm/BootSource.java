package dev.sandglass.host.vmm;

import dev.sandglass.host.linux.FileDescriptor;
import java.nio.file.Path;

/**
 * What a machine boots from.
 *
 * @param kernelArguments without a console, which the VMM adds
 * @param memory shared: an empty memfd of the plan's memory size. Not shared: {@link ZeroMemory}. Belongs to the caller
 * @param sharedMemory true: {@code memory} holds the guest's memory afterwards, so that it can become a template. False:
 *     it is mapped privately, and what the guest writes is the process's own, as after {@link BlankMachine#restore}
 */
public record BootSource(
        Path kernel, Path initramfs, String kernelArguments, FileDescriptor memory, boolean sharedMemory) {}
