package dev.sandglass.control.sandbox;

import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.Id.TeamId;
import java.util.Optional;

/**
 * What sandboxes are made from.
 *
 * @param snapshot empty for a base template, which every host has
 */
public record Template(String name, Optional<Snapshot> snapshot) {
    /** A team's own: it is on one host, and what it holds has one shape. */
    public record Snapshot(SnapshotId id, String hostId, int vcpus, int memoryMb) {}

    /** Where templates are looked up. */
    @FunctionalInterface
    public interface Catalogue {
        /** Of the names that this team may use. */
        Optional<Template> find(TeamId team, String name);
    }
}
