package dev.sandglass.host.agent;

import dev.sandglass.contract.host.v1.HostCapacity;
import java.util.function.IntSupplier;
import java.util.function.Supplier;

/** What this host has and how much of it is free now. Thread-safe. */
record Capacity(Admission admission, IntSupplier livingSandboxes, String accelerator)
        implements Supplier<HostCapacity> {
    @Override
    public HostCapacity get() {
        return HostCapacity.newBuilder()
                .setVcpus(Runtime.getRuntime().availableProcessors())
                .setMemoryMb((int) (admission.memory("MemTotal") >> 20))
                .setMemoryAvailableMb((int) (admission.memory("MemAvailable") >> 20))
                .setDiskFreeBytes(admission.diskFreeBytes())
                .setSandboxes(livingSandboxes.getAsInt())
                .setAccelerator(accelerator)
                .build();
    }
}
