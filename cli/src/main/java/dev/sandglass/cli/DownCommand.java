package dev.sandglass.cli;

import dev.sandglass.cli.client.Access;
import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.ApiFailure;
import dev.sandglass.cli.client.Sandbox;
import dev.sandglass.cli.server.Home;
import dev.sandglass.cli.server.Home.Role;
import dev.sandglass.cli.server.Home.Running;
import dev.sandglass.cli.server.LocalServer;
import dev.sandglass.cli.server.ServerSettings;
import dev.sandglass.cli.server.Settings;
import dev.sandglass.cli.terminal.ConsoleProgress;
import dev.sandglass.cli.terminal.Terminal;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
        name = "down",
        description = "Pause all sandboxes and stop the server.",
        mixinStandardHelpOptions = true,
        footerHeading =
                "%nA paused sandbox takes disk only; after the next `up` it goes on with `resume`. One that cannot be"
                        + " paused goes on running and makes the exit code 1. With --destroy all sandboxes are removed, paused ones"
                        + " too; accounts, keys, snapshots, images and templates stay.%n%nExamples:%n",
        footer = {"  sandglass down", "  sandglass down --destroy --yes"})
final class DownCommand implements Callable<Integer> {
    /** Operations in progress are waited for by the server that stops. */
    private static final Duration STOP_LIMIT = Duration.ofSeconds(90);

    /** As many as are paused at once: it is processor time and the disk that take long. */
    private static final int PARALLEL = 4;

    private final Context context;

    @Option(names = "--destroy", description = "Remove all sandboxes instead of pausing them. Asks first.")
    private boolean destroy;

    @Option(
            names = {"-y", "--yes"},
            description = "Do not ask.")
    private boolean yes;

    DownCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() throws Exception {
        Settings settings = context.settings();
        ServerSettings.check(settings);
        Home home = settings.home();
        if (!Files.isDirectory(home.path())) {
            context.out().println("Nothing to end: there is no " + home.path() + ".");
            return 0;
        }
        if (destroy) {
            confirm(home);
        }
        try (var progress = new ConsoleProgress(context.out(), Terminal.isTerminal(1))) {
            String server = stopRunning(home, progress) ? "The server is stopped, " : "No server runs, ";
            if (destroy) {
                int destroyed = destroyAll(settings, progress);
                progress.finish();
                context.out().println(server + count(destroyed, "destroyed"));
                return 0;
            }
            Paused paused = pauseAll(settings, progress);
            progress.finish();
            return report(server, paused);
        }
    }

    /** @param failures a line for each sandbox that goes on running */
    private record Paused(int running, List<String> failures) {}

    private int report(String server, Paused paused) {
        int done = paused.running() - paused.failures().size();
        context.out()
                .println(server
                        + count(done, "paused")
                        + (done == 0 ? "" : " After `./sandglass up`, `./sandglass resume` lets them go on."));
        if (paused.failures().isEmpty()) {
            return 0;
        }
        paused.failures().forEach(failure -> context.err().println("sandglass: " + failure));
        context.err()
                .println("sandglass: " + (paused.failures().size() == 1 ? "It goes" : "They go")
                        + " on running. Try again, or remove all sandboxes with `./sandglass down --destroy`.");
        return 1;
    }

    private static String count(int sandboxes, String what) {
        return switch (sandboxes) {
            case 0 -> "no sandbox was there to be " + what + ".";
            case 1 -> "1 sandbox " + what + ".";
            default -> sandboxes + " sandboxes " + what + ".";
        };
    }

    private void confirm(Home home) throws IOException {
        if (yes) {
            return;
        }
        if (!Terminal.isTerminal(0)) {
            throw new CommandFailure("`down --destroy` removes all sandboxes of " + home.path()
                    + ". There is no terminal to ask at: add --yes if that is wanted.");
        }
        context.out().print("Remove all sandboxes of " + home.path() + " and stop the server? [y/N] ");
        context.out().flush();
        String answer = new BufferedReader(new InputStreamReader(context.in(), StandardCharsets.UTF_8)).readLine();
        if (answer == null || !answer.strip().toLowerCase(Locale.ROOT).matches("y|yes")) {
            throw new CommandFailure("Nothing was changed.");
        }
    }

