package dev.sandglass.control;

import dev.sandglass.contract.Id;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.Scope;
import dev.sandglass.contract.SecretFile;
import dev.sandglass.control.account.AccountFeature;
import dev.sandglass.control.account.Tokens;
import dev.sandglass.control.apikey.ApiKeyFeature;
import dev.sandglass.control.database.Announcements;
import dev.sandglass.control.database.Database;
import dev.sandglass.control.database.DatabaseAddress;
import dev.sandglass.control.database.EmbeddedPostgres;
import dev.sandglass.control.exec.ExecResource;
import dev.sandglass.control.exec.ExecSockets;
import dev.sandglass.control.exec.Origins;
import dev.sandglass.control.file.FileResource;
import dev.sandglass.control.host.HostDirectory;
import dev.sandglass.control.host.HostMonitor;
import dev.sandglass.control.host.HostRegistry;
import dev.sandglass.control.host.HostStore;
import dev.sandglass.control.host.Placement;
import dev.sandglass.control.http.Authenticator;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.http.WebServer;
import dev.sandglass.control.idempotency.StoredAnswers;
import dev.sandglass.control.oauth.OauthFeature;
import dev.sandglass.control.observe.Telemetry;
import dev.sandglass.control.page.DocumentResource;
import dev.sandglass.control.page.TestPage;
import dev.sandglass.control.sandbox.SandboxFeature;
import dev.sandglass.control.snapshot.SnapshotFeature;
import java.net.InetSocketAddress;
import java.time.Clock;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;

/** Everything the control plane consists of, made in order and closed in reverse. One line for each feature. */
final class Wiring implements AutoCloseable {
    private final Scope owned = Scope.open("stop the control plane");
    private volatile boolean stopping;

    final Announcements announcements;
    final AccountFeature accounts;
    final ApiKeyFeature apiKeys;
    final SandboxFeature sandboxes;
    final List<Route> routes;
    final WebServer server;
    final Optional<HostRegistry> registry;

    Wiring(ControlPlaneConfiguration configuration, Optional<Supplier<EmbeddedAgent>> agent, Progress progress) {
        try {
            Telemetry telemetry = own(new Telemetry());
            DatabaseAddress address =
                    configuration.database().orElseGet(() -> embeddedDatabase(configuration, progress));
            progress.step("bringing the database's schema up to date");
            Database database = own(Database.open(address, progress));
            announcements = own(new Announcements(address, database.jdbi()));
            String secret = jwtSecret(configuration);
            Tokens tokens = new Tokens(secret, Clock.systemUTC());
            HostStore hostStore =
                    new HostStore(database.jdbi(), configuration.installation().id());
            HostDirectory hosts = own(new HostDirectory(hostStore, configuration.installation()));

            accounts = AccountFeature.wire(database.jdbi(), configuration.attempts(), tokens);
            own(accounts.accounts());
            OauthFeature oauth = own(new OauthFeature(configuration.oauth(), accounts.accounts(), tokens, secret));
            apiKeys = ApiKeyFeature.wire(database.jdbi(), announcements);
            own(apiKeys.keys());
            StoredAnswers answers = new StoredAnswers(database.jdbi());
            sandboxes = own(new SandboxFeature(
                    database,
                    answers,
                    hosts,
                    hostStore,
                    new Placement(configuration.memoryOvercommit()),
                    configuration.quota(),
                    SnapshotFeature.templates(database.jdbi(), answers),
                    telemetry));
            SnapshotFeature snapshots = SnapshotFeature.wire(database.jdbi(), answers, hosts, sandboxes);
            ExecSockets execSockets = new ExecSockets(
                    sandboxes.sandboxes(),
                    configuration.http().idleTimeout().dividedBy(3),
                    configuration.quota().streams());
            ExecResource execs = new ExecResource(
                    sandboxes.sandboxes(),
                    new Origins(configuration.publicUrl(), configuration.allowedOrigins()),
                    execSockets);
            FileResource files =
                    new FileResource(sandboxes.sandboxes(), configuration.home().resolve("uploads"));
            SystemResource system = new SystemResource(
                    telemetry,
                    () -> stopping,
                    database::answers,
                    () -> !hostStore.alive(HostMonitor.PATIENCE).isEmpty());

            announcements.start();

            progress.step("connecting the host agent");
            HostMonitor monitor = own(new HostMonitor(hosts, hostStore));
            agent.map(Supplier::get).ifPresent(here -> {
                monitor.embedded(here.hostId(), here.channel());
                sandboxes.interrupted(here.hostId());
            });
            sandboxes.start();
            configuration.hostAgent().ifPresent(monitor::at);
            registry = registryAddress(configuration, agent.isPresent())
                    .map(listen -> own(HostRegistry.start(listen, configuration.installation(), hosts, hostStore)));

            routes = Stream.of(
                            accounts.routes(),
                            oauth.routes(),
                            apiKeys.routes(),
                            sandboxes.routes(),
                            snapshots.routes(),
                            execs.routes(),
                            files.routes(),
                            system.routes(),
                            DocumentResource.routes(),
                            TestPage.routes())
                    .flatMap(List::stream)
                    .toList();
            progress.step("starting the API");
            server = own(WebServer.start(
                    configuration.listen(),
                    configuration.http(),
                    routes,
                    new Authenticator(tokens::verify, apiKeys.keys()::find),
                    telemetry));
            own(execSockets)
                    .start(); // closed first: before the server waits for requests, streams are told that it stops
            gauges(telemetry, database, execSockets);
            owned.defer("announce the stop", () -> announceStop(configuration.drain()));
        } catch (RuntimeException e) {
            closeAfter(e);
            throw e;
        }
    }

