package dev.sandglass.acceptance;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * One installation of Sandglass: a home, a port, and the server process of it, which can be stopped, killed and started
 * again. Closing ends everything, and fails when something was left on the machine; then it removes that too.
 */
final class Installation implements AutoCloseable {
    /** Images are built at the first start of all, which takes a download. */
    static final Duration FIRST_START = Duration.ofMinutes(10);

    static final Duration START = Duration.ofSeconds(90);
    private static final Duration STOP = Duration.ofSeconds(60);
    private static final Duration LEFTOVERS_GONE = Duration.ofSeconds(20);

    private static final Set<Installation> OPEN = ConcurrentHashMap.newKeySet();

    static {
        // A run that is cut short must not leave VMs behind.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> OPEN.forEach(Installation::scrub), "end installations"));
    }

    private final String name;
    private final Path home;
    private final boolean ownsHome;
    private final int port;
    private final Path log;
    private final Map<String, String> environment = new HashMap<>();
    private String command; // of the one that serves the API
    private final List<Installation> companions = new ArrayList<>();
    private @Nullable Process server;
    private long startedNanos;
    private @Nullable Api api;

    private Installation(String name, String command) {
        this(name, command, freshHome(name), true);
    }

    private static Path freshHome(String name) {
        try {
            // Not under the repository: other uids have to reach it.
            Path home = Files.createTempDirectory("sandglass-" + name + "-");
            Shell.of("chmod", "755", home.toString()).run().require();
            return home;
        } catch (IOException e) {
            throw new UncheckedIOException("make a home", e);
        }
    }

    /** @param ownsHome removes it at the end */
    private Installation(String name, String command, Path home, boolean ownsHome) {
        this.ownsHome = ownsHome;
        this.name = name;
        this.command = command;
        this.port = freePort();
        this.home = home;
        try {
            log = Path.of(home + (command.equals("agent") ? "-agent.log" : ".log"));
            Files.writeString(log, "");
        } catch (IOException e) {
            throw new UncheckedIOException("make its log", e);
        }
        environment.put("SANDGLASS_HOME", home.toString());
        environment.put("CP_LISTEN_ADDR", "127.0.0.1:" + port);
        // Tests sign up more often than people do.
        environment.put("SANDGLASS_ATTEMPTS_PER_ADDRESS", "100000");
        // Nothing is left of a sandbox that is gone, and a pool would hide it: tests of the pool ask for one.
        environment.put("SANDGLASS_WARM_POOL", "0");
        OPEN.add(this);
    }

    /** Not started yet; its images come from the cache when there are some. */
    static Installation of(String name) {
        Installation fresh = new Installation(name, "up");
        fresh.linkImages(Repository.CACHE.resolve("images"), fresh.home.resolve("images"));
        return fresh;
    }

    /** Server side of another kind: {@code control-plane} or {@code agent}. */
    static Installation of(String name, String command) {
        Installation fresh = new Installation(name, command);
        if (!command.equals("control-plane")) {
            fresh.linkImages(Repository.CACHE.resolve("images"), fresh.home.resolve("images"));
        }
        return fresh;
    }

    static Installation started(String name) {
        Installation fresh = of(name);
        try {
            fresh.start();
            return fresh;
        } catch (Throwable failure) {
            fresh.abandon(failure);
            throw failure;
        }
    }

    /** The same as {@code up} in processes of their own: so many control planes, and the host agent. */
    static Installation startedApart(
            String name, int planes, Optional<Installation> templates, Map<String, String> settings) {
        Installation first = of(name);
        first.environment.putAll(settings);
        first.command = "control-plane";
        String registry = "127.0.0.1:" + freePort();
        try {
            templates.ifPresent(first::withTemplatesOf);
            first.with("SANDGLASS_REGISTRY_ADDR", registry).launch();
            first.await("its key", () -> Files.exists(first.home.resolve("client.json")));
            Installation agent = new Installation(name + "-agent", "agent", first.home, false);
            first.companions.add(agent);
            agent.environment.putAll(first.environment);
            agent.with("SANDGLASS_AGENT_ADDR", "127.0.0.1:" + freePort()).start();
            List<URI> urls = new ArrayList<>(List.of(first.url()));
            for (int n = 2; n <= planes; n++) {
                Installation beside = Planes.beside(first, name + "-plane" + n);
                beside.environment.putAll(settings);
                first.companions.add(beside);
                beside.launch();
                urls.add(beside.url());
                beside.await("readiness", beside::isReady);
            }
            first.awaitReady(START);
            Planes.takeTurns(first.url(), urls);
            return first;
        } catch (Throwable failure) {
            first.abandon(failure);
            throw failure;
        }
    }

    /** The other control planes and the agent, where it was started apart. */
    List<Installation> companions() {
        return List.copyOf(companions);
    }

