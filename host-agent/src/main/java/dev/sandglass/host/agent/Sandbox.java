package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.lifecycle.SandboxState;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.network.Slot;
import dev.sandglass.host.vmm.VirtualMachine;
import java.time.Instant;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * One sandbox of this host: what the ledger says of it and, while it runs, its living parts. One lifecycle operation at
 * a time holds it; everybody else reads what was published last.
 */
final class Sandbox {
    private final ReentrantLock operation = new ReentrantLock(true);
    private volatile Ledger.Entry entry;
    private volatile @Nullable Live live;
    private volatile Instant lastActiveAt;

    /** The parts of a running sandbox. Owned by the sandbox; released by whoever holds its operation. */
    record Live(Slot slot, VirtualMachine vm, GuestClient guest, Admission.Promise promise) {}

    Sandbox(Ledger.Entry entry) {
        this.entry = entry;
        this.lastActiveAt = Instant.now();
    }

    SandboxId id() {
        return entry.id();
    }

    Ledger.Entry entry() {
        return entry;
    }

    Instant lastActiveAt() {
        return lastActiveAt;
    }

    /** Somebody uses it: its idle time begins anew. */
    void touch() {
        lastActiveAt = Instant.now();
    }

    @Nullable
    Live live() {
        return live;
    }

    /** Only for the holder of the operation; the ledger has it already. */
    void publish(Ledger.Entry next, @Nullable Live parts) {
        live = parts;
        entry = next;
    }

    /**
     * The guest of a running sandbox.
     *
     * @throws PlatformException INVALID_STATE when it does not run
     */
    GuestClient requireGuest() {
        Live parts = live;
        if (parts == null || !(entry.state() instanceof SandboxState.Running)) {
            throw new PlatformException(
                    ErrorCode.INVALID_STATE,
                    "Sandbox " + id() + " is " + entry.state().publicName() + ", not running.");
        }
        return parts.guest();
    }

    /** The right to change the sandbox; closing gives it back. */
    interface Operation extends AutoCloseable {
        @Override
        void close();
    }

    /**
     * Waits for the operation in progress to end.
     *
     * @throws PlatformException CONFLICT when that takes longer than the deadline
     */
    Operation begin(String what, Deadline deadline) {
        try {
            if (!operation.tryLock(deadline.remaining().toNanos(), TimeUnit.NANOSECONDS)) {
                throw new PlatformException(
                        ErrorCode.CONFLICT,
                        "Sandbox " + id() + " is busy with another operation; try to " + what + " it again.");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "The host agent is stopping.", e);
        }
        return operation::unlock;
    }
}
