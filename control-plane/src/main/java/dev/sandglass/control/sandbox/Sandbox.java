package dev.sandglass.control.sandbox;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.Id.TeamId;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/**
 * A row.
 *
 * @param template its name, as it was when the sandbox was made
 * @param snapshot that it was made from
 * @param status as the row has it; see {@link #shownStatus}
 * @param version grows with every change of state
 * @param cold it has been booted from its disk since its memory was lost
 * @param overdue its transition should have ended by now
 * @param deletionRequested it is to be deleted, and its host has not confirmed that yet
 */
public record Sandbox(
        SandboxId id,
        TeamId team,
        String hostId,
        String template,
        Optional<SnapshotId> snapshot,
        SandboxStatus status,
        long version,
        int vcpus,
        int memoryMb,
        int timeoutSec,
        Optional<String> hostIp,
        Map<String, String> metadata,
        Optional<String> error,
        boolean cold,
        Instant createdAt,
        Optional<Instant> startedAt,
        Optional<Instant> lastActiveAt,
        Instant lastUpdated,
        boolean overdue,
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

    /** As hosts know what it was made from. */
    String templateId() {
        return snapshot.map(SnapshotId::value).orElse(template);
    }

    /** The same, of which nobody works at the transition any more. */
    Sandbox asOverdue() {
        return new Sandbox(
                id,
                team,
                hostId,
                template,
                snapshot,
                status,
                version,
                vcpus,
                memoryMb,
                timeoutSec,
                hostIp,
                metadata,
                error,
                cold,
                createdAt,
                startedAt,
                lastActiveAt,
                lastUpdated,
                true,
                deletionRequested);
    }
}
