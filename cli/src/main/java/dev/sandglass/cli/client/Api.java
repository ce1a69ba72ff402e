package dev.sandglass.cli.client;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpTimeoutException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** The REST API with one key. Thread-safe. Every failure is an {@link ApiFailure} with a sentence for a person. */
public final class Api implements AutoCloseable {
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(5);
    /** A create on a loaded machine without KVM takes seconds; an answer that takes longer than this never comes. */
    private static final Duration ANSWER_TIMEOUT = Duration.ofMinutes(3);

    private static final int PAGE = 100;
    private static final int PAGES_MAX = 1_000;
    private static final Pattern NEXT_LINK = Pattern.compile("<([^>]*)>\\s*;\\s*rel=\"?next\"?");

    private final Access access;
    private final HttpClient http;

    public Api(Access access) {
        this.access = access;
        this.http = HttpClient.newBuilder()
                .version(HttpClient.Version.HTTP_1_1)
                .connectTimeout(CONNECT_TIMEOUT)
                .followRedirects(HttpClient.Redirect.NEVER)
                .build();
    }

    public Access access() {
        return access;
    }

    // --- sandboxes

    public Sandbox create(CreateRequest request) {
        return new Sandbox(call("POST", "/v1/sandboxes", json(request.toJson()), "create the sandbox"));
    }

    public Sandbox require(String id) {
        return new Sandbox(call("GET", "/v1/sandboxes/" + segment(id), BodyPublishers.noBody(), "find " + id));
    }

    /** All sandboxes of this key's team, newest first. */
    public List<Sandbox> list() {
        return pages("/v1/sandboxes?limit=" + PAGE, "list the sandboxes").stream()
                .map(Sandbox::new)
                .toList();
    }

    private List<JsonNode> pages(String path, String what) {
        List<JsonNode> elements = new ArrayList<>();
        Optional<URI> next = Optional.of(access.resolve(path));
        for (int page = 0; page < PAGES_MAX && next.isPresent(); page++) {
            HttpResponse<String> answer = send(request(next.get()).GET().build(), BodyHandlers.ofString(), what);
            requireSuccess(answer.statusCode(), answer.body(), what);
            Json.parse(answer.body()).forEach(elements::add);
            next = answer.headers().firstValue("Link").flatMap(this::nextPage);
        }
        return elements;
    }

    private Optional<URI> nextPage(String link) {
        Matcher matcher = NEXT_LINK.matcher(link);
        return matcher.find() ? Optional.of(access.resolve("/").resolve(matcher.group(1))) : Optional.empty();
    }

    /** Returns when its memory is on disk and its machine gone. One that is paused stays so. */
    public Sandbox pause(String id) {
        return new Sandbox(call("POST", "/v1/sandboxes/" + segment(id) + "/pause", json(Json.object()), "pause " + id));
    }

    /** One that runs goes on. {@code cold} gives a paused one's memory up and boots it from its disk. */
    public Sandbox resume(String id, boolean cold) {
        ObjectNode body = Json.object();
        if (cold) {
            body.put("cold", true);
        }
        return new Sandbox(call("POST", "/v1/sandboxes/" + segment(id) + "/resume", json(body), "resume " + id));
    }

    public void delete(String id) {
        call("DELETE", "/v1/sandboxes/" + segment(id), BodyPublishers.noBody(), "delete " + id);
    }

    /**
     * The full id that {@code text} stands for: itself when it is whole, else the only sandbox whose id begins with it
     * (with or without "sb").
     */
    public String requireId(String text) {
        if (dev.sandglass.contract.Id.Ids.isValid("sb", text)) {
            return text;
        }
        List<String> found = list().stream()
                .map(Sandbox::id)
                .filter(id -> id.startsWith(text) || id.startsWith("sb" + text))
                .toList();
        return switch (found.size()) {
            case 1 -> found.getFirst();
            case 0 -> throw new ApiFailure(404, "not_found", "No sandbox '" + text + "'. `sandglass ps` lists yours.");
            default ->
                throw new ApiFailure(
                        404,
                        "not_found",
                        "'" + text + "' could be any of " + found.size() + " sandboxes: "
                                + String.join(", ", found.subList(0, Math.min(4, found.size())))
                                + (found.size() > 4 ? ", …" : "") + ".");
        };
    }

