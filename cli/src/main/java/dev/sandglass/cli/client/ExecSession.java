package dev.sandglass.cli.client;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * One command in a sandbox, from its start to its exit, over the exec WebSocket. A connection that breaks is replaced:
 * the session attaches to the command again after the last byte it has delivered, so none is lost and none comes twice.
 * What was on its way to the command's stdin when a connection broke may be lost with it.
 *
 * <p>{@link #run} belongs to one thread; the other methods may be called from any.
 */
public final class ExecSession {
    /** How long a lost server is waited for: a restart takes seconds. */
    private static final Duration REATTACH_LIMIT = Duration.ofSeconds(60);

    private static final Duration REATTACH_PAUSE_MAX = Duration.ofSeconds(1);
    /** A signal that cannot be sent in this time (the line is full of stdin) ends the command another way. */
    private static final Duration SIGNAL_PATIENCE = Duration.ofSeconds(1);

    /** Columns and rows of a terminal. */
    public record Size(int columns, int rows) {}

    public record Command(
            List<String> argv,
            Optional<String> cwd,
            Map<String, String> env,
            Optional<String> user,
            Optional<Size> pty,
            OptionalInt timeoutSec) {
        public Command {
            if (argv.isEmpty()) {
                throw new IllegalArgumentException("no command");
            }
            argv = List.copyOf(argv);
            env = Map.copyOf(env);
        }

        public static Command of(String... argv) {
            return new Command(
                    List.of(argv), Optional.empty(), Map.of(), Optional.empty(), Optional.empty(), OptionalInt.empty());
        }

        private ObjectNode toStartMessage() {
            ObjectNode json = Json.object().put("type", "start").put("cmd", argv.getFirst());
            var args = json.putArray("args");
            argv.subList(1, argv.size()).forEach(args::add);
            cwd.ifPresent(directory -> json.put("cwd", directory));
            user.ifPresent(name -> json.put("user", name));
            Json.putAll(json, "env", env);
            pty.ifPresent(
                    size -> json.putObject("pty").put("cols", size.columns()).put("rows", size.rows()));
            timeoutSec.ifPresent(seconds -> json.put("timeout_sec", seconds));
            return json;
        }
    }

    /** Where the command's output goes. An {@link IOException} ends the command: nobody reads it any more. */
    public interface Output {
        void stdout(byte[] bytes) throws IOException;

        void stderr(byte[] bytes) throws IOException;

        /** The connection was lost ({@code true}) or is there again ({@code false}). */
        default void connectionLost(boolean lost) {}
    }

    /** {@code signal} is 0 for a command that exited by itself. */
    public record Exit(int exitCode, int signal, boolean timedOut) {
        /** As a shell has it: the command's own, 128 + n for signal n, 124 for a timeout. */
        public int status() {
            if (timedOut) {
                return 124;
            }
            return signal > 0 ? 128 + signal : exitCode & 0xff;
        }
    }

    private final Api api;
    private final String sandboxId;
    private final Command command;
    private final ReentrantLock sending = new ReentrantLock(true);

    private final Object monitor = new Object();
    // Guarded by monitor.
    private @Nullable ExecConnection connection;
    private boolean finished;

    private volatile @Nullable String execId;
    private volatile boolean stopWanted;
    private long lastSeq;

    ExecSession(Api api, String sandboxId, Command command) {
        this.api = api;
        this.sandboxId = sandboxId;
        this.command = command;
    }

    /** Starts the command and delivers its output until it exits. */
    public Exit run(Output output) throws IOException {
        try {
            ExecConnection current = ExecConnection.open(api, sandboxId);
            current.send(Json.write(command.toStartMessage()));
            use(current);
            while (true) {
                switch (current.next()) {
                    case ExecConnection.Closed(String reason) -> {
                        output.connectionLost(true);
                        current = reattach(reason);
                        output.connectionLost(false);
                    }
                    case ExecConnection.Message(JsonNode message) -> {
                        Optional<Exit> exit = handle(message, output);
                        if (exit.isPresent()) {
                            return exit.get();
                        }
                    }
                }
            }
        } catch (IOException e) {
            stop();
            throw e;
        } finally {
            finish();
        }
    }

    private Optional<Exit> handle(JsonNode message, Output output) throws IOException {
        switch (message.path("type").asString("")) {
            case "start" -> {
                execId = message.path("exec_id").asString("");
                if (stopWanted) {
                    stop();
                }
            }
            case "stdout", "pty" -> deliver(message, output::stdout);
            case "stderr" -> deliver(message, output::stderr);
            case "exit" -> {
                return Optional.of(new Exit(
                        message.path("exit_code").asInt(0),
                        Signals.number(message.path("signal")),
                        message.path("timed_out").asBoolean(false)));
            }
            case "error" ->
                throw new ApiFailure(
                        0,
                        message.path("code").asString("internal_error"),
                        message.path("message").asString("The server ended the session without a reason."));
            default -> {} // of a newer server
        }
        return Optional.empty();
    }

    private interface Sink {
        void write(byte[] bytes) throws IOException;
    }

    private void deliver(JsonNode message, Sink sink) throws IOException {
        String data = message.path("data").asString("");
        boolean binary = "base64".equals(message.path("encoding").asString(""));
        sink.write(binary ? Base64.getDecoder().decode(data) : data.getBytes(StandardCharsets.UTF_8));
        lastSeq = message.path("seq").asLong(lastSeq);
    }

    private ExecConnection reattach(String reason) {
        String id = execId;
        if (id == null || id.isEmpty()) {
            throw new ApiFailure(
                    0,
                    "unreachable",
                    "The connection to " + api.access() + " was lost while the command" + " was being started ("
                            + reason + "); it may or may not run.");
        }
        use(null);
        long deadline = System.nanoTime() + REATTACH_LIMIT.toNanos();
        long pauseMillis = 50;
        while (true) {
            try {
                ExecConnection again = ExecConnection.open(api, sandboxId);
                again.send(Json.write(
                        Json.object().put("type", "attach").put("exec_id", id).put("after_seq", lastSeq)));
                use(again);
                return again;
            } catch (ApiFailure e) {
                boolean mayComeBack = e.status() == 0 || e.status() >= 500;
                if (!mayComeBack || stopWanted || System.nanoTime() > deadline) {
                    throw new ApiFailure(e.status(), e.code(), "Lost the connection to the command: " + e.reason());
                }
            }
            pause(pauseMillis);
            pauseMillis = Math.min(pauseMillis * 2, REATTACH_PAUSE_MAX.toMillis());
        }
    }

    private static void pause(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ApiFailure(0, "interrupted", "Interrupted.");
        }
    }

    // --- towards the command

    /** Blocks while the command is behind with reading. */
    public void stdin(byte[] bytes, int length) {
        byte[] exact = length == bytes.length ? bytes : java.util.Arrays.copyOf(bytes, length);
        send(Json.object()
                .put("type", "stdin")
                .put("data", Base64.getEncoder().encodeToString(exact))
                .put("encoding", "base64"));
    }

    public void closeStdin() {
        send(Json.object().put("type", "stdin_close"));
    }

    public void resize(Size size) {
        send(Json.object().put("type", "resize").put("cols", size.columns()).put("rows", size.rows()));
    }

    /** Sends a signal, e.g. {@code SIGINT}, to the command's process group. */
    public void signal(String name) {
        try {
            if (!sending.tryLock(SIGNAL_PATIENCE.toMillis(), TimeUnit.MILLISECONDS)) {
                stop();
                return;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return;
        }
        try {
            send(Json.object().put("type", "signal").put("signal", name));
        } finally {
            sending.unlock();
        }
    }

    /** Kills the command, by a way of its own that a full connection cannot block. */
    public void stop() {
        stopWanted = true;
        String id = execId;
        if (id != null && !id.isEmpty()) {
            try {
                api.killExec(sandboxId, id);
            } catch (ApiFailure e) {
                // It is gone already, or its server is: run() reports what there is to say.
            }
        }
    }

    private void send(ObjectNode message) {
        String text = Json.write(message);
        sending.lock();
        try {
            ExecConnection target = awaitOther(null);
            while (target != null && !target.send(text)) {
                target = awaitOther(target);
            }
        } finally {
            sending.unlock();
        }
    }

    /** The connection in use once it is another than {@code broken}; null when the session is over. */
    private @Nullable ExecConnection awaitOther(@Nullable ExecConnection broken) {
        synchronized (monitor) {
            while (!finished && (connection == null || connection == broken)) {
                try {
                    monitor.wait(REATTACH_LIMIT.toMillis());
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    return null;
                }
            }
            return finished ? null : connection;
        }
    }

    private void use(@Nullable ExecConnection next) {
        synchronized (monitor) {
            connection = next;
            monitor.notifyAll();
        }
    }

    private void finish() {
        ExecConnection last;
        synchronized (monitor) {
            last = connection;
            connection = null;
            finished = true;
            monitor.notifyAll();
        }
        if (last != null) {
            last.close();
        }
    }
}
