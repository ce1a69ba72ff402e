package dev.sandglass.control.exec;

import static dev.sandglass.control.http.Texts.invalid;

import dev.sandglass.contract.Id.ExecId;
import dev.sandglass.contract.host.v1.ExecSpec;
import dev.sandglass.contract.host.v1.Pty;
import dev.sandglass.control.http.Texts;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Checks what is to be run and words it for the host agent. */
final class ExecSpecs {
    /** One frame to the guest holds all of it (guest.proto: 128 KiB). */
    private static final int BYTES_MAX = 96 << 10;

    private static final int ARGUMENTS_MAX = 4096;
    private static final int TERMINAL_MAX = 4096;

    /** What the one-shot request and the stream's first message have in common. */
    record Command(
            @Nullable String cmd,
            @Nullable List<@Nullable String> args,
            @Nullable String cwd,
            @Nullable Map<String, @Nullable String> env,
            @Nullable String user) {}

    record Terminal(@Nullable Integer cols, @Nullable Integer rows) {}

    private ExecSpecs() {}

    static ExecSpec of(Command command, Optional<Duration> timeout, Optional<Pty> pty) {
        List<String> argv = new ArrayList<>();
        argv.add(Texts.require("cmd", command.cmd(), BYTES_MAX));
        List<@Nullable String> args = command.args() == null ? List.of() : command.args();
        if (args.size() > ARGUMENTS_MAX) {
            throw invalid("The field 'args' has more than " + ARGUMENTS_MAX + " entries.");
        }
        for (String argument : args) {
            if (argument == null) {
                throw invalid("An entry of 'args' is null.");
            }
            argv.add(Texts.checked("args", argument, BYTES_MAX));
        }
        Map<String, String> env = Texts.environment(command.env());
        String cwd = Texts.optional("cwd", command.cwd(), 4095).orElse("");
        if (!cwd.isEmpty() && !cwd.startsWith("/")) {
            throw invalid("The field 'cwd' must be an absolute path.");
        }
        String user = Texts.optional("user", command.user(), 256).orElse("");
        requireFits(argv, env);
        ExecSpec.Builder spec = ExecSpec.newBuilder()
                .addAllArgv(argv)
                .putAllEnv(env)
                .setCwd(cwd)
                .setUser(user)
                .setTimeoutMs((int) timeout.orElse(Duration.ZERO).toMillis())
                .setExecId(ExecId.random().value());
        pty.ifPresent(spec::setPty);
        return spec.build();
    }

    private static void requireFits(List<String> argv, Map<String, String> env) {
        long bytes = argv.stream().mapToLong(ExecSpecs::size).sum()
                + env.entrySet().stream()
                        .mapToLong(entry -> size(entry.getKey()) + size(entry.getValue()))
                        .sum();
        if (bytes > BYTES_MAX) {
            throw invalid("The command, its arguments and environment are longer than " + BYTES_MAX
                    + " bytes together: put them into a file, or send them to stdin.");
        }
    }

    private static long size(String text) {
        return text.getBytes(StandardCharsets.UTF_8).length + 8L; // length and tag of a field
    }

    static Optional<Duration> timeout(@Nullable Integer seconds, int max) {
        return seconds == null
                ? Optional.empty()
                : Optional.of(Duration.ofSeconds(Texts.within("timeout_sec", seconds, 1, max, 1)));
    }

    static Pty pty(Terminal terminal) {
        return Pty.newBuilder()
                .setCols(Texts.within("cols", terminal.cols(), 1, TERMINAL_MAX, 80))
                .setRows(Texts.within("rows", terminal.rows(), 1, TERMINAL_MAX, 24))
                .build();
    }
}
