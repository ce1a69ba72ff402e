package dev.sandglass.cli;

import dev.sandglass.cli.server.ControlPlaneProcess;
import dev.sandglass.cli.server.ServerSettings;
import dev.sandglass.cli.server.Settings;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

@Command(
        name = "control-plane",
        description = "Run a control plane alone, for agents elsewhere.",
        mixinStandardHelpOptions = true,
        footerHeading = "%nServes the API at CP_LISTEN_ADDR, keeps its state in DATABASE_URL or an embedded PostgreSQL,"
                + " and takes agents that register at SANDGLASS_REGISTRY_ADDR. Agents with another home need its"
                + " SANDGLASS_INSTALLATION and SANDGLASS_AGENT_TOKEN.%n%nExample:%n",
        footer = "  CP_LISTEN_ADDR=0.0.0.0:8000 SANDGLASS_REGISTRY_ADDR=10.0.0.1:8001 sandglass control-plane")
final class ControlPlaneCommand implements Callable<Integer> {
    private final Context context;

    ControlPlaneCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() throws Exception {
        Settings settings = context.settings();
        ServerSettings.check(settings);
        StopSignals signals = StopSignals.install(context);
        try (ControlPlaneProcess process = ControlPlaneProcess.start(settings)) {
            context.out()
                    .println("The control plane serves " + process.url()
                            + process.registry()
                                    .map(address -> "; agents register at " + address)
                                    .orElse(""));
            signals.await();
        }
        context.out().println("Stopped.");
        return 0;
    }
}
