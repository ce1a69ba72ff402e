package dev.sandglass.cli;

import dev.sandglass.cli.client.ApiFailure;
import dev.sandglass.cli.server.SettingsProblem;
import dev.sandglass.contract.PlatformException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Supplier;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/**
 * The command line. Exit codes: 0, 1 for a failure, 2 for wrong usage; {@code run} and {@code exec} end with the code of
 * their command, and with 125 when Sandglass itself fails.
 */
@Command(
        name = "sandglass",
        description = "Isolated Linux machines on your own hardware: microVMs that start from a frozen template.",
        mixinStandardHelpOptions = true,
        versionProvider = Main.Version.class,
        synopsisSubcommandLabel = "COMMAND",
        commandListHeading = "%nCommands:%n",
        footerHeading = "%nStart here:%n",
        footer = {
            "  ./sandglass up                                    in one terminal",
            "  ./sandglass run -- python3 -c 'print(6*7)'        in another",
            "",
            "`./sandglass COMMAND --help` shows a command's options and examples. Settings: .env.example."
        })
public final class Main implements Runnable {
    /** In a command that ends with the exit code of another, Sandglass's own failures get a code of their own. */
    interface EndsLikeItsCommand {}

    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli
    private CommandSpec spec;

    public static void main(String[] args) {
        Context context = Context.ofProcess();
        int exitCode = execute(context, args);
        context.out().flush();
        // Not a return: threads that wait for stdin or a server must not keep the process.
        System.exit(exitCode);
    }

    /** Runs one command line; what it prints goes to the context's streams. */
    static int execute(Context context, String... arguments) {
        CommandLine line = new CommandLine(new Main());
        Map<String, Supplier<Object>> commands = commands(context);
        // The one that is asked for, where that is clear: picocli's reflection over all of them takes longer than most
        // commands do.
        if (arguments.length > 0 && commands.containsKey(arguments[0])) {
            line.addSubcommand(commands.get(arguments[0]).get());
        } else {
            commands.values().forEach(command -> line.addSubcommand(command.get()));
            line.addSubcommand(new CommandLine.HelpCommand());
        }
        line.setOut(new PrintWriter(context.out(), true, StandardCharsets.UTF_8));
        line.setErr(new PrintWriter(context.err(), true, StandardCharsets.UTF_8));
        // Options after the command belong to it: `run ls -l` works without `--`.
        line.getSubcommands().values().stream()
                .filter(command -> command.getCommandSpec().userObject() instanceof EndsLikeItsCommand)
                .forEach(command -> command.setStopAtPositional(true));
        line.setUsageHelpAutoWidth(true);
        line.setParameterExceptionHandler((e, words) -> usage(context, e));
        line.setExecutionExceptionHandler((e, command, result) -> failure(context, e, command));
        return line.execute(arguments);
    }

    /** By name, in the order of the help. */
    private static Map<String, Supplier<Object>> commands(Context context) {
        Map<String, Supplier<Object>> commands = new LinkedHashMap<>();
        commands.put("up", () -> new UpCommand(context));
        commands.put("down", () -> new DownCommand(context));
        commands.put("doctor", () -> new DoctorCommand(context));
        commands.put("run", () -> new RunCommand(context));
        commands.put("create", () -> new CreateCommand(context));
        commands.put("ps", () -> new PsCommand(context));
        commands.put("exec", () -> new ExecCommand(context));
        commands.put("pause", () -> new PauseCommand(context));
        commands.put("resume", () -> new ResumeCommand(context));
        commands.put("snapshot", () -> SnapshotCommand.withSubcommands(context));
        commands.put("cp", () -> new CopyCommand(context));
        commands.put("rm", () -> new RemoveCommand(context));
        commands.put("control-plane", () -> new ControlPlaneCommand(context));
        commands.put("agent", () -> new AgentCommand(context));
        commands.put("bench", () -> new BenchCommand(context));
        commands.put("test", TestCommand::new);
        commands.put("training-run", TrainingCommand::new);
        return commands;
    }

    private static int usage(Context context, ParameterException e) {
        String command = e.getCommandLine().getCommandSpec().qualifiedName();
        context.err().println("sandglass: " + e.getMessage());
        context.err().println("  See `" + command + " --help`.");
        return 2;
    }

    private static int failure(Context context, Exception e, CommandLine command) {
        boolean own = command.getCommandSpec().userObject() instanceof EndsLikeItsCommand;
        int fallback = own ? CommandFailure.OWN : 1;
        if (context.debug()) {
            e.printStackTrace(context.err());
        }
        if (e instanceof CommandFailure failure) {
            failure.reason().lines().forEach(text -> context.err().println("sandglass: " + text));
            return failure.exitCode() == 1 ? fallback : failure.exitCode();
        }
        if (e instanceof SettingsProblem settings) {
            settings.problems().forEach(problem -> context.err().println("sandglass: " + problem));
            return fallback;
        }
        context.err().println("sandglass: " + describe(e));
        return fallback;
    }

    private static String describe(Exception e) {
        return switch (e) {
            case ApiFailure failure -> failure.reason() + remedy(failure);
            case PlatformException failure -> failure.reason();
            case java.nio.file.AccessDeniedException denied -> "No permission for " + denied.getFile() + ".";
            case java.nio.file.NoSuchFileException missing -> missing.getFile() + " does not exist.";
            case java.io.UncheckedIOException io -> describe(Objects.requireNonNull(io.getCause()));
            case java.io.IOException io -> Optional.ofNullable(io.getMessage()).orElse("Input or output failed") + ".";
            default -> "Internal error: " + e + ". SANDGLASS_DEBUG=1 shows where.";
        };
    }

    private static String remedy(ApiFailure failure) {
        boolean asleep =
                failure.code().equals("invalid_state") && failure.reason().matches(".* is (paused|stopped)\\b.*");
        if (asleep) {
            return " `sandglass resume` lets it go on.";
        }
        boolean nothingToClone =
                failure.code().equals("not_found") && failure.reason().contains("create the sandbox");
        return nothingToClone ? " `sandglass snapshot list` shows what can be cloned." : "";
    }

    @Override
    public void run() {
        spec.commandLine().usage(spec.commandLine().getOut());
    }

    static final class Version implements IVersionProvider {
        @Override
        public String[] getVersion() {
            String version = Main.class.getPackage().getImplementationVersion();
            return new String[] {"sandglass " + (version == null ? "(unpackaged)" : version)};
        }
    }
}
