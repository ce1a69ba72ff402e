package dev.sandglass.control.snapshot;

import com.google.protobuf.Timestamp;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.host.v1.CreateSnapshotRequest;
import dev.sandglass.contract.host.v1.CreateSnapshotResponse;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.ListSnapshotsResponse;
import dev.sandglass.contract.host.v1.SnapshotInfo;
import dev.sandglass.contract.host.v1.SnapshotRequest;
import dev.sandglass.control.host.HostDirectory;
import dev.sandglass.control.sandbox.Sandbox;
import dev.sandglass.control.snapshot.SnapshotStore.Condemned;
import dev.sandglass.control.snapshot.SnapshotStore.Made;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;

/** What hosts do with snapshots. */
interface SnapshotHosts {
    /** Memory is written while the sandbox goes on or after it was paused; large guests have many GiB of it. */
    Duration MAKE_LIMIT = Duration.ofMinutes(3);

    Duration DELETE_LIMIT = Duration.ofSeconds(30);

    Duration LIST_LIMIT = Duration.ofSeconds(5);

    Made make(Sandbox sandbox, SnapshotId id, boolean leavePaused);

    /** An unknown one succeeds. */
    void delete(Condemned snapshot);

    Listing list(String hostId);

    /**
     * What a host says it keeps.
     *
     * @param installation that it belongs to
     * @param snapshots when each was made, by the host's clock
     */
    record Listing(String installation, Map<String, Instant> snapshots) {}

    /** Through the host agents. */
    record Agents(HostDirectory hosts) implements SnapshotHosts {
        @Override
        public Made make(Sandbox sandbox, SnapshotId id, boolean leavePaused) {
            CreateSnapshotRequest request = CreateSnapshotRequest.newBuilder()
                    .setSandboxId(sandbox.id().value())
                    .setSnapshotId(id.value())
                    .setLeavePaused(leavePaused)
                    .build();
            CreateSnapshotResponse made =
                    hosts.require(sandbox.hostId()).call(MAKE_LIMIT, agent -> agent.createSnapshot(request));
            return new Made(
                    made.getSizeBytes(),
                    made.getVcpus() > 0 ? made.getVcpus() : sandbox.vcpus(),
                    made.getMemoryMb() > 0 ? made.getMemoryMb() : sandbox.memoryMb());
        }

        @Override
        public void delete(Condemned snapshot) {
            SnapshotRequest request = SnapshotRequest.newBuilder()
                    .setSnapshotId(snapshot.id().value())
                    .build();
            hosts.require(snapshot.hostId()).call(DELETE_LIMIT, agent -> agent.deleteSnapshot(request));
        }

        @Override
        public Listing list(String hostId) {
            ListSnapshotsResponse answer =
                    hosts.require(hostId).call(LIST_LIMIT, agent -> agent.listSnapshots(Empty.getDefaultInstance()));
            Map<String, Instant> snapshots = HashMap.newHashMap(answer.getSnapshotsCount());
            for (SnapshotInfo info : answer.getSnapshotsList()) {
                Timestamp created = info.getCreatedAt();
                snapshots.put(info.getSnapshotId(), Instant.ofEpochSecond(created.getSeconds(), created.getNanos()));
            }
            return new Listing(answer.getInstallationId(), snapshots);
        }
    }
}
