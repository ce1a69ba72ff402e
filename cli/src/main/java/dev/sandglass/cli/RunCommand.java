package dev.sandglass.cli;

import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.ApiFailure;
import dev.sandglass.cli.client.ExecSession;
import dev.sandglass.cli.client.Sandbox;
import dev.sandglass.cli.terminal.Terminal;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
        name = "run",
        description = "Run a command in a new sandbox, gone afterwards.",
        mixinStandardHelpOptions = true,
        footerHeading = "%nThe exit code is the command's; 128 + n for signal n, 124 for a timeout, 125 when Sandglass"
                + " itself fails.%n%nExamples:%n",
        footer = {
            "  sandglass run -- python3 -c 'print(6*7)'",
            "  sandglass run -it -- bash",
            "  echo 'select 1' | sandglass run --memory 1g --timeout 1m -- tee /tmp/query",
            "  sandglass run --from with-numpy -- python3 -c 'import numpy'        in a clone of a snapshot",
            "  id=$(sandglass run --keep -- true)        the sandbox stays, its id is printed"
        })
final class RunCommand implements Callable<Integer>, Main.EndsLikeItsCommand {
    private final Context context;

    @Mixin
    private ShapeOptions shape = new ShapeOptions();

    @Mixin
    private ExecOptions exec = new ExecOptions();

    @Option(names = "--keep", description = "Leave the sandbox behind; its id is the last line of stdout.")
    private boolean keep;

    @Option(
            names = "--json",
            description = "Print one JSON object with output and exit code when the command has ended.")
    private boolean json;

    @Parameters(arity = "1..*", paramLabel = "COMMAND", description = "The command and its arguments.")
    private List<String> argv = List.of();

    RunCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() {
        ExecSession.Command command = exec.command(context, argv);
        boolean passStdin = exec.interactive() || exec.tty() || !Terminal.isTerminal(0);
        Interrupts interrupts = Interrupts.install();
        try (Api api = context.api()) {
            Sandbox sandbox = api.create(shape.request(OptionalInt.empty(), Map.of(), Map.of()));
            try {
                if (json) {
                    return new JsonRun(context, api, interrupts).run(sandbox.id(), command, passStdin);
                }
                return new ExecRunner(context, api, interrupts).run(sandbox.id(), command, passStdin);
            } finally {
                if (keep && !json) {
                    context.out().println(sandbox.id());
                } else if (!keep) {
                    delete(api, sandbox.id());
                }
            }
        }
    }

    private void delete(Api api, String id) {
        try {
            api.delete(id);
        } catch (ApiFailure e) {
            context.err()
                    .println("sandglass: " + id + " is still there: " + e.reason() + " `sandglass rm " + id
                            + "` deletes it.");
        }
    }
}
