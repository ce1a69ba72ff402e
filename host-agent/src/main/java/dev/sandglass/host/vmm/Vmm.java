package dev.sandglass.host.vmm;

import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.process.ProcessIdentity;
import java.nio.file.Path;

/**
 * Makes virtual machines, each a confined process of its own that outlives this one. Thread-safe; calls block. A call
 * that fails has ended the process it started and throws {@link VmmFailed}, or {@code DeadlineExceeded}.
 */
public interface Vmm extends AutoCloseable {
    VmmIdentity identity();

    /** A machine that is running. */
    VirtualMachine boot(MachinePlan plan, BootSource source, Deadline deadline);

    /** A machine with its state loaded and its vCPUs stopped: {@link VirtualMachine#continueVcpus} starts it. */
    VirtualMachine restore(MachinePlan plan, FrozenState state, MemoryLoader loader, Deadline deadline);

    /** A VM that an earlier agent started in {@code directory}. Of a dead one {@link VirtualMachine#exit} is complete. */
    VirtualMachine adopt(Path directory, ProcessIdentity identity);

    /** Lets go of its machines, which go on and can be adopted. */
    @Override
    void close();
}
