package dev.sandglass.cli;

import dev.sandglass.cli.client.Json;
import dev.sandglass.contract.Id.SandboxId;
import java.io.IOException;
import java.io.InputStream;
import java.net.URLDecoder;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.websocket.api.Session;
import org.eclipse.jetty.websocket.server.WebSocketUpgradeHandler;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * The public API with processes of this machine in place of sandboxes: enough of it to hold the command line to the
 * contract, replay of output included. A test may make it lose connections.
 */
public final class LocalServer implements AutoCloseable {
    static final String KEY = "sgk_local";

    private final Server server = new Server();
    private final ServerConnector connector = new ServerConnector(server);
    private final Path files;
    final Map<String, ObjectNode> sandboxes = new ConcurrentHashMap<>();
    final Map<String, ObjectNode> snapshots = new ConcurrentHashMap<>();
    final List<String> deleted = new CopyOnWriteArrayList<>();
    final Map<String, LocalExec> execs = new ConcurrentHashMap<>();
    private final Map<Session, LocalExec> attached = new ConcurrentHashMap<>();
    final AtomicInteger connections = new AtomicInteger();
    /** Every connection is cut after this many messages of output. */
    volatile int cutAfterMessages = Integer.MAX_VALUE;

    volatile int createStatus = 201;
    /** Error code with which a resume that is not cold is refused; empty for none. */
    volatile String resumeRefused = "";

    LocalServer(Path files) throws Exception {
        this.files = files;
        connector.setHost("127.0.0.1");
        server.addConnector(connector);
        WebSocketUpgradeHandler webSocket = WebSocketUpgradeHandler.from(server, container -> {
            container.setMaxTextMessageSize(1 << 20);
            container.addMapping("regex|/v1/sandboxes/[^/]+/exec/stream", (request, response, callback) -> {
                if (!sandboxes.containsKey(segment(request, 3))) {
                    refuse(response, callback, 404, "not_found", "No sandbox " + segment(request, 3) + ".");
                    return null;
                }
                if (!sandbox(segment(request, 3)).path("status").asString("").equals("running")) {
                    refuse(
                            response,
                            callback,
                            409,
                            "invalid_state",
                            "The sandbox is paused; this needs a running one.");
                    return null;
                }
                return new Endpoint();
            });
        });
        webSocket.setHandler(new Routes());
        server.setHandler(webSocket);
        server.start();
    }

    String url() {
        return "http://127.0.0.1:" + connector.getLocalPort();
    }

    Path fileOf(String sandbox, String path) {
        return files.resolve(sandbox).resolve(path.substring(1));
    }

    String add() throws IOException {
        String id = SandboxId.random().value();
        ObjectNode sandbox = Json.object()
                .put("id", id)
                .put("status", "running")
                .put("template", "base")
                .put("vcpus", 1)
                .put("memory_mb", 512)
                .put("created_at", Instant.now().toString());
        sandboxes.put(id, sandbox);
        Files.createDirectories(files.resolve(id));
        return id;
    }

    ObjectNode sandbox(String id) {
        return Objects.requireNonNull(sandboxes.get(id));
    }

    @Override
    public void close() {
        execs.values().forEach(LocalExec::kill);
        try {
            server.stop();
        } catch (Exception e) {
            throw new IllegalStateException("stop the local server", e);
        }
    }

    /** Of the request's path, counted from 1. */
    private static String segment(Request request, int index) {
        return Request.getPathInContext(request).split("/", -1)[index];
    }

    private static void refuse(Response response, Callback callback, int status, String code, String message) {
        ObjectNode body = Json.object();
        body.putObject("error").put("code", code).put("message", message);
        reply(response, callback, status, body);
    }

    private static void reply(Response response, Callback callback, int status, JsonNode body) {
        response.setStatus(status);
        response.getHeaders().put(HttpHeader.CONTENT_TYPE, "application/json");
        Content.Sink.write(response, true, Json.write(body), callback);
    }

