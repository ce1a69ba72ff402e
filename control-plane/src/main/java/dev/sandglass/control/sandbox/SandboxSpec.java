package dev.sandglass.control.sandbox;

import java.util.Map;
import java.util.Optional;

/** What somebody wants; every value has been checked but those that depend on the template and the hosts. */
record SandboxSpec(
        String template,
        Optional<Integer> vcpus,
        Optional<Integer> memoryMb,
        int timeoutSec,
        Map<String, String> env,
        Map<String, String> metadata) {
    static final String BASE_TEMPLATE = "base";
    static final int VCPUS_DEFAULT = 1;
    static final int MEMORY_MB_DEFAULT = 512;
    static final int MEMORY_MB_STEP = 128;
    static final int TIMEOUT_SEC_MAX = 30 * 24 * 3600;
}