    // --- snapshots

    /** {@code name} empty: the server makes one up. */
    public Snapshot createSnapshot(String sandboxId, Optional<String> name, boolean pause, boolean overwrite) {
        ObjectNode body = Json.object().put("sandbox_id", sandboxId);
        name.ifPresent(text -> body.put("name", text));
        if (pause) {
            body.put("pause", true);
        }
        String path = "/v1/snapshots" + (overwrite ? "?overwrite=true" : "");
        return new Snapshot(call("POST", path, json(body), "take a snapshot of " + sandboxId));
    }

    /** Those of this key's team and the templates that everybody has, newest first. */
    public List<Snapshot> snapshots() {
        return pages("/v1/snapshots", "list the snapshots").stream()
                .map(Snapshot::new)
                .toList();
    }

    public void deleteSnapshot(String name) {
        call("DELETE", "/v1/snapshots/" + segment(name), BodyPublishers.noBody(), "delete snapshot " + name);
    }

    // --- exec

    /** A new exec session; nothing is sent before {@link ExecSession#run}. */
    public ExecSession exec(String sandboxId, ExecSession.Command command) {
        return new ExecSession(this, sandboxId, command);
    }

    void killExec(String id, String execId) {
        call(
                "DELETE",
                "/v1/sandboxes/" + segment(id) + "/execs/" + segment(execId),
                BodyPublishers.noBody(),
                "stop the command");
    }

    // --- files

    /** A file that is being read; the caller closes it. {@code length} is -1 when the server does not know. */
    public record Download(InputStream content, long length) implements AutoCloseable {
        @Override
        public void close() throws IOException {
            content.close();
        }
    }

    /** Replaces {@code path} with what {@code content} gives, in one step at the end. */
    public void upload(String id, String path, BodyPublisher content) {
        String what = "write " + path + " in " + id;
        HttpRequest request = request(access.resolve(files(id) + "/stream?path=" + query(path)))
                .timeout(Duration.ofDays(1))
                .header("Content-Type", "application/octet-stream")
                .PUT(content)
                .build();
        HttpResponse<String> answer = send(request, BodyHandlers.ofString(), what);
        requireSuccess(answer.statusCode(), answer.body(), what);
    }

    public Download download(String id, String path) throws IOException {
        String what = "read " + path + " in " + id;
        ObjectNode body = Json.object().put("path", path);
        HttpRequest request = request(access.resolve(files(id) + "/stream/read"))
                .header("Content-Type", "application/json")
                .POST(json(body))
                .build();
        HttpResponse<InputStream> answer = send(request, BodyHandlers.ofInputStream(), what);
        if (answer.statusCode() >= 300) {
            try (InputStream error = answer.body()) {
                byte[] text = error.readNBytes(1 << 20);
                requireSuccess(answer.statusCode(), new String(text, StandardCharsets.UTF_8), what);
            }
        }
        return new Download(
                answer.body(),
                answer.headers().firstValueAsLong("Content-Length").orElse(-1));
    }

    /** Entries of a directory; empty when there is no such directory. */
    public Optional<JsonNode> findDirectory(String id, String path) {
        try {
            return Optional.of(call(
                    "GET", files(id) + "?path=" + query(path), BodyPublishers.noBody(), "list " + path + " in " + id));
        } catch (ApiFailure e) {
            if (e.status() == 400 || e.status() == 404 || e.status() == 409) {
                return Optional.empty(); // or no such sandbox: what is done next says so
            }
            throw e;
        }
    }

    public void makeDirectory(String id, String path) {
        call("POST", files(id) + "/mkdir", json(Json.object().put("path", path)), "make " + path + " in " + id);
    }

    // --- accounts: what `up` needs for the first key

