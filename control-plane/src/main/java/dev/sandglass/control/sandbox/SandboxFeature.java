package dev.sandglass.control.sandbox;

import dev.sandglass.control.host.HostDirectory;
import dev.sandglass.control.host.HostStore;
import dev.sandglass.control.host.Placement;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.observe.Telemetry;
import java.util.List;
import org.jdbi.v3.core.Jdbi;

/** The feature, wired. Closing it waits for work on sandboxes that is under way. */
public final class SandboxFeature implements AutoCloseable {
    private final SandboxStore store;
    private final Sandboxes sandboxes;
    private final List<Route> routes;
    private final Lifecycle lifecycle;
    private final Activity activity;
    private final Settler settler;

    public SandboxFeature(
            Jdbi jdbi,
            HostDirectory hosts,
            HostStore hostStore,
            Placement placement,
            TeamQuota quota,
            Telemetry telemetry) {
        store = new SandboxStore(jdbi);
        lifecycle = new Lifecycle(telemetry);
        activity = new Activity(store);
        sandboxes = new Sandboxes(store, hosts, hostStore, placement, quota, lifecycle, activity);
        settler = new Settler(store, hostStore, hosts, sandboxes);
        routes = new SandboxResource(sandboxes, store).routes();
        settler.start();
    }

    public Sandboxes sandboxes() {
        return sandboxes;
    }

    public List<Route> routes() {
        return routes;
    }

    /**
     * To be told before the first request: the agent of this host lives in this process, so whatever was under way there
     * ended with the process before.
     */
    public void interrupted(String hostId) {
        store.interrupted(hostId);
    }

    /** Compares rows and hosts now instead of in a few seconds. */
    public void settleNow() throws Exception {
        settler.passNow();
    }

    @Override
    public void close() {
        settler.close();
        lifecycle.close();
        activity.close();
    }
}
