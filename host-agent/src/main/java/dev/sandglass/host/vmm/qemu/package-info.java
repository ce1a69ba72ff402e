/**
 * QEMU's microvm machine: command line, confinement, QMP, and the choice between KVM and emulation. Measured facts behind
 * its options are given beside them.
 */
@NullMarked
package dev.sandglass.host.vmm.qemu;

import org.jspecify.annotations.NullMarked;
