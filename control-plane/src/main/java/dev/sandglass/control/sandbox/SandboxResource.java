package dev.sandglass.control.sandbox;

import static dev.sandglass.control.http.Texts.invalid;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.http.Access;
import dev.sandglass.control.http.HttpRequest;
import dev.sandglass.control.http.Json;
import dev.sandglass.control.http.Reply;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.http.Texts;
import dev.sandglass.control.sandbox.SandboxStore.Filter;
import java.io.IOException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** /v1/sandboxes. */
final class SandboxResource {
    private static final int LIST_DEFAULT = 100;
    private static final int LIST_MAX = 1000;
    private static final String METADATA_KEY = "[A-Za-z0-9][A-Za-z0-9._/-]*";
    private static final String TEMPLATE_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}";

    record CreateRequest(
            @Nullable String template,
            @Nullable Integer vcpus,
            @Nullable Integer memoryMb,
            @Nullable Integer timeoutSec,
            @Nullable Map<String, @Nullable String> env,
            @Nullable Map<String, @Nullable String> metadata) {}

    private final Sandboxes sandboxes;
    private final SandboxStore store;

    SandboxResource(Sandboxes sandboxes, SandboxStore store) {
        this.sandboxes = sandboxes;
        this.store = store;
    }

    List<Route> routes() {
        return List.of(
                Route.of("POST", "/v1/sandboxes", Access.TEAM, this::create),
                Route.of("GET", "/v1/sandboxes", Access.TEAM, this::list),
                Route.of("GET", "/v1/sandboxes/{id}", Access.TEAM, this::find),
                Route.of("DELETE", "/v1/sandboxes/{id}", Access.TEAM, this::delete),
                Route.of("POST", "/v1/sandboxes/{id}/ping", Access.TEAM, this::ping));
    }

    private Reply create(HttpRequest request) throws IOException {
        CreateRequest sent = request.jsonOrEmpty(CreateRequest.class);
        SandboxSpec spec = spec(sent);
        Optional<Idempotency> idempotency =
                request.header("Idempotency-Key").map(key -> new Idempotency(checkedKey(key), hash(spec)));
        Answer answer = sandboxes.create(request.team(), spec, idempotency);
        return new Reply.Bytes(
                answer.status(),
                answer.body().getBytes(StandardCharsets.UTF_8),
                Map.of("Content-Type", "application/json"));
    }

    private static SandboxSpec spec(CreateRequest sent) {
        String template = Optional.ofNullable(sent.template()).orElse(SandboxSpec.BASE_TEMPLATE);
        if (!template.matches(TEMPLATE_NAME)) {
            throw invalid("The field 'template' must be 1 to 64 characters: letters, digits and . _ -, the first one a"
                    + " letter or digit.");
        }
        int vcpus = Texts.within("vcpus", sent.vcpus(), 1, 1024, 1);
        int memoryMb = Texts.within("memory_mb", sent.memoryMb(), SandboxSpec.MEMORY_MB_STEP, 16 << 20, 512);
        if (memoryMb % SandboxSpec.MEMORY_MB_STEP != 0) {
            throw invalid("The field 'memory_mb' must be a multiple of " + SandboxSpec.MEMORY_MB_STEP + ".");
        }
        int timeoutSec = Texts.within("timeout_sec", sent.timeoutSec(), 0, SandboxSpec.TIMEOUT_SEC_MAX, 0);
        Map<String, String> env = Texts.environment(sent.env());
        Map<String, String> metadata = Texts.map("metadata", sent.metadata(), 64, 128, 1024, METADATA_KEY);
        if (!template.equals(SandboxSpec.BASE_TEMPLATE)) {
            throw new PlatformException(ErrorCode.NOT_FOUND, "There is no template with this name.");
        }
        return new SandboxSpec(template, vcpus, memoryMb, timeoutSec, env, metadata);
    }

    private static String checkedKey(String key) {
        if (key.isEmpty() || key.length() > 255 || !key.chars().allMatch(c -> c >= ' ' && c < 127)) {
            throw invalid("The header Idempotency-Key must be 1 to 255 printable ASCII characters.");
        }
        return key;
    }

    /** Of what is asked for, not of how it is written down. */
    private static String hash(SandboxSpec spec) {
        String canonical = Json.writeText(List.of(
                spec.template(),
                spec.vcpus(),
                spec.memoryMb(),
                spec.timeoutSec(),
                new TreeMap<>(spec.env()),
                new TreeMap<>(spec.metadata())));
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            return HexFormat.of().formatHex(digest.digest(canonical.getBytes(StandardCharsets.UTF_8)));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private Reply list(HttpRequest request) {
        int limit = request.query("limit").map(SandboxResource::limit).orElse(LIST_DEFAULT);
        Optional<SandboxStatus> status = request.query("status").map(SandboxResource::status);
        Map<String, String> metadata =
                Texts.map("metadata", nullable(request.queryWithPrefix("metadata.")), 64, 128, 1024, METADATA_KEY);
        Optional<Cursor> after = request.query("cursor").map(Cursor::parse);
        List<Sandbox> found = store.list(request.team(), new Filter(status, metadata, after, limit + 1));
        boolean more = found.size() > limit;
        List<Sandbox> page = more ? found.subList(0, limit) : found;
        Map<String, String> headers =
                more ? Map.of("Link", nextLink(limit, status, metadata, Cursor.after(page.getLast()))) : Map.of();
        return new Reply.Json(200, page.stream().map(SandboxObject::of).toList(), headers);
    }

    private static Map<String, @Nullable String> nullable(Map<String, String> map) {
        return new TreeMap<String, @Nullable String>(map);
    }

    private static int limit(String text) {
        if (!text.matches("[0-9]{1,4}") || Integer.parseInt(text) < 1 || Integer.parseInt(text) > LIST_MAX) {
            throw invalid("The parameter 'limit' must be from 1 to " + LIST_MAX + ".");
        }
        return Integer.parseInt(text);
    }

    private static SandboxStatus status(String text) {
        return SandboxStatus.named(text)
                .orElseThrow(() -> invalid("The parameter 'status' must be one of pending, running, pausing, paused,"
                        + " resuming, stopped, error."));
    }

    private static String nextLink(
            int limit, Optional<SandboxStatus> status, Map<String, String> metadata, Cursor cursor) {
        Map<String, String> query = new TreeMap<>();
        metadata.forEach((key, value) -> query.put("metadata." + key, value));
        status.ifPresent(value -> query.put("status", value.wireName()));
        query.put("limit", Integer.toString(limit));
        query.put("cursor", cursor.text());
        return query.entrySet().stream()
                .map(entry -> encoded(entry.getKey()) + "=" + encoded(entry.getValue()))
                .collect(Collectors.joining("&", "</v1/sandboxes?", ">; rel=\"next\""));
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    private Reply find(HttpRequest request) {
        return Reply.ok(SandboxObject.of(sandboxes.require(request.team(), request.parameter("id"))));
    }

    private Reply delete(HttpRequest request) {
        sandboxes.delete(request.team(), request.parameter("id"));
        return Reply.noContent();
    }

    private Reply ping(HttpRequest request) {
        sandboxes.ping(request.team(), request.parameter("id"));
        return Reply.noContent();
    }
}
