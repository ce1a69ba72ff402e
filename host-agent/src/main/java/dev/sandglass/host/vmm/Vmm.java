package dev.sandglass.host.vmm;

import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.process.ProcessIdentity;
import java.nio.file.Path;
import java.util.List;

/**
 * Makes virtual machines, each a confined process of its own that outlives this one. Thread-safe; calls block. A call
 * that fails has ended the process it started and throws {@link VmmFailed}, or {@code DeadlineExceeded}.
 */
public interface Vmm extends AutoCloseable {
    VmmIdentity identity();

    /**
     * A machine that is running.
     *
     * @param ownDisk as of {@link BlankMachine#restore}
     */
    VirtualMachine boot(MachinePlan plan, List<BlockLayer> ownDisk, BootSource source, Deadline deadline);

    /**
     * A process for a machine that is restored later.
     *
     * @param memory sealed memfd with a template's memory, or {@link ZeroMemory}; mapped privately: the pages that a VM
     *     does not write are shared by all. Open until this returns; the caller's
     * @param form of the state that it will be given
     */
    BlankMachine prepare(MachinePlan plan, FileDescriptor memory, StateForm form, Deadline deadline);

    /** A VM that an earlier agent started in {@code directory}. Of a dead one {@link VirtualMachine#exit} is complete. */
    VirtualMachine adopt(Path directory, ProcessIdentity identity);

    /** Lets go of its machines, which go on and can be adopted. */
    @Override
    void close();
}
