package dev.sandglass.host.lifecycle;

/**
 * What a sandbox is on its host; the data of a state lives in it.
 *
 * <pre>
 *            ┌──────────┐ machine answers  ┌─────────┐ VM process ended  ┌─────────┐
 *  create ──▶│ Creating ├─────────────────▶│ Running ├──────────────────▶│ Stopped │
 *            └────┬─────┘                  └────┬────┘                   └────┬────┘
 *                 │ failed, or agent died       │ destroy                     │ destroy
 *                 ▼                             ▼                             ▼
 *            ┌──────────────────────────────────────────────────────────────────────┐
 *            │ Destroying: every resource is released, then the sandbox is unknown  │
 *            └──────────────────────────────────────────────────────────────────────┘
 * </pre>
 *
 * A sandbox found Creating at the agent's start was never acknowledged to anybody and is destroyed.
 */
public sealed interface SandboxState {
    /** Resources are being made; nobody has been told that it exists. */
    record Creating() implements SandboxState {}

    /** Its VM lives in this slot and its guest agent accepts this token. */
    record Running(Machine machine) implements SandboxState {}

    /** The VM is gone, the disk is kept; {@code reason} is for the owner of the sandbox. */
    record Stopped(String reason) implements SandboxState {}

    /** Being removed; a removal once begun is finished, by the next agent if need be. */
    record Destroying() implements SandboxState {}

    /** True where {@code next} may follow this state. */
    default boolean mayBecome(SandboxState next) {
        return switch (this) {
            case Creating _ -> next instanceof Running || next instanceof Destroying;
            case Running _ -> next instanceof Stopped || next instanceof Destroying;
            case Stopped _ -> next instanceof Destroying;
            case Destroying _ -> false;
        };
    }

    /** As its owner knows it. */
    default String publicName() {
        return switch (this) {
            case Creating _ -> "pending";
            case Running _ -> "running";
            case Stopped _ -> "stopped";
            case Destroying _ -> "being deleted";
        };
    }
}
