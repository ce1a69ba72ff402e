/**
 * The contract of a virtual machine monitor: boot once with shared memory, keep the frozen state, and from then on
 * restore it any number of times over a private mapping of that memory. Knows processes and file descriptors; knows
 * nothing of templates, networks, disks' formats beyond raw and qcow2, or what runs in a guest: it gets paths and names.
 * Implementations: {@code vmm.qemu}. Every one passes {@code VmmContractTest}.
 */
@NullMarked
package dev.sandglass.host.vmm;

import org.jspecify.annotations.NullMarked;
