package dev.sandglass.control.sandbox;

import dev.sandglass.control.database.Database;
import dev.sandglass.control.database.Leadership;
import dev.sandglass.control.host.HostDirectory;
import dev.sandglass.control.host.HostStore;
import dev.sandglass.control.host.Placement;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.idempotency.StoredAnswers;
import dev.sandglass.control.observe.Telemetry;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;

/** The feature, wired. Closing it waits for work on sandboxes that is under way. */
public final class SandboxFeature implements AutoCloseable {
    private static final Template BASE = new Template(SandboxSpec.BASE_TEMPLATE, Optional.empty());

    private final PostgresSandboxStore store;
    private final Sandboxes sandboxes;
    private final List<Route> routes;
    private final Lifecycle lifecycle;
    private final Activity activity;
    private final Reconciler reconciler;

    /** {@code templates}: those of teams, beside the base. */
    public SandboxFeature(
            Database database,
            StoredAnswers answers,
            HostDirectory hosts,
            HostStore hostStore,
            Placement placement,
            TeamQuota quota,
            Template.Catalogue templates,
            Telemetry telemetry) {
        store = new PostgresSandboxStore(database, answers);
        lifecycle = new Lifecycle(telemetry);
        activity = new Activity(store);
        Machines machines = new AgentMachines(hosts);
        SandboxStore patient = new PatientSandboxStore(store, Pace.SYSTEM);
        AtomicReference<Runnable> soon = new AtomicReference<>(() -> {});
        Operations operations = new Operations(
                patient,
                machines,
                lifecycle,
                quota,
                Pace.SYSTEM,
                () -> soon.get().run());
        reconciler = new Reconciler(
                new Leadership(database.jdbi(), Reconciler.LOCK),
                new Rounds(store, machines, operations, hosts.installation(), Pace.SYSTEM),
                hostStore,
                store,
                telemetry);
        soon.set(reconciler::soon);
        sandboxes = new Sandboxes(store, hosts, machines, operations, activity);
        Creation creation = new Creation(
                store,
                answers,
                hostStore,
                placement,
                quota,
                (team, name) -> name.equals(BASE.name()) ? Optional.of(BASE) : templates.find(team, name),
                lifecycle,
                new Launch(patient, machines, operations));
        routes = new SandboxResource(sandboxes, creation, operations, store).routes();
    }

    public Sandboxes sandboxes() {
        return sandboxes;
    }

    public Lifecycle lifecycle() {
        return lifecycle;
    }

    public List<Route> routes() {
        return routes;
    }

    /** {@code chore} is done in each pass of the reconciler, by one control plane at a time. */
    public void reconcile(Runnable chore) {
        reconciler.also(chore);
    }

    /** Begins to compare rows with what hosts have. */
    public void start() {
        reconciler.start();
    }

    /**
     * To be told before the first request: the agent of this host lives in this process, so whatever was under way there
     * ended with the process before.
     */
    public void interrupted(String hostId) {
        store.interrupted(hostId);
    }

    /** Compares rows and hosts now instead of in a few seconds. */
    public void reconcileNow() throws Exception {
        reconciler.passNow();
    }

    /** Something is off that the reconciler should look at: it comes sooner than by itself. */
    public void reconcileSoon() {
        reconciler.soon();
    }

    @Override
    public void close() {
        reconciler.close();
        lifecycle.close();
        activity.close();
    }
}
