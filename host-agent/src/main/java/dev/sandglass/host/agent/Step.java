package dev.sandglass.host.agent;

/**
 * The registry of steps that change the host: every kernel call and durable write of a lifecycle operation happens
 * inside one of them, in this order. Each is timed, and a crash test ends the agent before and after each.
 */
enum Step {
    CREATE_LEDGER,
    CREATE_SLOT,
    CREATE_DISK,
    CREATE_CGROUP,
    CREATE_RESTORE,
    CREATE_CONTINUE,
    CREATE_RENEW,
    CREATE_ACKNOWLEDGE,

    DESTROY_LEDGER,
    DESTROY_VM,
    DESTROY_CGROUP,
    DESTROY_SLOT,
    DESTROY_FILES,

    STOP_CGROUP,
    STOP_SLOT,
    STOP_LEDGER,

    FREEZE_PREPARE,
    FREEZE_BOOT,
    FREEZE_WARM,
    FREEZE_STATE,
    FREEZE_PUBLISH,
    FREEZE_RELEASE
}
