package dev.sandglass.bench;

import dev.sandglass.cli.client.Access;
import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.Json;
import dev.sandglass.cli.server.Home;
import dev.sandglass.cli.server.Settings;
import dev.sandglass.cli.server.SettingsProblem;
import dev.sandglass.cli.terminal.ConsoleProgress;
import dev.sandglass.cli.terminal.Terminal;
import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.Scope;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import picocli.CommandLine;

/**
 * {@code ./sandglass bench}. Exit codes: 0, 1 for a failure or, with {@code --check}, a broken promise, 2 for wrong usage.
 */
public final class Main {
    /** Where state of some size may live: not in memory, unlike /tmp on many machines. */
    private static final Path LARGE_TEMPORARY = Path.of("/var/tmp");

    private final Map<String, String> environment;
    private final Path root;
    private final PrintStream out;
    private final PrintStream err;

    private Main(Map<String, String> environment, Path root, PrintStream out, PrintStream err) {
        this.environment = environment;
        this.root = root;
        this.out = out;
        this.err = err;
    }

    /** Called by name, by the command line. {@code root} is the repository. */
    public static int run(
            String[] arguments, Map<String, String> environment, Path root, PrintStream out, PrintStream err) {
        return new Main(environment, root.toAbsolutePath().normalize(), out, err).run(arguments);
    }

    private int run(String... arguments) {
        Options options = new Options();
        CommandLine line = new CommandLine(options)
                .setOut(new PrintWriter(out, true, StandardCharsets.UTF_8))
                .setErr(new PrintWriter(err, true, StandardCharsets.UTF_8))
                .setUsageHelpAutoWidth(true);
        try {
            CommandLine.ParseResult parsed = line.parseArgs(arguments);
            Optional<Integer> help = Optional.ofNullable(CommandLine.executeHelpRequest(parsed));
            if (help.isPresent()) {
                return help.get();
            }
            options.validate();
        } catch (CommandLine.ParameterException e) {
            err.println("sandglass: " + e.getMessage());
            err.println("  See `sandglass bench --help`.");
            return 2;
        }
        try {
            Outcome outcome = measure(options);
            out.print(new Report(outcome, options.isWhole()).render());
            writeJson(options, outcome);
            return options.check() && Report.firstBroken(outcome).isPresent() ? 1 : 0;
        } catch (BenchFailure e) {
            err.println("sandglass: " + e.reason());
            return 1;
        }
    }

    private Outcome measure(Options options) {
        MachineDescription machine = MachineDescription.ofThis();
        String name = "bench" + Ids.randomCharacters(8);
        try (Interruption interruption = Interruption.install();
                Scope scope = Scope.open("benchmark")) {
            ConsoleProgress progress = scope.own(new ConsoleProgress(err, Terminal.isTerminal(2)));
            Path scratch = scratch(name);
            scope.defer("temporary files", () -> remove(scratch));
            Path home = Files.createDirectories(scratch.resolve("home"));
            Path peer = Files.createDirectories(scratch.resolve("peer"));
            Optional<Access> running = runningServer();
            Path images = (running.isPresent() ? usualHome() : home).resolve("images");
            Access access =
                    running.orElseGet(() -> scope.own(OwnServer.start(root, home, usualHome(), interruption, progress))
                            .access());
            Rest rest = scope.own(new Rest(access, name));
            Optional<HostFiles> files = running.isEmpty() ? Optional.of(new HostFiles(home)) : filesOf(access);
            return new Run(options, rest, files, peer, name, interruption, progress)
                    .measure(
                            machine.withServer(running.isPresent() ? access.toString() : "one of its own"),
                            () -> MicrovmBoot.prepare(images, scratch.resolve("boot")));
        } catch (IOException e) {
            throw new BenchFailure("Temporary files could not be made: " + e);
        }
    }

    /** The one the command line would use; empty when nobody has said which and none runs. */
    private Optional<Access> runningServer() {
        Settings settings = settings();
        Access access;
        try {
            access = settings.access();
        } catch (SettingsProblem e) {
            if (settings.find("SANDGLASS_URL").isPresent()) {
                throw new BenchFailure(String.join("\n", e.problems()));
            }
            return Optional.empty();
        }
        try (Api api = new Api(access)) {
            if (api.isReady()) {
                return Optional.of(access);
            }
        }
        if (settings.find("SANDGLASS_URL").isPresent()) {
            throw new BenchFailure("No server answers at " + access + ", which SANDGLASS_URL names.");
        }
        return Optional.empty();
    }

    /** Where the running server keeps its state, if it is the one of this machine's home. */
    private Optional<HostFiles> filesOf(Access access) {
        Path home = usualHome();
        boolean ours = new Home(home)
                .readAccess()
                .filter(local -> local.url().equals(access.url()))
                .isPresent();
        return ours ? Optional.of(new HostFiles(home)) : Optional.empty();
    }

    private Settings settings() {
        try {
            return Settings.load(environment, List.of(Path.of(""), root));
        } catch (SettingsProblem e) {
            throw new BenchFailure(String.join("\n", e.problems()));
        }
    }

    private Path usualHome() {
        return settings().home().path();
    }

    private static Path scratch(String name) throws IOException {
        Path parent = Files.isWritable(LARGE_TEMPORARY)
                ? LARGE_TEMPORARY
                : Path.of(Optional.ofNullable(System.getProperty("java.io.tmpdir"))
                        .orElse("."));
        return Files.createTempDirectory(parent, "sandglass-" + name + "-");
    }

    private static void remove(Path directory) throws IOException {
        try (var files = Files.walk(directory)) {
            for (Path file : files.sorted(java.util.Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        }
    }

    private void writeJson(Options options, Outcome outcome) {
        String time = outcome.machine().startedAt().toString().replace(":", "");
        Path file = options.json().orElse(root.resolve("build/bench/results/" + time + ".json"));
        try {
            Files.createDirectories(file.toAbsolutePath().getParent());
            Files.writeString(file, Json.writeIndented(JsonReport.of(outcome)) + "\n");
            out.println("\n  Every figure: " + file);
        } catch (IOException e) {
            throw new BenchFailure("The figures could not be written to " + file + ": " + e);
        }
    }
}
