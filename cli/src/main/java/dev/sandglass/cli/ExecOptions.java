package dev.sandglass.cli;

import dev.sandglass.cli.client.ExecSession;
import dev.sandglass.cli.terminal.Terminal;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Options of {@code run} and {@code exec} about the command itself. */
final class ExecOptions {
    @Option(
            names = {"-i", "--interactive"},
            description = "Pass stdin on to the command.")
    private boolean interactive;

    @Option(
            names = {"-t", "--tty"},
            description = "Give the command a terminal.")
    private boolean tty;

    @Option(
            names = {"-u", "--user"},
            paramLabel = "NAME",
            description = "User that runs the command (default: root).")
    private @Nullable String user;

    @Option(
            names = {"-w", "--workdir"},
            paramLabel = "DIRECTORY",
            description = "Working directory.")
    private @Nullable String workdir;

    @Option(
            names = {"-e", "--env"},
            paramLabel = "KEY=VALUE",
            description = "Environment variable; may be repeated. KEY alone takes the value it has here.",
            mapFallbackValue = "")
    private Map<String, String> env = new HashMap<>();

    @Option(
            names = "--timeout",
            paramLabel = "DURATION",
            converter = Durations.class,
            description = "Kill the command after this long (30s, 5m, 1h); the exit code is then 124.")
    private @Nullable Integer timeout;

    boolean tty() {
        return tty;
    }

    boolean interactive() {
        return interactive;
    }

    Map<String, String> env(Context context) {
        Map<String, String> values = new HashMap<>();
        env.forEach((key, value) -> {
            String here = context.environment().get(key);
            if (!value.isEmpty() || here == null) {
                values.put(key, value);
            } else {
                values.put(key, here);
            }
        });
        return values;
    }

    ExecSession.Command command(Context context, List<String> argv) {
        Map<String, String> values = env(context);
        Optional<ExecSession.Size> pty = Optional.empty();
        if (tty) {
            if (!Terminal.isTerminal(0)) {
                throw new CommandFailure("-t needs a terminal, and stdin is none. Leave -t out.");
            }
            pty = Optional.of(Terminal.size());
            values.putIfAbsent("TERM", context.environment().getOrDefault("TERM", "xterm"));
        }
        return new ExecSession.Command(
                argv,
                Optional.ofNullable(workdir),
                values,
                Optional.ofNullable(user),
                pty,
                timeout == null ? OptionalInt.empty() : OptionalInt.of(timeout));
    }
}
