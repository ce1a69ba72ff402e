package dev.sandglass.control.sandbox;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.TeamId;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/**
 * A row.
 *
 * @param status as the row has it; see {@link #shownStatus}
 * @param version grows with every change of state
 * @param deletionRequested it is to be deleted, and its host has not confirmed that yet
 */
public record Sandbox(
        SandboxId id,
        TeamId team,
        String hostId,
        String template,
        SandboxStatus status,
        long version,
        int vcpus,
        int memoryMb,
        int timeoutSec,
        Optional<String> hostIp,
        Map<String, String> metadata,
        Optional<String> error,
        Instant createdAt,
        Optional<Instant> startedAt,
        Optional<Instant> lastActiveAt,
        Instant lastUpdated,
        boolean deletionRequested) {

    private static final String BEING_DELETED =
            "It is to be deleted, and its host has not confirmed that yet; this is tried again by itself.";

    /** What is to be deleted is of no use any more. */
    public SandboxStatus shownStatus() {
        return deletionRequested ? SandboxStatus.ERROR : status;
    }

    public Optional<String> shownError() {
        return deletionRequested ? Optional.of(BEING_DELETED) : error;
    }
}
