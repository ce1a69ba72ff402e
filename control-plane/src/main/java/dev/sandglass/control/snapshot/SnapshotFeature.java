package dev.sandglass.control.snapshot;

import dev.sandglass.control.host.Host;
import dev.sandglass.control.host.HostDirectory;
import dev.sandglass.control.host.HostMonitor;
import dev.sandglass.control.host.HostStore;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.idempotency.StoredAnswers;
import dev.sandglass.control.sandbox.SandboxFeature;
import dev.sandglass.control.sandbox.Template;
import java.time.InstantSource;
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
        SnapshotHosts agents = new SnapshotHosts.Agents(hosts);
        Making making = new Making(store, agents);
        Snapshots snapshots = new Snapshots(store, answers, sandboxes.sandboxes(), sandboxes.lifecycle(), making);
        sandboxes.reconcile(making::removeCondemned);
        HostStore hostStore = new HostStore(jdbi, hosts.installation());
        Keeping keeping = new Keeping(
                store,
                agents,
                hosts.installation(),
                () -> hostStore.alive(HostMonitor.PATIENCE).stream()
                        .map(Host::id)
                        .toList(),
                InstantSource.system());
        sandboxes.reconcile(keeping::compare);
        return new SnapshotFeature(new SnapshotResource(snapshots).routes());
    }
}
