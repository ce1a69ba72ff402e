package dev.sandglass.host.vmm;

import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileDescriptor;
import java.util.List;

/**
 * A VM process that has its memory and is nobody's yet: it waits for a disk and a state, so it can be started before it is
 * known what for. Nothing to close: it lives until it ends by itself or is killed.
 */
public interface BlankMachine {
    boolean alive();

    /**
     * Makes it a machine with its state loaded and its vCPUs stopped: {@link VirtualMachine#continueVcpus} starts it. Once.
     *
     * @param ownDisk the layers above those of the plan, top first; at least one, on the file system of the machine's
     *     directory. The top is written to, the others become readable by all who reach them
     * @param deviceState the caller's
     * @throws VmmFailed or {@code DeadlineExceeded}, or what {@code loader} threw; the process has ended then
     */
    VirtualMachine restore(
            List<BlockLayer> ownDisk, FileDescriptor deviceState, MemoryLoader loader, Deadline deadline);

    /** SIGKILL, awaited. Idempotent. */
    void kill(Deadline deadline);
}
