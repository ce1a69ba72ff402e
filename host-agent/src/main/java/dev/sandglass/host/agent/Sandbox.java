package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.lifecycle.SandboxState;
import dev.sandglass.host.linux.Deadline;
import java.time.Instant;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * One sandbox of this host: what the ledger says of it and, while it has a VM, its living parts. One lifecycle operation
 * at a time holds it; everybody else reads what was published last.
 */
final class Sandbox {
    private final ReentrantLock operation = new ReentrantLock(true);
    private final AtomicInteger uses = new AtomicInteger();
    private volatile Ledger.Entry entry;
    private volatile @Nullable Live live;
    private volatile @Nullable Transition transition;
    private volatile @Nullable SavedMemory memory;
    private volatile Instant lastActiveAt;

    /** The parts of a sandbox with a VM. Owned by the sandbox; released by whoever holds its operation. */
    record Live(LiveMachine machine, Admission.Promise promise) {}

    /** What its state does not say: it is between two of them. */
    enum Transition {
        PAUSING,
        RESUMING
    }

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

    SandboxState state() {
        return entry.state();
    }

    @Nullable
    Live live() {
        return live;
    }

    @Nullable
    Transition transition() {
        return transition;
    }

    /** Only for the holder of the operation; the ledger has it already. */
    void publish(Ledger.Entry next, @Nullable Live parts) {
        live = parts;
        entry = next;
    }

    /** What is on disk of its memory; opened by the first who asks. Only for the holder of the operation. */
    SavedMemory memory(Supplier<SavedMemory> open) {
        SavedMemory opened = memory;
        if (opened == null) {
            opened = open.get();
            memory = opened;
        }
        return opened;
    }

    /** What was on disk is gone. Only for the holder of the operation. */
    void forgetMemory() {
        memory = null;
    }

    /** While it is used by nobody else; thread-safe. */
    void mergeMemoryIfDue() {
        SavedMemory opened = memory;
        if (opened != null) {
            opened.mergeIfDue();
        }
    }

    long generations() {
        SavedMemory opened = memory;
        return opened == null ? 0 : opened.generations();
    }

    // ---- Use

    Instant lastActiveAt() {
        return lastActiveAt;
    }

    /** Somebody uses it: its idle time begins anew. */
    void touch() {
        lastActiveAt = Instant.now();
    }

    /** It is in use until this is closed. */
    interface Use extends AutoCloseable {
        GuestClient guest();

        @Override
        void close();
    }

    /**
     * Uses the guest of a running sandbox: it does not count as idle meanwhile.
     *
     * @throws PlatformException INVALID_STATE when it does not run
     */
    Use use() {
        uses.incrementAndGet();
        try {
            touch();
            GuestClient guest = requireGuest();
            return new Use() {
                @Override
                public GuestClient guest() {
                    return guest;
                }

                @Override
                public void close() {
                    touch();
                    uses.decrementAndGet();
                }
            };
        } catch (RuntimeException refused) {
            uses.decrementAndGet();
            throw refused;
        }
    }

    boolean inUse() {
        return uses.get() > 0;
    }

    private GuestClient requireGuest() {
        Live parts = live;
        if (parts == null || transition != null || !(state() instanceof SandboxState.Running)) {
            throw new PlatformException(
                    ErrorCode.INVALID_STATE, "Sandbox " + id() + " is " + publicState() + ", not running.");
        }
        return parts.machine().guest();
    }

    String publicState() {
        Transition under = transition;
        return under == null
                ? state().publicName()
                : switch (under) {
                    case PAUSING -> "pausing";
                    case RESUMING -> "resuming";
                };
    }

    // ---- Operations

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

    /** Is seen by everybody until it is closed. Only for the holder of the operation. */
    Operation show(Transition under) {
        transition = under;
        return () -> transition = null;
    }
}
