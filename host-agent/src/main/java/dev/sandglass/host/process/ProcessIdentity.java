package dev.sandglass.host.process;

import java.util.Optional;

/**
 * Which process is meant, even after its number has been given to another one.
 *
 * @param startTicks when it was started, in clock ticks since boot (field 22 of {@code /proc/PID/stat})
 */
public record ProcessIdentity(int pid, long startTicks) {
    public ProcessIdentity {
        if (pid <= 1 || startTicks < 0) {
            throw new IllegalArgumentException("not a process of ours: pid " + pid + ", started at " + startTicks);
        }
    }

    /** Of the process that has this number now. */
    public static Optional<ProcessIdentity> find(int pid) {
        return ProcStat.read(pid).filter(ProcStat::running).map(stat -> new ProcessIdentity(pid, stat.startTicks()));
    }

    /** False for a zombie as well. */
    public boolean alive() {
        return find(pid).filter(this::equals).isPresent();
    }
}