    private void await(String what, Supplier<Boolean> condition) {
        long deadline = System.nanoTime() + FIRST_START.toNanos();
        while (!condition.get()) {
            if (!requireServer().isAlive() || System.nanoTime() > deadline) {
                throw new AssertionError(name + " has no " + what + ":\n" + logTail());
            }
            pause(Duration.ofMillis(50));
        }
    }

    Installation with(String variable, String value) {
        environment.put(variable, value);
        return this;
    }

    String variable(String name) {
        return environment.getOrDefault(name, "");
    }

    /** Takes over templates that are frozen already, which saves a boot. */
    Installation withTemplatesOf(Installation other) {
        linkImages(other.home.resolve("templates"), home.resolve("templates"));
        return this;
    }

    // --- where and who

    Path home() {
        return home;
    }

    int port() {
        return port;
    }

    URI url() {
        return URI.create("http://127.0.0.1:" + port);
    }

    /** Names of kernel objects begin with it. */
    String id() {
        return read(home.resolve("host-id")).strip().replaceFirst("^host", "");
    }

    /** What control plane and agents have in common. */
    String installation() {
        return read(home.resolve("installation/id")).strip();
    }

    Path log() {
        return log;
    }

    String logText() {
        return read(log);
    }

    int pid() {
        return (int) requireServer().pid();
    }

    /** With the key that {@code up} has made. */
    Api api() {
        Api known = api;
        if (known == null) {
            String key = Json.parse(read(home.resolve("client.json")))
                    .path("api_key")
                    .asString("");
            known = Api.at(url()).withKey(key);
            api = known;
        }
        return known;
    }

    Api anonymous() {
        return Api.at(url());
    }

    /** By another name of this machine, for which no turns are taken: this process, and not one beside it. */
    Api itself() {
        return Api.at(URI.create("http://localhost:" + port));
    }

    /** Another team: a new account and its key. */
    Api signUp(String email) {
        String token = anonymous()
                .post("/v1/auth/signup", Map.of("email", email, "password", "correct horse " + name))
                .require(201)
                .json()
                .path("token")
                .asString("");
        String key = anonymous()
                .withToken(token)
                .post("/v1/api-keys", Map.of("name", "test"))
                .require(201)
                .json()
                .path("key")
                .asString("");
        return anonymous().withKey(key);
    }

    // --- the server

    /** Starts, also those of its companions that have ended, and waits until it is ready. */
    Installation start(String... jvmOptions) {
        boolean cached = Files.exists(home.resolve("images/current"));
        launch(jvmOptions);
        List<Installation> ended =
                companions.stream().filter(companion -> !companion.isRunning()).toList();
        if (!ended.isEmpty()) {
            await("API", () -> answers("/healthz"));
            ended.forEach(Installation::launch);
            ended.forEach(companion -> companion.awaitReady(START));
        }
        awaitReady(cached ? START : FIRST_START);
        keepImages();
        return this;
    }

    /** In every pause what is saved is compared with what the process has, byte for byte. */
    private static final String VERIFY_PAUSES = "-Dsandglass.verify-saved-memory=true";

    private static final String STARTING = "### starting";

    /** What was built anew serves the next installations, too. */
    private void keepImages() {
        Path images = home.resolve("images");
        Path cache = Repository.CACHE.resolve("images");
        if (Files.exists(images) && !read(images.resolve("current")).equals(read(cache.resolve("current")))) {
            linkImages(images, cache);
        }
    }

