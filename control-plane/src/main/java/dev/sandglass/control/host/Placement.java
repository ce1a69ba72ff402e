package dev.sandglass.control.host;

import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/** Which host a new sandbox goes to: of those with room the one whose memory is promised least. */
public record Placement(double memoryOvercommit) {
    /** Below this a host has no room, whatever it has promised: its own work and page cache live in it. */
    private static final int MEMORY_AVAILABLE_MB_MIN = 256;

    /** The host, or empty when none has room. */
    public Optional<Host> choose(List<Host> hosts, int vcpus, int memoryMb) {
        return hosts.stream()
                .filter(host -> host.vcpus() >= vcpus)
                .filter(host -> host.memoryAvailableMb() >= MEMORY_AVAILABLE_MB_MIN)
                .filter(host -> host.promisedMb() + memoryMb <= host.memoryMb() * memoryOvercommit)
                .min(Comparator.comparingDouble(Placement::load));
    }

    private static double load(Host host) {
        return host.promisedMb() / (double) Math.max(1, host.memoryMb());
    }

    /** The largest shape any of the hosts could ever hold. */
    public static int vcpusMax(List<Host> hosts) {
        return hosts.stream().mapToInt(Host::vcpus).max().orElse(0);
    }

    public static int memoryMbMax(List<Host> hosts) {
        return hosts.stream().mapToInt(Host::memoryMb).max().orElse(0) / 128 * 128;
    }
}
