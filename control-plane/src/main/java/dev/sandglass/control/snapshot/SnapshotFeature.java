package dev.sandglass.control.snapshot;

import dev.sandglass.control.host.HostDirectory;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.idempotency.StoredAnswers;
import dev.sandglass.control.sandbox.SandboxFeature;
import dev.sandglass.control.sandbox.Template;
import java.util.List;
import org.jdbi.v3.core.Jdbi;

/** The feature, wired. */
public record SnapshotFeature(List<Route> routes) {
    /** The templates of teams, to make sandboxes from. */
    public static Template.Catalogue templates(Jdbi jdbi, StoredAnswers answers) {
        PostgresSnapshotStore store = new PostgresSnapshotStore(jdbi, answers);
        return (team, name) -> store.find(team, name).map(Snapshot::template);
    }

    public static SnapshotFeature wire(
            Jdbi jdbi, StoredAnswers answers, HostDirectory hosts, SandboxFeature sandboxes) {
        PostgresSnapshotStore store = new PostgresSnapshotStore(jdbi, answers);
        Making making = new Making(store, new SnapshotHosts.Agents(hosts));
        Snapshots snapshots = new Snapshots(store, answers, sandboxes.sandboxes(), sandboxes.lifecycle(), making);
        sandboxes.reconcile(making::removeCondemned);
        return new SnapshotFeature(new SnapshotResource(snapshots).routes());
    }
}
