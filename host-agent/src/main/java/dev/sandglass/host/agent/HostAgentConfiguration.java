package dev.sandglass.host.agent;

import java.net.Inet4Address;
import java.nio.file.Path;
import java.util.Optional;

/**
 * What one host agent is told at its start.
 *
 * @param home SANDGLASS_HOME, owned by this agent: sandboxes, templates, ledger
 * @param installation opaque id of the installation, lower-case letters and digits
 * @param agentToken shared secret that callers of the gRPC service present
 * @param imagesDirectory where the boot images have been built
 * @param forcedAccelerator kvm or tcg; empty: KVM where it really works, else TCG
 * @param dns resolver guests may use; empty: the first one of the host that is not on loopback
 * @param slotPoolSize network slots prepared ahead
 * @param warmPoolSize clones kept warm and stopped for each template that is asked for often; 0: none
 * @param diskReserveBytes free space below which no sandbox is created
 * @param memoryReserveMb available memory below which no sandbox is created
 * @param memoryOvercommit how often the host's memory may be promised, since clones share their template's pages
 * @param rootDiskBytes virtual size of a sandbox's disk
 * @param templatesMax frozen shapes kept
 */
public record HostAgentConfiguration(
        Path home,
        String installation,
        String agentToken,
        Path imagesDirectory,
        Optional<Accelerator> forcedAccelerator,
        Optional<Inet4Address> dns,
        int slotPoolSize,
        int warmPoolSize,
        long diskReserveBytes,
        int memoryReserveMb,
        double memoryOvercommit,
        long rootDiskBytes,
        int templatesMax) {

    public enum Accelerator {
        KVM,
        TCG
    }

    public HostAgentConfiguration {
        if (!installation.matches("[0-9a-z]{8,32}")) {
            throw new IllegalArgumentException("not an installation id: " + installation);
        }
        if (agentToken.length() < 32) {
            throw new IllegalArgumentException("the agent's token is shorter than 32 characters");
        }
        if (slotPoolSize < 0 || warmPoolSize < 0 || diskReserveBytes < 0 || memoryReserveMb < 0 || templatesMax < 1) {
            throw new IllegalArgumentException("a size is negative");
        }
        if (memoryOvercommit < 1 || memoryOvercommit > 100) {
            throw new IllegalArgumentException("the memory overcommit is not between 1 and 100");
        }
    }

    /** One folder for each sandbox. */
    Path sandboxesDirectory() {
        return home.resolve("sandboxes");
    }

    /** One folder for each VM. */
    Path machinesDirectory() {
        return home.resolve("machines");
    }

    Path snapshotsDirectory() {
        return home.resolve("snapshots");
    }

    Path templatesDirectory() {
        return home.resolve("templates");
    }
}
