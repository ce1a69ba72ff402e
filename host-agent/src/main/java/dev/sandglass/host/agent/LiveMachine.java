package dev.sandglass.host.agent;

import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.lifecycle.Machine;
import dev.sandglass.host.network.Slot;
import dev.sandglass.host.vmm.VirtualMachine;
import java.util.HexFormat;

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

    /** The same with another way to its guest. */
    LiveMachine with(GuestClient other) {
        return new LiveMachine(name, slot, vm, other);
    }
}