    private final class Routes extends Handler.Abstract {
        @Override
        public boolean handle(Request request, Response response, Callback callback) throws Exception {
            if (!KEY.equals(request.getHeaders().get("X-API-Key"))) {
                refuse(response, callback, 401, "unauthorized", "Unknown key.");
                return true;
            }
            String path = Request.getPathInContext(request);
            String id = path.startsWith("/v1/sandboxes/") ? segment(request, 3) : "";
            if (!id.isEmpty() && !sandboxes.containsKey(id)) {
                refuse(response, callback, 404, "not_found", "No sandbox " + id + ".");
                return true;
            }
            String route = request.getMethod() + " "
                    + path.replaceAll("sb[0-9a-z]{20}", "ID")
                            .replaceAll("/ex[0-9a-z]{20}$", "/EXEC")
                            .replaceAll("^/v1/snapshots/.*", "/v1/snapshots/NAME");
            switch (route) {
                case "POST /v1/sandboxes" -> create(request, response, callback);
                case "GET /v1/sandboxes" -> reply(response, callback, 200, Json.array(List.copyOf(sandboxes.values())));
                case "DELETE /v1/sandboxes/ID" -> {
                    sandboxes.remove(id);
                    deleted.add(id);
                    finish(response, callback);
                }
                case "POST /v1/sandboxes/ID/pause" ->
                    reply(response, callback, 200, sandbox(id).put("status", "paused"));
                case "POST /v1/sandboxes/ID/resume" -> resume(request, response, callback, id);
                case "POST /v1/snapshots" -> snapshot(request, response, callback);
                case "GET /v1/snapshots" -> reply(response, callback, 200, Json.array(List.copyOf(snapshots.values())));
                case "DELETE /v1/snapshots/NAME" -> {
                    if (snapshots.remove(segment(request, 3)) == null) {
                        refuse(response, callback, 404, "not_found", "No snapshot " + segment(request, 3) + ".");
                    } else {
                        finish(response, callback);
                    }
                }
                case "DELETE /v1/sandboxes/ID/execs/EXEC" -> {
                    Objects.requireNonNull(execs.get(segment(request, 5))).kill();
                    finish(response, callback);
                }
                case "PUT /v1/sandboxes/ID/files/stream" -> {
                    Path file = fileOf(id, pathParameter(request));
                    Files.createDirectories(Objects.requireNonNull(file.getParent()));
                    try (InputStream body = Content.Source.asInputStream(request)) {
                        Files.write(file, body.readAllBytes());
                    }
                    finish(response, callback);
                }
                case "POST /v1/sandboxes/ID/files/stream/read" -> read(request, response, callback, id);
                case "GET /v1/sandboxes/ID/files" -> directory(request, response, callback, id);
                default -> refuse(response, callback, 404, "not_found", "No route " + route + ".");
            }
            return true;
        }

        private void create(Request request, Response response, Callback callback) throws IOException {
            JsonNode wanted = body(request);
            if (createStatus != 201) {
                refuse(response, callback, createStatus, "no_capacity", "No host has 512 MiB left for it.");
                return;
            }
            String template = wanted.path("template").asString("base");
            if (!template.equals("base") && !snapshots.containsKey(template)) {
                refuse(response, callback, 404, "not_found", "There is no template with this name.");
                return;
            }
            ObjectNode sandbox = sandbox(add());
            sandbox.put("memory_mb", wanted.path("memory_mb").asInt(512));
            sandbox.put("vcpus", wanted.path("vcpus").asInt(1));
            sandbox.put("template", template);
            reply(response, callback, 201, sandbox);
        }

        private void resume(Request request, Response response, Callback callback, String id) throws IOException {
            boolean cold = body(request).path("cold").asBoolean(false);
            if (!cold && !resumeRefused.isEmpty()) {
                refuse(response, callback, 409, resumeRefused, "It was paused by QEMU 7.2.1, and here is 7.2.2.");
                return;
            }
            boolean stopped = sandbox(id).path("status").asString("").equals("stopped");
            ObjectNode resumed = sandbox(id).put("status", "running");
            reply(response, callback, 200, cold || stopped ? resumed.deepCopy().put("cold", true) : resumed);
        }