    /** In a session of its own, like a daemon; what it prints goes to {@link #log}. */
    void launch(String... jvmOptions) {
        if (server != null && server.isAlive()) {
            throw new IllegalStateException(name + " runs already");
        }
        ProcessBuilder builder = new ProcessBuilder("setsid", Repository.SCRIPT, command)
                .directory(home.toFile())
                .redirectInput(new File("/dev/null"))
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()));
        clean(builder.environment());
        builder.environment().putAll(environment);
        builder.environment().put("JAVA_TOOL_OPTIONS", VERIFY_PAUSES + " " + String.join(" ", jvmOptions));
        note("starting");
        try {
            startedNanos = System.nanoTime();
            server = builder.start();
        } catch (IOException e) {
            throw new UncheckedIOException("start " + name, e);
        }
    }

    Duration sinceStart() {
        return Duration.ofNanos(System.nanoTime() - startedNanos);
    }

    void awaitReady(Duration patience) {
        if (!isReadyBeforeItEnds(patience)) {
            throw new AssertionError(
                    name + " ended with " + requireServer().exitValue() + " while starting:\n" + logTail());
        }
    }

    /** False when it ends while it starts. */
    boolean isReadyBeforeItEnds(Duration patience) {
        long deadline = System.nanoTime() + patience.toNanos();
        while (System.nanoTime() < deadline) {
            if (isReady()) {
                return true;
            }
            if (!requireServer().isAlive()) {
                return false;
            }
            pause(Duration.ofMillis(20));
        }
        throw new AssertionError(name + " is not ready after " + patience.toSeconds() + " s:\n" + logTail());
    }

    boolean isReady() {
        if (command.equals("agent")) {
            String said = logText();
            return said.substring(said.lastIndexOf(STARTING)).contains("The host agent serves");
        }
        return Files.exists(home.resolve("client.json")) && answers("/readyz");
    }

    private boolean answers(String path) {
        try {
            return itself().get(path).status() == 200;
        } catch (UncheckedIOException e) {
            return false;
        }
    }

    boolean isRunning() {
        return server != null && server.isAlive();
    }

    int awaitEnd(Duration patience) {
        try {
            if (!requireServer().waitFor(patience.toMillis(), TimeUnit.MILLISECONDS)) {
                throw new AssertionError(name + " still runs after " + patience.toSeconds() + " s:\n" + logTail());
            }
            return requireServer().exitValue();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        }
    }

    void killNow() {
        requireServer().destroyForcibly();
        awaitEnd(Duration.ofSeconds(10));
    }

    /** With what runs in processes of its own. */
    void killAllNow() {
        killNow();
        companions.stream().filter(Installation::isRunning).forEach(Installation::killNow);
    }

    /** SIGTERM. */
    int stop() {
        requireServer().destroy();
        return awaitEnd(STOP);
    }

    // --- the command line

    Shell cli(String... arguments) {
        return cli(List.of(arguments));
    }

    Shell cli(List<String> arguments) {
        List<String> argv = new ArrayList<>(List.of(Repository.SCRIPT));
        argv.addAll(arguments);
        return Shell.of(argv.toArray(String[]::new)).with(environment);
    }

    // --- what it has on this machine

    Footprint footprint() {
        String known = id();
        Set<Integer> servers = Stream.concat(Stream.of(this), companions.stream())
                .filter(Installation::isRunning)
                .map(Installation::pid)
                .collect(Collectors.toSet());
        return Footprint.of(home, known.isEmpty() ? "no-installation" : known, servers);
    }

    List<Proc> vms() {
        return Footprint.processesOf(home, id()).stream().filter(Proc::isQemu).toList();
    }

    /** What the host has written down of a sandbox. */
    JsonNode ledger(String sandbox) {
        return Json.parse(read(home.resolve("sandboxes/" + sandbox + "/ledger.json")));
    }

    /** Name of the machine that a sandbox runs in; its control group has it too. */
    String machine(String sandbox) {
        return ledger(sandbox).path("machine").path("name").asString("");
    }

    /** Of one sandbox. */
    Proc vm(String sandbox) {
        int pid = ledger(sandbox).path("machine").path("pid").asInt(-1);
        return vms().stream()
                .filter(process -> process.pid() == pid)
                .findFirst()
                .orElseThrow(() -> new AssertionError("no VM of " + sandbox + " among " + vms()));
    }

    /** Fails when after a while there is more than before. */
    void assertNothingBeyond(Footprint before) {
        assertNone(() -> footprint().beyond(before));
    }

    /** The same without network slots, which rest for some seconds before they go. */
    void assertNothingLivesBeyond(Footprint before) {
        assertNone(() -> footprint().beyond(before).withoutPools());
    }

    private void assertNone(Supplier<Footprint> excess) {
        Footprint more = excess.get();
        long deadline = System.nanoTime() + LEFTOVERS_GONE.toNanos();
        while (!more.isEmpty() && System.nanoTime() < deadline) {
            pause(Duration.ofMillis(100));
            more = excess.get();
        }
        if (!more.isEmpty()) {
            throw new AssertionError(name + " left something behind:\n" + more + "\n" + logTail());
        }
    }

    // --- the end

    /** {@code down}; afterwards nothing may be left but files in its home. */
    void down() {
        cli("down", "--destroy", "--yes").within(STOP).run().require();
        if (server != null) {
            awaitEnd(STOP);
        }
        Footprint left = footprint();
        if (!left.isEmpty()) {
            throw new AssertionError("after `down` of " + name + " there is still:\n" + left + "\n" + logTail());
        }
    }

    /** Whoever reads a log must not become somebody else by it. */
    private void assertLogsHoldNoSecret() {
        Secrets.ofHome(home);
        List<String> leaked = Secrets.leaked(home, log);
        if (!leaked.isEmpty()) {
            throw new AssertionError("secrets are in the logs of " + name + ":\n" + String.join("\n", leaked));
        }
    }

    @Override
    public void close() {
        try {
            if (!companions.isEmpty()) {
                downApart();
            } else if (command.equals("up")) {
                down();
            } else if (isRunning()) {
                stop();
            }
            assertLogsHoldNoSecret();
        } finally {
            scrub();
        }
    }

    private void downApart() {
        if (isRunning()) {
            cli("rm", "--all").within(STOP).run();
        }
        companions.reversed().forEach(Installation::close);
        if (isRunning()) {
            stop();
        }
    }

    private void abandon(Throwable failure) {
        try {
            close();
        } catch (Throwable second) {
            failure.addSuppressed(second);
        }
    }

    /** Whatever the programs did or did not do: afterwards there is nothing of it on this machine. */
    private void scrub() {
        if (!OPEN.remove(this)) {
            return;
        }
        if (server != null) {
            Shell.killTree(server.toHandle());
        }
        if (!ownsHome) {
            if (!Boolean.getBoolean("acceptance.keepLogs")) {
                quietly("rm", "-f", log.toString());
            }
            return;
        }
        Footprint left = footprint();
        for (int round = 0; round < 5 && !left.isEmpty(); round++) {
            remove(left);
            pause(Duration.ofMillis(100));
            left = footprint();
        }
        quietly("rm", "-rf", home.toString());
        if (!Boolean.getBoolean("acceptance.keepLogs")) {
            quietly("rm", "-f", log.toString());
        }
    }

    private void remove(Footprint left) {
        left.of(Footprint.PROCESSES).forEach(process -> quietly("kill", "-9", process.split(" ", 2)[0]));
        left.of(Footprint.LINKS).forEach(link -> quietly("ip", "link", "del", link));
        left.of(Footprint.NAMESPACES).forEach(namespace -> quietly("ip", "netns", "del", namespace));
        left.of(Footprint.TABLES).forEach(table -> {
            List<String> argv = new ArrayList<>(List.of("nft", "delete"));
            argv.addAll(List.of(table.split(" ", -1)));
            quietly(argv.toArray(String[]::new));
        });
        left.of(Footprint.MOUNTS).forEach(mount -> quietly("umount", "-l", mount.split(" ", -1)[1]));
        left.of(Footprint.CGROUPS).forEach(group -> quietly("rmdir", group));
        left.of(Footprint.SLOTS).forEach(slot -> quietly("rm", "-f", "/run/sandglass/slots/" + slot));
        for (String kind : List.of(Footprint.SANDBOXES, Footprint.MACHINES, Footprint.SNAPSHOTS)) {
            left.of(kind).forEach(folder -> quietly("rm", "-rf", home + "/" + folder));
        }
    }

    private static void quietly(String... argv) {
        try {
            Shell.of(argv).within(Duration.ofSeconds(10)).run();
        } catch (AssertionError | RuntimeException e) {
            // It goes on with the rest.
        }
    }

    // --- details

    /** Hard links, so that copies cost nothing; a real copy where that is not possible. */
    private void linkImages(Path from, Path to) {
        if (!Files.isDirectory(from)) {
            return;
        }
        try {
            Files.createDirectories(to);
        } catch (IOException e) {
            throw new UncheckedIOException("make " + to, e);
        }
        String source = from + "/.";
        if (Shell.of("cp", "-alf", source, to.toString()).run().exitCode() != 0) {
            Shell.of("cp", "-af", "--sparse=always", source, to.toString())
                    .run()
                    .require();
        }
    }

    private static void clean(Map<String, String> variables) {
        Collection<String> names = variables.keySet();
        names.removeIf(variable -> variable.startsWith("SANDGLASS_")
                || variable.startsWith("CP_")
                || variable.startsWith("OAUTH_")
                || variable.equals("DATABASE_URL")
                || variable.equals("JWT_SECRET"));
    }

    private Process requireServer() {
        return Optional.ofNullable(server).orElseThrow(() -> new IllegalStateException(name + " was never started"));
    }

    String logTail() {
        List<String> lines = logText().lines().toList();
        StringBuilder tail = new StringBuilder("--- end of the log of " + name + "\n");
        lines.subList(Math.max(0, lines.size() - 15), lines.size())
                .forEach(line -> tail.append(line).append('\n'));
        List<String> detail = read(home.resolve("log/sandglass.log")).lines().toList();
        tail.append("--- and of its log file\n");
        detail.subList(Math.max(0, detail.size() - 30), detail.size())
                .forEach(line -> tail.append(line).append('\n'));
        return tail.toString();
    }

    void note(String text) {
        try {
            Files.writeString(log, "### " + text + "\n", StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new UncheckedIOException("write " + log, e);
        }
    }

    static String read(Path file) {
        try {
            return new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
        } catch (IOException e) {
            return "";
        }
    }

    static void pause(Duration time) {
        try {
            Thread.sleep(time.toMillis());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        }
    }

    static int freePort() {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        } catch (IOException e) {
            throw new UncheckedIOException("find a free port", e);
        }
    }
}
