package dev.sandglass.bench;

import dev.sandglass.cli.client.Access;
import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.server.Home;
import dev.sandglass.contract.Progress;
import dev.sandglass.host.linux.Deadline;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * An installation for one run: a home of its own, a free port, {@code ./sandglass up} in a session of its own so that
 * Ctrl-C reaches only the benchmark. {@link #close} destroys what runs in it and stops it; the caller removes the home.
 */
final class OwnServer implements AutoCloseable {
    /** Boot images are built in it when there are none to take over. */
    private static final Duration START = Duration.ofMinutes(15);

    private static final Duration DOWN = Duration.ofMinutes(2);
    private static final Duration COPY = Duration.ofMinutes(1);
    private static final long POLL_MILLIS = 200;

    private static final String LOG = "up.log";
    private static final List<String> OTHERS = List.of(
            "DATABASE_URL",
            "JWT_SECRET",
            "CP_HOST_AGENT_ADDR",
            "CP_PUBLIC_URL",
            "OAUTH_GITHUB_CLIENT_ID",
            "OAUTH_GITHUB_CLIENT_SECRET",
            "OAUTH_REDIRECT_URL",
            "SANDGLASS_URL",
            "SANDGLASS_API_KEY");

    private final Path script;
    private final Path home;
    private final String address;
    private final Process process;

    private OwnServer(Path script, Path home) throws IOException {
        this.script = script;
        this.home = home;
        this.address = "127.0.0.1:" + freePort();
        this.process = command("up").start();
    }

    /**
     * Returns when the server is ready.
     *
     * @param root the repository
     * @param home an empty directory
     * @param usualHome whose boot images are taken over if there are any
     */
    static OwnServer start(Path root, Path home, Path usualHome, Interruption interruption, Progress progress) {
        progress.step("starting an installation in " + home);
        try {
            copyImages(usualHome.resolve("images"), home.resolve("images"));
            OwnServer server = new OwnServer(root.resolve("sandglass").toAbsolutePath(), home);
            try {
                server.awaitReady(interruption);
                return server;
            } catch (RuntimeException e) {
                server.close();
                throw e;
            }
        } catch (IOException e) {
            throw new UncheckedIOException("start an installation in " + home, e);
        }
    }

    /** How its own command line would reach it. */
    Access access() {
        return new Home(home)
                .readAccess()
                .orElseThrow(() -> new BenchFailure("The server that was started for this has left no key."));
    }

    private void awaitReady(Interruption interruption) {
        Deadline deadline = Deadline.after(START);
        while (!ready()) {
            interruption.check();
            if (!process.isAlive()) {
                throw new BenchFailure("The server that was started for this did not come up:\n" + lastWords());
            }
            if (deadline.expired()) {
                throw new BenchFailure("The server that was started for this is not ready after " + START.toMinutes()
                        + " minutes:\n" + lastWords());
            }
            pause();
        }
    }

    private boolean ready() {
        Optional<Access> access = new Home(home).readAccess();
        if (access.isEmpty()) {
            return false;
        }
        try (Api api = new Api(access.get())) {
            return api.isReady();
        }
    }

    private String lastWords() {
        try {
            List<String> lines = Files.readAllLines(home.resolve(LOG));
            return String.join("\n", lines.subList(Math.max(0, lines.size() - 8), lines.size()));
        } catch (IOException e) {
            return "(no output)";
        }
    }

    private static void pause() {
        try {
            Thread.sleep(POLL_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchFailure("interrupted");
        }
    }

    /** {@code down} destroys sandboxes that a failed run may have left, which the server alone would leave alive. */
    @Override
    public void close() {
        try {
            Process down = command("down", "--destroy", "--yes").start();
            if (!down.waitFor(DOWN.toMillis(), TimeUnit.MILLISECONDS)) {
                down.destroy();
            }
            if (!process.waitFor(1, TimeUnit.SECONDS)) {
                process.destroy();
                if (!process.waitFor(DOWN.toMillis(), TimeUnit.MILLISECONDS)) {
                    process.destroyForcibly().waitFor();
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("stop the server of this run", e);
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }

    private ProcessBuilder command(String verb, String... options) {
        List<String> argv = new ArrayList<>(List.of("setsid", script.toString(), verb));
        argv.addAll(List.of(options));
        ProcessBuilder builder = new ProcessBuilder(argv)
                .directory(home.toFile())
                .redirectInput(ProcessBuilder.Redirect.from(new File("/dev/null")))
                .redirectErrorStream(true)
                .redirectOutput(
                        ProcessBuilder.Redirect.appendTo(home.resolve(LOG).toFile()));
        // Other settings of this shell or of .env, such as a database, are not for this installation; blank is absent.
        OTHERS.forEach(name -> builder.environment().put(name, ""));
        builder.environment().put("SANDGLASS_HOME", home.toString());
        builder.environment().put("CP_LISTEN_ADDR", address);
        return builder;
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    /** Half a minute saved; the server checks every byte of them. Copied, since a new link changes the original's times. */
    private static void copyImages(Path from, Path to) throws IOException {
        Path current = from.resolve("current");
        if (!Files.isReadable(current)) {
            return;
        }
        Files.createDirectories(to);
        Path image = from.resolve(Files.readString(current).strip());
        boolean copied = Program.run(COPY, "cp", "-a", "--sparse=always", "--reflink=auto", image + "", to + "/")
                .filter(result -> result.exitCode() == 0)
                .isPresent();
        if (copied) {
            Files.copy(current, to.resolve("current"));
        }
    }
}
