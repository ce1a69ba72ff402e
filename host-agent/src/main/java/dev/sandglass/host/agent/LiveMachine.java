package dev.sandglass.host.agent;

import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.lifecycle.Machine;
import dev.sandglass.host.network.Slot;
import dev.sandglass.host.process.ExitStatus;
import dev.sandglass.host.vmm.VirtualMachine;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Supplier;

/**
 * A VM and what only it needs. Released by {@link Machines#release}, by whoever owns it.
 *
 * @param name of its directory and its control group
 * @param guest with the token that the guest accepts now
 */
record LiveMachine(String name, Slot slot, VirtualMachine vm, GuestClient guest) {
    /** What an agent needs to find it again, once its guest accepts {@code token}. */
    Machine recorded(byte[] token) {
        return new Machine(
                name,
                slot.index(),
                vm.identity().pid(),
                vm.identity().startTicks(),
                HexFormat.of().formatHex(token));
    }

    /**
     * Runs what waits for the guest, and ends the wait when the VM ends: its network swallows what is sent to it, so that
     * nothing else would tell before the deadline. Only on a virtual thread, where a wait can be ended.
     */
    <T> T whileAlive(Supplier<T> work) {
        Thread waiting = Thread.currentThread();
        AtomicBoolean over = new AtomicBoolean();
        CompletableFuture<Void> watch = vm.exit().thenAccept(_ -> {
            synchronized (over) {
                if (!over.get()) {
                    waiting.interrupt();
                }
            }
        });
        try {
            return work.get();
        } finally {
            synchronized (over) {
                over.set(true);
            }
            watch.cancel(false);
            if (vm.exit().isDone()) {
                boolean _ = Thread.interrupted(); // that was for the wait alone
            }
        }
    }

    /** How its VM ended, if it has; waits that long for the news of an end. */
    Optional<ExitStatus> ended(Duration news) {
        CompletableFuture<Optional<ExitStatus>> end = vm.exit().thenApply(Optional::of);
        return end.completeOnTimeout(Optional.empty(), news.toMillis(), TimeUnit.MILLISECONDS)
                .join();
    }

    /** The same with another way to its guest. */
    LiveMachine with(GuestClient other) {
        return new LiveMachine(name, slot, vm, other);
    }
}
