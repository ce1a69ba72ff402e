package dev.sandglass.host.vmm;

import dev.sandglass.host.linux.FileDescriptor;
import java.nio.file.Path;

/**
 * What a machine boots from.
 *
 * @param kernelArguments without a console, which the VMM adds
 * @param memory empty memfd of the plan's memory size; mapped shared, so that it holds the guest's memory afterwards.
 *     Belongs to the caller
 */
public record BootSource(Path kernel, Path initramfs, String kernelArguments, FileDescriptor memory) {}
