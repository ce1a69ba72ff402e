package dev.sandglass.host.network;

import java.net.Inet4Address;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/**
 * What the networks of one installation are made of.
 *
 * @param installation its id; the first eight characters go into the names of kernel objects
 * @param home its directory: when that is gone, so is the installation, and others may take over its slots
 * @param registry directory of the claims that all installations of this machine share
 * @param hostRange slot i is reached from the host at address i of it
 * @param vethRange slot i connects host and namespace by addresses 2i and 2i+1 of it
 * @param dns the resolver guests are sent to; must be reachable from the host by other means than loopback
 * @param poolSize slots kept ready
 * @param uidBase slot i belongs to user {@code uidBase + i}
 */
public record NetworkConfiguration(
        String installation,
        Path home,
        Path registry,
        Ipv4Range hostRange,
        Ipv4Range vethRange,
        Inet4Address dns,
        int poolSize,
        int uidBase) {
    public static final Path REGISTRY = Path.of("/run/sandglass/slots");
    public static final Ipv4Range HOST_RANGE = Ipv4Range.parse("10.11.0.0/16");
    public static final Ipv4Range VETH_RANGE = Ipv4Range.parse("10.12.0.0/15");

    /** Above the ranges that distributions hand out to users and to containers' sub-ids by default. */
    public static final int UID_BASE = 1_900_000_000;

    private static final Pattern INSTALLATION = Pattern.compile("[a-z0-9]{8,64}");
    private static final int POOL_MAX = 256;

    /** Five digits: more do not fit into an interface's name. */
    private static final long SLOTS_MAX = 100_000;

    public NetworkConfiguration {
        List<String> problems = new ArrayList<>();
        if (!INSTALLATION.matcher(installation).matches()) {
            problems.add("installation id must be 8 to 64 of [a-z0-9]: " + installation);
        }
        if (!home.isAbsolute() || home.toString().contains("\n")) {
            problems.add("home must be an absolute path in one line: " + home);
        }
        if (hostRange.overlaps(vethRange)) {
            problems.add("ranges must not overlap: " + hostRange + " and " + vethRange);
        }
        if (dns.isLoopbackAddress() || dns.isAnyLocalAddress() || dns.isMulticastAddress()) {
            problems.add("guests cannot reach a resolver at " + dns.getHostAddress()
                    + "; name the one that the host's own resolver asks");
        }
        if (poolSize < 0 || poolSize > POOL_MAX) {
            problems.add("pool size must be 0 to " + POOL_MAX + ": " + poolSize);
        }
        if (uidBase < 1000 || uidBase > Integer.MAX_VALUE - SLOTS_MAX) {
            problems.add("first uid must leave room for " + SLOTS_MAX + " unprivileged ones: " + uidBase);
        }
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException("network: " + String.join("; ", problems));
        }
    }

    /** With the ranges and the registry that all installations share unless told otherwise. */
    public static NetworkConfiguration standard(String installation, Path home, Inet4Address dns, int poolSize) {
        return new NetworkConfiguration(installation, home, REGISTRY, HOST_RANGE, VETH_RANGE, dns, poolSize, UID_BASE);
    }

    /** How many slots there are; their indexes count from 0. */
    public int slots() {
        return (int) Math.min(SLOTS_MAX, Math.min(hostRange.size(), vethRange.size() / 2));
    }

    String shortInstallation() {
        return installation.substring(0, 8);
    }
}
