package dev.sandglass.host.process;

/**
 * What a process and its children may use together; swap is never among it.
 *
 * @param cpuPercent 100 is one core
 * @param pidsMax threads count too
 */
public record CgroupLimits(long memoryBytes, int cpuPercent, int pidsMax) {
    public CgroupLimits {
        if (memoryBytes <= 0 || cpuPercent <= 0 || pidsMax <= 0) {
            throw new IllegalArgumentException(
                    "limits must be positive: " + memoryBytes + " bytes, " + cpuPercent + " %, " + pidsMax + " pids");
        }
    }
}
