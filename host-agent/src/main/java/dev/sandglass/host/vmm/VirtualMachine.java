package dev.sandglass.host.vmm;

import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileStatus;
import dev.sandglass.host.process.ExitStatus;
import dev.sandglass.host.process.ProcessIdentity;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;

/** A VM process. Thread-safe. Nothing to close: it lives until it ends by itself or is killed. */
public interface VirtualMachine {
    ProcessIdentity identity();

    /** Completed as soon as the process has ended, never exceptionally. */
    CompletableFuture<ExitStatus> exit();

    /** The last words of the VMM; readable after its end too. */
    String stderrTail();

    /** The last 64 KiB of the guest's serial console, while the process lives. */
    String consoleTail(Deadline deadline);

    void stopVcpus(Deadline deadline);

    void continueVcpus(Deadline deadline);

    boolean vcpusRunning(Deadline deadline);

    /**
     * Writes the device state, without memory, of a stopped VM that was booted: what {@link StateForm#TEMPLATE} names. Once in
     * a VM's life. On return the file is complete, checked and on disk.
     */
    void saveTemplateState(Path deviceState, Deadline deadline);

    /**
     * Writes the device state, without memory and disk, of a stopped VM whose memory is mapped privately; the VM can be
     * continued afterwards, and saved again.
     *
     * @param file does not exist yet; root's alone, whole and checked on return. Syncing it is the caller's
     * @throws VmmFailed also when there is no space; then there is no file, and the VM is as before
     */
    void saveDeviceState(Path file, Deadline deadline);

    /** Inode number of the disk layer that it writes to now. */
    long topDiskInode(Deadline deadline);

    /**
     * Opens a layer that is to become the top of the disk. The machine may be running.
     *
     * @param newTop an empty qcow2 image of the disk's size, without a backing file in it, and on the file system of this
     *     machine's directory
     */
    DiskSwitch prepareDiskLayer(Path newTop, Deadline deadline);

    /** Of what its memory is a mapping: the same file for all machines restored from one frozen state by one agent. */
    FileStatus memoryFile();

    /** SIGKILL, awaited. Idempotent. */
    void kill(Deadline deadline);
}
