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
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
        name = "down",
        description = "Destroy all sandboxes and stop the server.",
        mixinStandardHelpOptions = true,
        footerHeading = "%nAsks first. Accounts, keys, images and templates stay; `up` starts again.%n%nExamples:%n",
        footer = {"  sandglass down", "  sandglass down --yes"})
final class DownCommand implements Callable<Integer> {
    /** Operations in progress are waited for by the server that stops. */
    private static final Duration STOP_LIMIT = Duration.ofSeconds(90);

    private final Context context;

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
        confirm(home);
        try (var progress = new ConsoleProgress(context.out(), Terminal.isTerminal(1))) {
            boolean stopped = stopRunning(home, progress);
            int destroyed = destroyAll(settings, progress);
            progress.finish();
            context.out()
                    .println((stopped ? "The server is stopped, " : "No server runs, ") + count(destroyed)
                            + " destroyed.");
            return 0;
        }
    }

    private static String count(int sandboxes) {
        return sandboxes == 0 ? "no sandbox was there to be" : sandboxes + (sandboxes == 1 ? " sandbox" : " sandboxes");
    }

    private void confirm(Home home) throws IOException {
        if (yes) {
            return;
        }
        if (!Terminal.isTerminal(0)) {
            throw new CommandFailure("`down` destroys all sandboxes of " + home.path()
                    + ". There is no terminal to ask at: add --yes if that is wanted.");
        }
        context.out().print("Destroy all sandboxes of " + home.path() + " and stop the server? [y/N] ");
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
