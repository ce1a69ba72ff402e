package dev.sandglass.cli;

import dev.sandglass.cli.server.Home;
import dev.sandglass.cli.server.Home.Role;
import dev.sandglass.cli.server.Home.Running;
import dev.sandglass.cli.server.LocalServer;
import dev.sandglass.cli.server.ServerSettings;
import dev.sandglass.cli.server.Settings;
import dev.sandglass.cli.terminal.ConsoleProgress;
import dev.sandglass.cli.terminal.Terminal;
import java.io.IOException;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

@Command(
        name = "up",
        description = "Start Sandglass on this machine.",
        mixinStandardHelpOptions = true,
        footerHeading = "%nChecks the machine, installs system packages that are missing, builds what has changed, and"
                + " serves until Ctrl-C. Sandboxes go on without it; `down` pauses them. State is in SANDGLASS_HOME, the"
                + " API at CP_LISTEN_ADDR; .env.example lists all settings.%n%nExamples:%n",
        footer = {
            "  sandglass up",
            "  SANDGLASS_HOME=/srv/second CP_LISTEN_ADDR=127.0.0.1:8010 sandglass up      a second one beside it"
        })
final class UpCommand implements Callable<Integer> {
    private final Context context;

    UpCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() throws Exception {
        Settings settings = context.settings();
        ServerSettings.check(settings);
        Home home = settings.home();
        Optional<Running> running = home.findRunning(Role.CONTROL_PLANE).or(() -> runningAgent(home));
        if (running.isPresent()) {
            context.out()
                    .println("Sandglass runs already for " + home.path() + ": "
                            + running.get().url() + " (pid " + running.get().pid() + ").");
            return 0;
        }
        StopSignals signals = StopSignals.install(context);
        boolean terminal = Terminal.isTerminal(1);
        try (var progress = new ConsoleProgress(context.out(), terminal)) {
            MachineCheck.require(settings, progress);
            LocalServer server = LocalServer.start(settings, context.root(), progress);
            progress.finish();
            greet(settings, server);
            int signal = signals.await();
            return stop(server, signal);
        }
    }

    private static Optional<Running> runningAgent(Home home) {
        try {
            return home.findRunning(Role.AGENT);
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    private void greet(Settings settings, LocalServer server) {
        var out = context.out();
        String prefix = settings.isDefaultHome()
                ? ""
                : "SANDGLASS_HOME=" + settings.home().path() + " ";
        out.println();
        out.println("Sandglass is ready: " + server.url());
        server.acceleration().ifPresent(acceleration -> {
            out.println("  guests run by  " + acceleration);
            if (acceleration.startsWith("tcg")) {
                out.println("                 Emulation is for development and trusted code; KVM is for the rest.");
            }
        });
        out.println("  state, log     " + settings.home().path());
        int living = server.livingSandboxes();
        if (living > 0) {
            out.println("  sandboxes      " + living + " running, taken over");
        }
        out.println();
        out.println("In another terminal:");
        out.println("  " + prefix + "./sandglass run -- python3 -c 'print(6*7)'");
        out.println();
        out.println("In a browser:");
        out.println("  " + server.url() + "/test");
        out.println();
        out.println("Ctrl-C stops the server.");
    }

    private int stop(LocalServer server, int signal) {
        context.out().println();
        context.out().println("Stopping …");
        int living = server.livingSandboxes();
        server.close();
        context.out()
                .println(
                        living == 0
                                ? "Stopped. No sandbox runs."
                                : "Stopped. " + living + (living == 1 ? " sandbox goes" : " sandboxes go")
                                        + " on running; `./sandglass down` pauses " + (living == 1 ? "it." : "them."));
        return signal == 2 || signal == 15 ? 0 : 128 + signal;
    }
}
