package dev.sandglass.host.lifecycle;

/**
 * What a sandbox is on its host; the data of a state lives in it.
 *
 * <pre>
 *            ┌──────────┐ answers  ┌─────────┐   VM process ended    ┌─────────┐
 *  create ──▶│ Creating ├─────────▶│ Running ├──────────────────────▶│ Stopped │
 *            └──────────┘          └─┬─────▲─┘◀──── cold boot ───────┴────▲────┘
 *                     memory on disk │     │ answers            memory    │
 *                                 ┌──▼─────┴─┐  about to run   given up,  │
 *                                 │  Paused  ├──────────────┐  or VM ended│
 *                                 └────▲─────┘         ┌────▼─────┐       │
 *                                      └───────────────┤ Resuming ├───────┘
 *                               renewal failed, paused └──────────┘
 *                               again
 * </pre>
 *
 * From each of them {@link Destroying} may follow. {@link Creating} is never written down: what was not acknowledged has
 * no ledger, and is removed by the next agent. Nor is there a state for pausing: until the memory is on disk the sandbox
 * is running, and an agent that finds its VM stopped lets it go on.
 */
public sealed interface SandboxState {
    /** Resources are being made; nobody has been told that it exists. */
    record Creating() implements SandboxState {}

    /** Its VM lives and its guest agent accepts this machine's token. */
    record Running(Machine machine) implements SandboxState {}

    /**
     * Memory, device state and disk are on disk, there is no VM.
     *
     * @param guestToken what the guest's agent accepts when it is resumed
     * @param idle it was paused because nobody used it
     */
    record Paused(String guestToken, boolean idle) implements SandboxState {
        public Paused {
            if (!isToken(guestToken)) {
                throw new IllegalArgumentException("not a guest's token");
            }
        }

        @Override
        public String toString() {
            return "Paused[idle=" + idle + "]";
        }
    }

    /**
     * Its VM may have run since it was loaded from disk, so what is on disk is of no use any more if it ends.
     *
     * @param frozenToken what the guest's agent accepts until it has been given the machine's
     */
    record Resuming(Machine machine, String frozenToken) implements SandboxState {
        public Resuming {
            if (!isToken(frozenToken)) {
                throw new IllegalArgumentException("not a guest's token");
            }
        }

        @Override
        public String toString() {
            return "Resuming[" + machine + "]";
        }
    }

    /** The VM is gone, the disk is kept; {@code reason} is for the owner of the sandbox. */
    record Stopped(String reason) implements SandboxState {}

    /** Being removed; a removal once begun is finished, by the next agent if need be. */
    record Destroying() implements SandboxState {}

    /** True where {@code next} may follow this state. */
    default boolean mayBecome(SandboxState next) {
        if (next instanceof Destroying) {
            return !(this instanceof Destroying);
        }
        return switch (this) {
            case Creating _, Stopped _ -> next instanceof Running;
            case Running _ -> next instanceof Paused || next instanceof Stopped;
            case Paused _ -> next instanceof Resuming || next instanceof Stopped;
            case Resuming _ -> next instanceof Running || next instanceof Paused || next instanceof Stopped;
            case Destroying _ -> false;
        };
    }

    /** As its owner knows it. */
    default String publicName() {
        return switch (this) {
            case Creating _ -> "pending";
            case Running _ -> "running";
            case Paused _ -> "paused";
            case Resuming _ -> "resuming";
            case Stopped _ -> "stopped";
            case Destroying _ -> "being deleted";
        };
    }

    /** 32 bytes in lower-case hex. */
    static boolean isToken(String text) {
        return text.matches("[0-9a-f]{64}");
    }
}