    private void gauges(Telemetry telemetry, Database database, ExecSockets execSockets) {
        telemetry.gauge("sandglass.database.connections", "connections of the pool", database::connections);
        telemetry.gauge("sandglass.database.connections.used", "those in use", database::connectionsInUse);
        telemetry.gauge("sandglass.database.waiting", "threads that wait for one", database::waiting);
        telemetry.gauge(
                "sandglass.database.announcements",
                "1: changes are heard of, and caches used",
                () -> announcements.isCurrent() ? 1 : 0);
        telemetry.gauge("sandglass.http.connections", "open HTTP connections", server::connections);
        telemetry.gauge("sandglass.http.under.way", "requests that are not answered yet", server::requestsUnderWay);
        telemetry.gauge("sandglass.exec.streams", "open exec streams", execSockets::count);
    }

    /** /readyz says so while everything is still served, so that whoever distributes requests sends them elsewhere. */
    private void announceStop(Duration drain) {
        stopping = true;
        try {
            Thread.sleep(drain);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private <T extends AutoCloseable> T own(T part) {
        return owned.own(part);
    }

    private DatabaseAddress embeddedDatabase(ControlPlaneConfiguration configuration, Progress progress) {
        return own(EmbeddedPostgres.start(configuration.home().resolve("postgresql"), progress))
                .address();
    }

    private static String jwtSecret(ControlPlaneConfiguration configuration) {
        return configuration
                .jwtSecret()
                .orElseGet(() -> SecretFile.ensure(
                        configuration.home().resolve("secrets").resolve("jwt"), () -> Id.Ids.randomCharacters(52)));
    }

    /** With an agent in this process others may register only where an address says so. */
    private static Optional<InetSocketAddress> registryAddress(
            ControlPlaneConfiguration configuration, boolean embedded) {
        if (configuration.registry().isPresent() || embedded) {
            return configuration.registry();
        }
        InetSocketAddress api = configuration.listen();
        int port = api.getPort() == 0 ? 0 : api.getPort() % 65_535 + 1;
        return Optional.of(new InetSocketAddress(api.getHostString(), port));
    }

    private void closeAfter(RuntimeException failure) {
        try {
            close();
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
        }
    }

    /** Everything, in reverse; a part that fails to close does not keep the others from it. */
    @Override
    public void close() {
        owned.close();
    }
}