    /** Whether the server is up and may be used. */
    public boolean isReady() {
        try {
            return send(request(access.resolve("/readyz")).GET().build(), BodyHandlers.discarding(), "reach")
                            .statusCode()
                    == 200;
        } catch (ApiFailure e) {
            return false;
        }
    }

    /** The token of a new account, or of the existing one. */
    public String signUpOrLogIn(String email, String password) {
        ObjectNode body = Json.object().put("email", email).put("password", password);
        try {
            return call("POST", "/v1/auth/login", json(body), "log in")
                    .path("token")
                    .asString("");
        } catch (ApiFailure e) {
            if (e.status() != 401) {
                throw e;
            }
        }
        return call("POST", "/v1/auth/signup", json(body), "sign up")
                .path("token")
                .asString("");
    }

    public String createApiKey(String token, String name) {
        HttpRequest request = request(access.resolve("/v1/api-keys"))
                .setHeader("Authorization", "Bearer " + token)
                .header("Content-Type", "application/json")
                .POST(json(Json.object().put("name", name)))
                .build();
        HttpResponse<String> answer = send(request, BodyHandlers.ofString(), "create an API key");
        requireSuccess(answer.statusCode(), answer.body(), "create an API key");
        return Json.parse(answer.body()).path("key").asString("");
    }

    // --- the calls themselves

    private JsonNode call(String method, String path, BodyPublisher body, String what) {
        HttpRequest request = request(access.resolve(path))
                .header("Content-Type", "application/json")
                .method(method, body)
                .build();
        HttpResponse<String> answer = send(request, BodyHandlers.ofString(), what);
        requireSuccess(answer.statusCode(), answer.body(), what);
        return Json.parse(answer.body());
    }

    private HttpRequest.Builder request(URI uri) {
        HttpRequest.Builder request = HttpRequest.newBuilder(uri).timeout(ANSWER_TIMEOUT);
        if (!access.apiKey().isEmpty()) {
            request.header("X-API-Key", access.apiKey());
        }
        return request;
    }

    private <T> HttpResponse<T> send(HttpRequest request, HttpResponse.BodyHandler<T> handler, String what) {
        try {
            return http.send(request, handler);
        } catch (ConnectException e) {
            throw unreachable();
        } catch (HttpTimeoutException e) {
            throw new ApiFailure(
                    0, "unreachable", "The server at " + access + " did not answer in time: " + what + ".");
        } catch (IOException e) {
            if (e.getCause() instanceof UncheckedIOException local) {
                throw local; // reading what is to be sent
            }
            throw new ApiFailure(0, "unreachable", "The connection to " + access + " broke: " + what + ".");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ApiFailure(0, "interrupted", "Interrupted: " + what + ".");
        }
    }

    ApiFailure unreachable() {
        return new ApiFailure(
                0,
                "unreachable",
                "No server answers at " + access + ". Start one with `./sandglass up`, or set SANDGLASS_URL.");
    }

    /** {@code body} is the error envelope, or anything that something between us and the server said. */
    static ApiFailure refusal(int status, String body, String what) {
        JsonNode error = Json.parse(body).path("error");
        String code = error.path("code").asString("http_" + status);
        String message = error.path("message").asString("");
        if (status == 401) {
            return new ApiFailure(
                    status,
                    code,
                    "The server does not accept this API key. Set SANDGLASS_API_KEY, or run `./sandglass up` again"
                            + " on the server's machine to renew the local one.");
        }
        String reason = message.isEmpty() ? "the server answered " + status : message;
        return new ApiFailure(status, code, "Could not " + what + ": " + reason);
    }

    private static void requireSuccess(int status, String body, String what) {
        if (status >= 300) {
            throw refusal(status, body, what);
        }
    }

    private static String files(String id) {
        return "/v1/sandboxes/" + segment(id) + "/files";
    }

    static String segment(String text) {
        return query(text).replace("+", "%20");
    }

    private static String query(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }

    private static BodyPublisher json(JsonNode node) {
        return BodyPublishers.ofString(Json.write(node));
    }

    @Override
    public void close() {
        // Not close(): that waits for exchanges which a lost server may never finish.
        http.shutdownNow();
    }
}
