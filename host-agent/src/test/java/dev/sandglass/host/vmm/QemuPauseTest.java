package dev.sandglass.host.vmm;

import dev.sandglass.host.image.BootImages;
import dev.sandglass.host.process.Processes;
import dev.sandglass.host.vmm.qemu.QemuConfiguration;
import dev.sandglass.host.vmm.qemu.QemuVmm;

/** QEMU with whatever acceleration this machine really has. */
final class QemuPauseTest extends PauseContractTest {
    @Override
    Vmm vmm(Processes processes, BootImages images) {
        return QemuVmm.probe(processes, QemuConfiguration.standard(), images::kernel);
    }
}
