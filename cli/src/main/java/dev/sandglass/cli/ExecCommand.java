package dev.sandglass.cli;

import dev.sandglass.cli.client.Api;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

@Command(
        name = "exec",
        description = "Run a command in a sandbox that is there already.",
        mixinStandardHelpOptions = true,
        footerHeading = "%nThe exit code is the command's; 128 + n for signal n, 124 for a timeout, 125 when Sandglass"
                + " itself fails. A lost connection is attached again.%n%nExamples:%n",
        footer = {
            "  sandglass exec sb4k7 -- uname -a            an id may be cut short while it is unique",
            "  sandglass exec -it sb4k7 -- bash",
            "  tar c src | sandglass exec -i sb4k7 -w /work -- tar x"
        })
final class ExecCommand implements Callable<Integer>, Main.EndsLikeItsCommand {
    private final Context context;

    @Mixin
    private ExecOptions exec = new ExecOptions();

    @Option(
            names = "--json",
            description = "Print one JSON object with output and exit code when the command has ended.")
    private boolean json;

    @Parameters(index = "0", paramLabel = "SANDBOX", description = "The sandbox's id.")
    private String sandbox = "";

    @Parameters(index = "1..*", arity = "1..*", paramLabel = "COMMAND", description = "The command and its arguments.")
    private List<String> argv = List.of();

    ExecCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() {
        var command = exec.command(context, argv.getFirst().equals("--") ? argv.subList(1, argv.size()) : argv);
        boolean passStdin = exec.interactive() || exec.tty();
        try (Api api = context.api()) {
            String id = api.requireId(sandbox);
            Interrupts interrupts = Interrupts.install();
            return json
                    ? new JsonRun(context, api, interrupts).run(id, command, passStdin)
                    : new ExecRunner(context, api, interrupts).run(id, command, passStdin);
        }
    }
}
