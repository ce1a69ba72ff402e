package dev.sandglass.cli.server;

import dev.sandglass.cli.client.Access;
import dev.sandglass.cli.server.Home.Role;
import dev.sandglass.cli.server.Home.Running;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.Scope;
import dev.sandglass.control.ControlPlane;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What {@code up} runs: control plane, embedded PostgreSQL and host agent in this process. Holds the home's locks. Closing
 * it leaves VMs alone.
 */
public final class LocalServer implements AutoCloseable {
    private static final String KEY_NAME = "local";
    private static final Logger log = LoggerFactory.getLogger(LocalServer.class);

    private final Scope owned = Scope.open("stop the server");
    private final ServerSettings settings;
    private final Optional<LocalHost> host;
    private final ControlPlane controlPlane;

    private LocalServer(Settings plain, Optional<Path> recipes, Progress progress) throws IOException {
        Home home = plain.home();
        home.create();
        own(requireLock(home, Role.CONTROL_PLANE));
        ServerLog.toFile(home.log(), ServerSettings.log(plain));
        try {
            settings = ServerSettings.read(plain);
            // With an agent elsewhere this is a control plane with a database, and nothing more.
            if (settings.control().hostAgent().isPresent()) {
                host = Optional.empty();
                controlPlane = own(ControlPlane.start(settings.control(), Optional.empty(), progress));
            } else {
                own(requireLock(home, Role.AGENT));
                StartingPlane starting = StartingPlane.start(settings.control());
                host = Optional.of(startHost(starting, home, recipes, progress));
                progress.step("starting the database and the API");
                controlPlane = own(starting.finish(host.get().embedded()));
            }
            progress.step("preparing the local key");
            shareAccess(ensureAccess(home, controlPlane));
            Running running = new Running(ProcessHandle.current().pid(), controlPlane.url());
            home.writeRunning(Role.CONTROL_PLANE, running);
            home.writeRunning(Role.AGENT, running);
        } catch (IOException | RuntimeException e) {
            closeAfter(e);
            throw e;
        }
    }

    /**
     * Returns when the API serves and its key is where the command line finds it.
     *
     * @param root the repository, with the recipes of guest agent and images, which are built where they changed
     */
    public static LocalServer start(Settings settings, Path root, Progress progress) throws IOException {
        return new LocalServer(settings, Optional.of(root), progress);
    }

    /** For ending things: at a free port, without images or templates, and without asking what could run a guest. */
    public static LocalServer startToEnd(Settings settings, Progress progress) throws IOException {
        Map<String, String> variables = new HashMap<>(settings.variables());
        variables.put("CP_LISTEN_ADDR", "127.0.0.1:0");
        variables.put("SANDGLASS_ACCELERATOR", "tcg");
        return new LocalServer(new Settings(variables), Optional.empty(), progress);
    }

    /** For pausing what runs: at a free port, and nothing is built or frozen for it. */
    public static LocalServer startToPause(Settings settings, Progress progress) throws IOException {
        Map<String, String> variables = new HashMap<>(settings.variables());
        variables.put("CP_LISTEN_ADDR", "127.0.0.1:0");
        return new LocalServer(new Settings(variables), Optional.empty(), progress);
    }

    private LocalHost startHost(StartingPlane waiting, Home home, Optional<Path> recipes, Progress progress)
            throws IOException {
        try {
            if (recipes.isPresent()) {
                LocalHost.buildImages(recipes.get(), home, progress);
            }
            LocalHost started = own(LocalHost.start(settings, progress));
            if (recipes.isPresent()) {
                started.agent().ensureDefaultTemplate(progress);
            }
            return started;
        } catch (IOException | RuntimeException e) {
            waiting.giveUp(e);
            throw e;
        }
    }

    static Home.Lock requireLock(Home home, Role role) throws IOException {
        return home.tryLock(role)
                .orElseThrow(() -> new IOException("Sandglass runs already for " + home.path() + " (" + role.label()
                        + "). Another one needs a SANDGLASS_HOME and a CP_LISTEN_ADDR of its own"));
    }

    private <T extends AutoCloseable> T own(T part) {
        return owned.own(part);
    }

    /** The key for this machine's command line; the one there is stays while it is good. */
    static Access ensureAccess(Home home, ControlPlane controlPlane) throws IOException {
        Optional<String> kept = home.readAccess().map(Access::apiKey).filter(controlPlane::acceptsKey);
        Access access = new Access(controlPlane.url(), kept.orElseGet(() -> controlPlane.createLocalKey(KEY_NAME)));
        home.writeAccess(access);
        return access;
    }

    private void shareAccess(Access access) {
        if (settings.settings().isDefaultHome()) {
            InvokingUser.of(settings.settings().variables()).ifPresent(user -> user.give(access));
        }
    }

    public URI url() {
        return controlPlane.url();
    }

    /** What runs guests' code and why; empty without an agent here. */
    public Optional<String> acceleration() {
        return host.map(here -> here.agent().acceleration());
    }

    /** Sandboxes of this host whose VM runs now. */
    public int livingSandboxes() {
        return host.map(here -> here.agent().livingSandboxes()).orElse(0);
    }

    /** Pauses every running sandbox on this host, whoever's it is. Returns a line for each that could not be. */
    public List<String> pauseAll(Progress progress) {
        if (host.isEmpty()) {
            return List.of();
        }
        try {
            host.get().agent().pauseAll(progress);
            return List.of();
        } catch (IllegalStateException e) {
            log.error("not all sandboxes could be paused", e);
            return Stream.of(e.getSuppressed()).map(Throwable::getMessage).toList();
        }
    }

    /** Destroys every sandbox on this host, whoever's it is. */
    public void destroyAll(Progress progress) {
        host.ifPresent(here -> here.agent().destroyAll(progress));
    }

    private void closeAfter(Exception failure) {
        try {
            close();
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
        }
    }

    /** Everything in reverse. */
    @Override
    public void close() {
        owned.close();
    }
}
