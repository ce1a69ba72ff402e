package dev.sandglass.host.vmm;

import dev.sandglass.host.linux.FileDescriptor;

/**
 * What a machine is restored from; both belong to the caller.
 *
 * @param memory sealed memfd with the frozen memory, or {@link ZeroMemory}; mapped privately: the pages a VM does not write
 *     are shared by all
 * @param deviceState in a file or memfd
 * @param devicesOnly true: what {@link VirtualMachine#saveDeviceState} wrote. False: what {@link
 *     VirtualMachine#saveTemplateState} wrote
 */
public record FrozenState(FileDescriptor memory, FileDescriptor deviceState, boolean devicesOnly) {}
