package dev.sandglass.cli;

import dev.sandglass.cli.client.Json;
import dev.sandglass.contract.Id.ExecId;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.eclipse.jetty.websocket.api.Session;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** One process of {@link LocalServer} and all that it has said. */
final class LocalExec {
    final String id = ExecId.random().value();
    private final Process process;
    private final List<ObjectNode> said = new ArrayList<>();
    private long seq;
    private @Nullable ObjectNode exit;

    LocalExec(JsonNode start, Path directory) throws IOException {
        List<String> argv = new ArrayList<>();
        argv.add(start.path("cmd").asString(""));
        start.path("args").forEach(argument -> argv.add(argument.asString("")));
        ProcessBuilder builder = new ProcessBuilder(argv).directory(directory.toFile());
        start.path("env")
                .properties()
                .forEach(entry -> builder.environment()
                        .put(entry.getKey(), entry.getValue().asString("")));
        process = builder.start();
        Thread out = Thread.ofVirtual().start(() -> keep("stdout", process.getInputStream()));
        Thread err = Thread.ofVirtual().start(() -> keep("stderr", process.getErrorStream()));
        int timeout = start.path("timeout_sec").asInt(0);
        Thread.ofVirtual().start(() -> awaitEnd(timeout, out, err));
    }

    long pid() {
        return process.pid();
    }

    void kill() {
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
    }

    private void awaitEnd(int timeout, Thread out, Thread err) {
        try {
            boolean ended = timeout == 0 || process.waitFor(timeout, TimeUnit.SECONDS);
            if (!ended) {
                kill();
            }
            int status = process.waitFor();
            out.join();
            err.join();
            // The JVM reports a signal as 128 + n, like a shell.
            ObjectNode message = Json.object().put("type", "exit").put("exit_code", status > 128 ? -1 : status);
            if (status > 128) {
                message.put("signal", status - 128);
            }
            if (!ended) {
                message.put("timed_out", true);
            }
            synchronized (this) {
                exit = message;
                notifyAll();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void keep(String stream, InputStream in) {
        byte[] chunk = new byte[8192];
        try {
            for (int n = in.read(chunk); n >= 0; n = in.read(chunk)) {
                String text = Base64.getEncoder().encodeToString(Arrays.copyOf(chunk, n));
                synchronized (this) {
                    seq += n;
                    said.add(Json.object()
                            .put("type", stream)
                            .put("seq", seq)
                            .put("data", text)
                            .put("encoding", "base64"));
                    notifyAll();
                }
            }
        } catch (IOException e) {
            // killed
        }
    }

    /** Sends what comes after {@code afterSeq}, until the exit, or until the connection is cut. */
    void replay(Session session, long afterSeq, int cutAfterMessages) {
        int sent = 0;
        try {
            for (int next = 0; ; next++) {
                ObjectNode message = await(next);
                boolean last = !message.has("seq");
                if (!last && message.path("seq").asLong(0) <= afterSeq) {
                    continue;
                }
                if (sent++ >= cutAfterMessages) {
                    session.disconnect();
                    return;
                }
                if (!LocalServer.send(session, message)) {
                    return;
                }
                if (last) {
                    session.close();
                    return;
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private synchronized ObjectNode await(int index) throws InterruptedException {
        while (index >= said.size()) {
            if (exit != null) {
                return exit;
            }
            wait();
        }
        return said.get(index);
    }

    void receive(JsonNode message) throws IOException {
        OutputStream stdin = process.getOutputStream();
        switch (message.path("type").asString("")) {
            case "stdin" -> {
                stdin.write(Base64.getDecoder().decode(message.path("data").asString("")));
                stdin.flush();
            }
            case "stdin_close" -> stdin.close();
            case "signal" ->
                new ProcessBuilder(
                                "kill",
                                "-" + message.path("signal").asString("").substring(3),
                                Long.toString(process.pid()))
                        .start();
            default -> throw new IllegalStateException("unexpected message " + message);
        }
    }
}
