package dev.sandglass.control.sandbox;

import java.time.Instant;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A sandbox in the API. */
record SandboxObject(
        String id,
        String status,
        String template,
        int vcpus,
        int memoryMb,
        int timeoutSec,
        @Nullable String hostIp,
        Map<String, String> metadata,
        @Nullable Boolean cold,
        Instant createdAt,
        @Nullable Instant startedAt,
        @Nullable Instant lastActiveAt,
        Instant lastUpdated,
        @Nullable String error) {

    static SandboxObject of(Sandbox sandbox) {
        return new SandboxObject(
                sandbox.id().value(),
                sandbox.shownStatus().wireName(),
                sandbox.template(),
                sandbox.vcpus(),
                sandbox.memoryMb(),
                sandbox.timeoutSec(),
                sandbox.hostIp().orElse(null),
                sandbox.metadata(),
                sandbox.cold() ? true : null,
                sandbox.createdAt(),
                sandbox.startedAt().orElse(null),
                sandbox.lastActiveAt().orElse(null),
                sandbox.lastUpdated(),
                sandbox.shownError().orElse(null));
    }
}
