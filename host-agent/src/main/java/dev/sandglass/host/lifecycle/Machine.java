package dev.sandglass.host.lifecycle;

/**
 * What an agent needs to find a living VM again after its own death.
 *
 * @param name of its directory and its control group
 * @param slot index of the network slot
 * @param pid process id of the VMM
 * @param startTicks start time of that process in clock ticks since boot, so that a reused pid is not mistaken for it
 * @param guestToken what the guest agent accepts, 64 hexadecimal digits
 */
public record Machine(String name, int slot, int pid, long startTicks, String guestToken) {
    public Machine {
        if (!name.matches("vm[0-9a-z]{20}")
                || slot < 0
                || pid <= 0
                || startTicks < 0
                || !SandboxState.isToken(guestToken)) {
            throw new IllegalArgumentException("not a machine: " + name + ", slot " + slot + ", pid " + pid);
        }
    }

    /** Without the token, so that it can be logged. */
    @Override
    public String toString() {
        return "Machine[name=" + name + ", slot=" + slot + ", pid=" + pid + "]";
    }
}
