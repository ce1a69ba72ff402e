package dev.sandglass.control.sandbox;

import java.util.Map;

/** What somebody wants; every value has been checked but those that depend on the hosts. */
record SandboxSpec(
        String template,
        int vcpus,
        int memoryMb,
        int timeoutSec,
        Map<String, String> env,
        Map<String, String> metadata) {
    static final String BASE_TEMPLATE = "base";
    static final int MEMORY_MB_STEP = 128;
    static final int TIMEOUT_SEC_MAX = 30 * 24 * 3600;
}