        private void snapshot(Request request, Response response, Callback callback) throws IOException {
            JsonNode wanted = body(request);
            String name = wanted.path("name").asString("snapshot-0000000a");
            String query = String.valueOf(request.getHttpURI().getQuery());
            if (snapshots.containsKey(name) && !query.equals("overwrite=true")) {
                refuse(response, callback, 409, "already_exists", "There is a snapshot " + name + " already.");
                return;
            }
            ObjectNode sandbox = sandbox(wanted.path("sandbox_id").asString(""));
            if (wanted.path("pause").asBoolean(false)) {
                sandbox.put("status", "paused");
            }
            ObjectNode snapshot = Json.object()
                    .put("id", "snp00000000000000000000")
                    .put("name", name)
                    .put("type", "snapshot")
                    .put("vcpus", 1)
                    .put("memory_mb", 512)
                    .put("size_bytes", 6_250_000)
                    .put("created_at", Instant.now().toString());
            snapshots.put(name, snapshot);
            reply(response, callback, 201, snapshot);
        }

        private void read(Request request, Response response, Callback callback, String id) throws IOException {
            Path file = fileOf(id, body(request).path("path").asString(""));
            if (!Files.isRegularFile(file)) {
                refuse(response, callback, 404, "not_found", "No such file.");
                return;
            }
            byte[] bytes = Files.readAllBytes(file);
            response.getHeaders().put(HttpHeader.CONTENT_LENGTH, bytes.length);
            response.write(true, ByteBuffer.wrap(bytes), callback);
        }

        private void directory(Request request, Response response, Callback callback, String id) throws IOException {
            Path directory = fileOf(id, pathParameter(request));
            if (!Files.isDirectory(directory)) {
                refuse(response, callback, 404, "not_found", "No such directory.");
                return;
            }
            List<JsonNode> entries = new ArrayList<>();
            try (Stream<Path> list = Files.list(directory)) {
                list.forEach(entry -> entries.add(
                        Json.object().put("name", entry.getFileName().toString())));
            }
            reply(response, callback, 200, Json.array(entries));
        }

        private static void finish(Response response, Callback callback) {
            response.setStatus(204);
            callback.succeeded();
        }

        private static JsonNode body(Request request) throws IOException {
            return Json.parse(Content.Source.asString(request, StandardCharsets.UTF_8));
        }

        private static String pathParameter(Request request) {
            String query = request.getHttpURI().getQuery();
            return URLDecoder.decode(query.substring("path=".length()), StandardCharsets.UTF_8);
        }
    }

    /** False when the connection is gone. */
    static boolean send(Session session, JsonNode message) {
        var sent = new org.eclipse.jetty.util.Callback.Completable();
        session.sendText(
                Json.write(message), org.eclipse.jetty.websocket.api.Callback.from(sent::succeeded, sent::failed));
        try {
            sent.get(10, TimeUnit.SECONDS);
            return true;
        } catch (Exception e) {
            session.disconnect();
            return false;
        }
    }

    /** Public for Jetty. */
    public final class Endpoint extends Session.Listener.Abstract {
        @Override
        public void onWebSocketOpen(Session session) {
            super.onWebSocketOpen(session);
            connections.incrementAndGet();
            session.demand();
        }

        @Override
        public void onWebSocketText(String text) {
            Session session = getSession();
            JsonNode message = Json.parse(text);
            String sandbox =
                    session.getUpgradeRequest().getRequestURI().getPath().split("/", -1)[3];
            try {
                switch (message.path("type").asString("")) {
                    case "start" -> begin(session, new LocalExec(message, files.resolve(sandbox)), 0);
                    case "attach" -> {
                        String id = message.path("exec_id").asString("");
                        begin(
                                session,
                                Objects.requireNonNull(execs.get(id)),
                                message.path("after_seq").asLong(0));
                    }
                    default -> Objects.requireNonNull(attached.get(session)).receive(message);
                }
            } catch (IOException e) {
                send(session, Json.object().put("type", "exit").put("exit_code", 127));
            }
            session.demand();
        }

        private void begin(Session session, LocalExec exec, long afterSeq) {
            execs.put(exec.id, exec);
            attached.put(session, exec);
            send(
                    session,
                    Json.object().put("type", "start").put("pid", exec.pid()).put("exec_id", exec.id));
            Thread.ofVirtual().start(() -> exec.replay(session, afterSeq, cutAfterMessages));
        }
    }
}
