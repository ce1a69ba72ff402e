package dev.sandglass.control.host;

import java.util.Optional;

/**
 * A host as the database knows it.
 *
 * @param address of its agent, host:port; empty: in the process of a control plane
 * @param promisedMb memory of the sandboxes that are placed on it and alive
 */
public record Host(
        String id,
        Optional<String> address,
        String version,
        int vcpus,
        int memoryMb,
        int memoryAvailableMb,
        long diskFreeBytes,
        String accelerator,
        long promisedMb) {}
