package dev.sandglass.cli;

import dev.sandglass.cli.client.Json;
import dev.sandglass.cli.machine.Check;
import dev.sandglass.cli.machine.Check.Status;
import dev.sandglass.cli.machine.Machine;
import dev.sandglass.cli.server.Home;
import dev.sandglass.cli.server.Home.Role;
import dev.sandglass.cli.server.Settings;
import java.io.IOException;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import tools.jackson.databind.JsonNode;

@Command(
        name = "doctor",
        description = "Look at this machine and say what it lacks.",
        mixinStandardHelpOptions = true,
        footerHeading = "%nNothing is changed. The exit code is 0 when a server can run here.%n%nExamples:%n",
        footer = {"  sandglass doctor", "  sandglass doctor --json"})
final class DoctorCommand implements Callable<Integer> {
    private final Context context;

    @Option(names = "--json", description = "Print the report as JSON.")
    private boolean json;

    DoctorCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() throws IOException {
        Settings settings = context.settings();
        Home home = settings.home();
        boolean running = home.findRunning(Role.CONTROL_PLANE).isPresent();
        List<Check> checks = new Machine(settings.variables(), home.path(), settings.listen(), running).inspect();
        boolean usable = checks.stream().noneMatch(check -> blocks(check.status()));
        if (json) {
            context.out().println(Json.writeIndented(report(checks, usable, running)));
        } else {
            Report.print(context.out(), checks);
            context.out().println();
            context.out()
                    .println(
                            running
                                    ? "A server runs here."
                                    : usable
                                            ? "Ready: ./sandglass up"
                                            : "A server cannot run here yet. `./sandglass up` as root installs packages"
                                                    + " that are missing.");
        }
        return usable ? 0 : 1;
    }

    private static boolean blocks(Status status) {
        return status == Status.FAIL || status == Status.MISSING;
    }

    private static JsonNode report(List<Check> checks, boolean usable, boolean running) {
        var root = Json.object().put("usable", usable).put("running", running);
        var array = root.putArray("checks");
        for (Check check : checks) {
            var entry = array.addObject()
                    .put("name", check.name())
                    .put("status", check.status().name().toLowerCase(Locale.ROOT))
                    .put("detail", check.detail());
            if (!check.remedy().isEmpty()) {
                entry.put("remedy", check.remedy());
            }
        }
        return root;
    }
}
