package dev.sandglass.bench;

import dev.sandglass.cli.client.Access;
import dev.sandglass.cli.client.Json;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * The few calls that are measured, over kept connections. Thread-safe. All sandboxes made here carry the run's name, by which
 * {@link #mine} finds those too whose answer never came.
 */
final class Rest implements AutoCloseable {
    private static final Duration TIMEOUT = Duration.ofMinutes(3);
    private static final int BUFFER_BYTES = 256 << 10;
    private static final String LABEL = "sandglass-bench";

    private final Access access;
    private final String run;
    private final HttpClient http = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(10))
            .build();

    Rest(Access access, String run) {
        this.access = access;
        this.run = run;
    }

    /** Of the default shape; returns its id when it is running. */
    String create() {
        return create(Json.object());
    }

    String create(int memoryMb) {
        return create(Json.object().put("memory_mb", memoryMb));
    }

    String createFrom(String snapshot) {
        return create(Json.object().put("template", snapshot));
    }

    private String create(ObjectNode body) {
        body.putObject("metadata").put(LABEL, run);
        JsonNode sandbox = call("POST", "/v1/sandboxes", body);
        String status = sandbox.path("status").asString("");
        if (!status.equals("running")) {
            throw new BenchFailure("A new sandbox is '" + status + "' instead of running.");
        }
        return sandbox.path("id").asString("");
    }

    /** Returns stdout; a command that fails is a failure here. */
    String exec(String id, String command, String... arguments) {
        ObjectNode body = Json.object().put("cmd", command);
        for (String argument : arguments) {
            body.withArray("args").add(argument);
        }
        JsonNode result = call("POST", "/v1/sandboxes/" + id + "/exec", body);
        if (result.path("exit_code").asInt(-1) != 0) {
            throw new BenchFailure(command + " failed in " + id + ": " + Json.write(result));
        }
        return result.path("stdout").asString("");
    }

    /** Where the sandbox can be reached from its host. */
    String hostAddress(String id) {
        return call("GET", "/v1/sandboxes/" + id, Json.object()).path("host_ip").asString("");
    }

    EchoSocket echo(String id) {
        URI stream = URI.create(
                access.url().toString().replaceFirst("^http", "ws") + "/v1/sandboxes/" + id + "/exec/stream");
        return EchoSocket.open(http, stream, access.apiKey());
    }

    /** A file of {@code blocks} times the block. */
    void upload(String id, String path, byte[] block, int blocks) {
        try {
            HttpURLConnection connection = file(id, "?path=" + path, "PUT");
            connection.setFixedLengthStreamingMode((long) block.length * blocks);
            try (OutputStream out = connection.getOutputStream()) {
                for (int i = 0; i < blocks; i++) {
                    out.write(block);
                }
            }
            requireStatus(connection, 204);
        } catch (IOException e) {
            throw new BenchFailure("The upload to " + id + " failed: " + e);
        }
    }

    /** Returns how many bytes it had. */
    long download(String id, String path) {
        try {
            HttpURLConnection connection = file(id, "/read", "POST");
            connection.setRequestProperty("Content-Type", "application/json");
            try (OutputStream out = connection.getOutputStream()) {
                out.write(Json.write(Json.object().put("path", path)).getBytes(StandardCharsets.UTF_8));
            }
            requireStatus(connection, 200);
            long bytes = 0;
            byte[] buffer = new byte[BUFFER_BYTES];
            try (InputStream in = connection.getInputStream()) {
                for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                    bytes += n;
                }
            }
            return bytes;
        } catch (IOException e) {
            throw new BenchFailure("The download from " + id + " failed: " + e);
        }
    }

    /** By the plainest client there is, so that little of its own time is measured. */
    private HttpURLConnection file(String id, String rest, String method) throws IOException {
        URI address = URI.create(access.url() + "/v1/sandboxes/" + id + "/files/stream" + rest);
        HttpURLConnection connection = (HttpURLConnection) address.toURL().openConnection();
        connection.setReadTimeout(Math.toIntExact(TIMEOUT.toMillis()));
        connection.setRequestMethod(method);
        connection.setRequestProperty("X-API-Key", access.apiKey());
        connection.setDoOutput(true);
        return connection;
    }

    private static void requireStatus(HttpURLConnection connection, int wanted) throws IOException {
        if (connection.getResponseCode() != wanted) {
            throw new IOException("HTTP status " + connection.getResponseCode());
        }
    }

    void pause(String id) {
        call("POST", "/v1/sandboxes/" + id + "/pause", Json.object());
    }

    void resume(String id) {
        call("POST", "/v1/sandboxes/" + id + "/resume", Json.object());
    }

    /** The sandbox goes on running. */
    void snapshot(String id, String name) {
        call("POST", "/v1/snapshots", Json.object().put("sandbox_id", id).put("name", name));
    }

    void deleteSnapshot(String name) {
        call("DELETE", "/v1/snapshots/" + name, Json.object());
    }

    /** Names of this run's snapshots that exist now. */
    List<String> mySnapshots() {
        List<String> names = new ArrayList<>();
        call("GET", "/v1/snapshots", Json.object())
                .forEach(snapshot -> names.add(snapshot.path("name").asString("")));
        names.removeIf(name -> !name.startsWith(run));
        return names;
    }

    void delete(String id) {
        call("DELETE", "/v1/sandboxes/" + id, Json.object());
    }

    /** Ids of this run's sandboxes that exist now. */
    List<String> mine() {
        List<String> ids = new ArrayList<>();
        call("GET", "/v1/sandboxes?limit=100&metadata." + LABEL + "=" + run, Json.object())
                .forEach(sandbox -> ids.add(sandbox.path("id").asString("")));
        return ids;
    }

    /** The server's metrics in Prometheus's text format; empty when it does not show them. */
    String metrics() {
        HttpResponse<String> answer = send(
                HttpRequest.newBuilder(URI.create(access.url() + "/metrics")).GET());
        return answer.statusCode() == 200 ? answer.body() : "";
    }

    /** For one GET of {@code path} over and over. */
    KeptConnection keptConnection(String path) {
        return new KeptConnection(access.url(), path, access.apiKey());
    }

    private JsonNode call(String method, String path, ObjectNode body) {
        HttpResponse<String> answer = send(HttpRequest.newBuilder(URI.create(access.url() + path))
                .header("Content-Type", "application/json")
                .method(
                        method,
                        method.equals("POST") ? BodyPublishers.ofString(Json.write(body)) : BodyPublishers.noBody()));
        JsonNode json = Json.parse(answer.body());
        if (answer.statusCode() >= 300) {
            String message = json.path("error").path("message").asString("HTTP status " + answer.statusCode());
            throw new BenchFailure(method + " " + path + ": " + message);
        }
        return json;
    }

    private HttpResponse<String> send(HttpRequest.Builder request) {
        try {
            return http.send(
                    request.timeout(TIMEOUT)
                            .header("X-API-Key", access.apiKey())
                            .build(),
                    BodyHandlers.ofString());
        } catch (IOException e) {
            throw new BenchFailure("The server at " + access + " does not answer: " + e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchFailure("Interrupted.");
        }
    }

    @Override
    public void close() {
        http.shutdownNow();
    }
}
