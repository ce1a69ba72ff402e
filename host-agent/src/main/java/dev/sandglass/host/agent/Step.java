package dev.sandglass.host.agent;

/**
 * The registry of steps that change the host: every kernel call and durable write of a lifecycle operation happens
 * inside one of them, in this order. Each is timed, and a crash test ends the agent before and after each.
 */
enum Step {
    // A machine: what only a living VM needs. Owned by no sandbox at first.
    MACHINE_DIRECTORY,
    MACHINE_SLOT,
    MACHINE_CGROUP,
    MACHINE_PREPARE,
    MACHINE_DISK,
    MACHINE_RESTORE,
    MACHINE_BOOT,
    MACHINE_WARM,

    RELEASE_VM,
    RELEASE_CGROUP,
    RELEASE_SLOT,
    RELEASE_DIRECTORY,

    CREATE_STATE,
    CREATE_CONTINUE,
    CREATE_RENEW,
    CREATE_ACKNOWLEDGE,

    /** Before the first pause or snapshot by this agent; makes the folder of a sandbox that has none. */
    MEMORY_OPEN,

    PAUSE_FREEZE,
    PAUSE_STOP,
    PAUSE_BEGIN,
    PAUSE_DEVICES,
    PAUSE_MEMORY,
    PAUSE_COMMIT,
    PAUSE_LEDGER,

    RESUME_LEDGER,
    RESUME_CONTINUE,
    RESUME_RENEW,
    RESUME_ACKNOWLEDGE,

    BOOT_LEDGER,
    BOOT_FORGET,
    BOOT_RENEW,
    BOOT_ACKNOWLEDGE,

    SNAPSHOT_BEGIN,
    SNAPSHOT_LAYER,
    SNAPSHOT_FREEZE,
    SNAPSHOT_STOP,
    SNAPSHOT_DRAFT,
    SNAPSHOT_DEVICES,
    SNAPSHOT_MEMORY,
    SNAPSHOT_DISK,
    SNAPSHOT_CONTINUE,
    SNAPSHOT_COMMIT,
    SNAPSHOT_LINK,
    SNAPSHOT_PUBLISH,
    SNAPSHOT_REMOVE,

    STOP_LEDGER,
    STOP_MEMORY,

    DESTROY_LEDGER,
    DESTROY_FILES,

    FREEZE_PREPARE,
    FREEZE_BOOT,
    FREEZE_WARM,
    FREEZE_STATE,
    FREEZE_PUBLISH,
    FREEZE_RELEASE
}