    private static boolean stopRunning(Home home, ConsoleProgress progress) throws IOException, InterruptedException {
        boolean any = false;
        for (Role role : Role.values()) {
            Optional<Running> running = home.findRunning(role);
            if (running.isEmpty()) {
                continue;
            }
            any = true;
            progress.step("stopping the server");
            ProcessHandle process = ProcessHandle.of(running.get().pid())
                    .orElseThrow(() -> new CommandFailure("A server holds " + home.path()
                            + " but its process is not known. End it, then try again."));
            process.destroy();
            long deadline = System.nanoTime() + STOP_LIMIT.toNanos();
            while (home.findRunning(role).isPresent()) {
                if (System.nanoTime() > deadline) {
                    throw new CommandFailure("The server (pid " + process.pid() + ") did not stop within "
                            + STOP_LIMIT.toSeconds() + " s. Its log is in " + home.log() + ".");
                }
                Thread.sleep(50);
            }
        }
        return any;
    }

    /**
     * By a server of our own, as below. Through the API where the local key reaches, so that the rows say so at once; the
     * others' by the agent, and their rows are settled by the next server.
     */
    private static Paused pauseAll(Settings settings, ConsoleProgress progress) throws IOException {
        Optional<Access> kept = settings.home().readAccess();
        try (LocalServer server = LocalServer.startToPause(settings, progress)) {
            int running = server.livingSandboxes();
            if (running == 0) {
                return new Paused(0, List.of());
            }
            progress.step("pausing sandboxes");
            pauseOwn(settings, progress);
            return new Paused(running, server.livingSandboxes() == 0 ? List.of() : server.pauseAll(progress));
        } finally {
            if (kept.isPresent()) {
                settings.home().writeAccess(kept.get());
            }
        }
    }

    private static void pauseOwn(Settings settings, ConsoleProgress progress) {
        Optional<Access> access = settings.home().readAccess();
        if (access.isEmpty()) {
            return;
        }
        try (Api api = new Api(access.get());
                ExecutorService pauses = Executors.newFixedThreadPool(PARALLEL)) {
            List<Sandbox> running = api.list().stream()
                    .filter(sandbox -> sandbox.status().equals("running"))
                    .toList();
            AtomicInteger done = new AtomicInteger();
            running.forEach(sandbox -> pauses.execute(() -> {
                try {
                    api.pause(sandbox.id());
                } catch (ApiFailure e) {
                    // The agent is asked once more, and says why.
                }
                progress.advance(done.incrementAndGet(), running.size(), "sandboxes");
            }));
        } catch (ApiFailure e) {
            // What is left is paused by the agent.
        }
    }

    /** By a server of our own: it sees what is left and leaves the database right. */
    private static int destroyAll(Settings settings, ConsoleProgress progress) throws IOException {
        Optional<Access> kept = settings.home().readAccess();
        try (LocalServer server = LocalServer.startToEnd(settings, progress)) {
            int living = server.livingSandboxes();
            progress.step("destroying sandboxes");
            deleteOwn(settings, progress);
            server.destroyAll(progress);
            return living;
        } finally {
            if (kept.isPresent()) {
                settings.home().writeAccess(kept.get());
            }
        }
    }

    /** Through the API, so that their rows go as well. */
    private static void deleteOwn(Settings settings, ConsoleProgress progress) {
        Optional<Access> access = settings.home().readAccess();
        if (access.isEmpty()) {
            return;
        }
        try (Api api = new Api(access.get())) {
            var sandboxes = api.list();
            long done = 0;
            for (Sandbox sandbox : sandboxes) {
                api.delete(sandbox.id());
                progress.advance(++done, sandboxes.size(), "");
            }
        } catch (ApiFailure e) {
            // What is left is destroyed below.
        }
    }
}
