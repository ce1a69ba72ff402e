package dev.sandglass.cli;

import dev.sandglass.cli.server.AgentProcess;
import dev.sandglass.cli.server.ServerSettings;
import dev.sandglass.cli.server.Settings;
import dev.sandglass.cli.terminal.ConsoleProgress;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

@Command(
        name = "agent",
        description = "Run a host agent alone, for a control plane elsewhere.",
        mixinStandardHelpOptions = true,
        footerHeading = "%nServes gRPC at SANDGLASS_AGENT_ADDR and registers with the control plane at"
                + " SANDGLASS_REGISTRY_ADDR. With a home of its own it needs the control plane's SANDGLASS_INSTALLATION"
                + " and SANDGLASS_AGENT_TOKEN (files in SANDGLASS_HOME/installation there).%n%nExample:%n",
        footer = "  SANDGLASS_AGENT_ADDR=10.0.0.2:8100 SANDGLASS_REGISTRY_ADDR=10.0.0.1:8001 sandglass agent")
final class AgentCommand implements Callable<Integer> {
    private final Context context;

    AgentCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() throws Exception {
        Settings settings = context.settings();
        ServerSettings.check(settings);
        StopSignals signals = StopSignals.install(context);
        int living;
        try (var progress = new ConsoleProgress(context.out(), false)) {
            MachineCheck.requireForAgent(settings, progress);
            try (AgentProcess process = AgentProcess.start(settings, context.root(), progress)) {
                context.out()
                        .println("The host agent serves " + process.address() + " and registers at "
                                + process.registry() + "; guests run by " + process.acceleration() + ".");
                signals.await();
                living = process.livingSandboxes();
            }
        }
        context.out().println("Stopped; " + living + " sandboxes go on running.");
        return 0;
    }
}
