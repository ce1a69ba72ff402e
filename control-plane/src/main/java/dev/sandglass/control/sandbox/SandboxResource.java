package dev.sandglass.control.sandbox;

import static dev.sandglass.control.http.Texts.invalid;

import dev.sandglass.control.http.Access;
import dev.sandglass.control.http.HttpRequest;
import dev.sandglass.control.http.Reply;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.http.Texts;
import dev.sandglass.control.idempotency.Answer;
import dev.sandglass.control.idempotency.Idempotency;
import dev.sandglass.control.sandbox.PostgresSandboxStore.Filter;
import java.io.IOException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
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

    record CreateRequest(
            @Nullable String template,
            @Nullable Integer vcpus,
            @Nullable Integer memoryMb,
            @Nullable Integer timeoutSec,
            @Nullable Map<String, @Nullable String> env,
            @Nullable Map<String, @Nullable String> metadata) {}

    record ResumeRequest(@Nullable Boolean cold) {}

    private final Sandboxes sandboxes;
    private final Creation creation;
    private final Operations operations;
    private final PostgresSandboxStore store;

    SandboxResource(Sandboxes sandboxes, Creation creation, Operations operations, PostgresSandboxStore store) {
        this.sandboxes = sandboxes;
        this.creation = creation;
        this.operations = operations;
        this.store = store;
    }

    List<Route> routes() {
        return List.of(
                Route.of("POST", "/v1/sandboxes", Access.TEAM, this::create),
                Route.of("GET", "/v1/sandboxes", Access.TEAM, this::list),
                Route.of("GET", "/v1/sandboxes/{id}", Access.TEAM, this::find),
                Route.of("DELETE", "/v1/sandboxes/{id}", Access.TEAM, this::delete),
                Route.of("POST", "/v1/sandboxes/{id}/pause", Access.TEAM, this::pause),
                Route.of("POST", "/v1/sandboxes/{id}/resume", Access.TEAM, this::resume),
                Route.of("POST", "/v1/sandboxes/{id}/ping", Access.TEAM, this::ping));
    }

    private Reply create(HttpRequest request) throws IOException {
        SandboxSpec spec = spec(request.jsonOrEmpty(CreateRequest.class));
        Optional<Idempotency> idempotency = Idempotency.of(request.header(Idempotency.HEADER), canonical(spec));
        Answer answer = creation.create(request.team(), spec, idempotency);
        return new Reply.Bytes(answer.status(), answer.bytes(), Map.of("Content-Type", "application/json"));
    }

    private static SandboxSpec spec(CreateRequest sent) {
        String template = Optional.ofNullable(sent.template()).orElse(SandboxSpec.BASE_TEMPLATE);
        Texts.requireName("template", template);
        Optional<Integer> vcpus = Texts.optionalWithin("vcpus", sent.vcpus(), 1, 1024);
        Optional<Integer> memoryMb =
                Texts.optionalWithin("memory_mb", sent.memoryMb(), SandboxSpec.MEMORY_MB_STEP, 16 << 20);
        if (memoryMb.orElse(0) % SandboxSpec.MEMORY_MB_STEP != 0) {
            throw invalid("The field 'memory_mb' must be a multiple of " + SandboxSpec.MEMORY_MB_STEP + ".");
        }
        int timeoutSec = Texts.within("timeout_sec", sent.timeoutSec(), 0, SandboxSpec.TIMEOUT_SEC_MAX, 0);
        Map<String, String> env = Texts.environment(sent.env());
        Map<String, String> metadata = Texts.map("metadata", sent.metadata(), 64, 128, 1024, METADATA_KEY);
        return new SandboxSpec(template, vcpus, memoryMb, timeoutSec, env, metadata);
    }

    /** What is asked for; what is left out is the default. */
    private static List<Object> canonical(SandboxSpec spec) {
        return List.of(
                spec.template(),
                spec.vcpus().orElse(SandboxSpec.VCPUS_DEFAULT),
                spec.memoryMb().orElse(SandboxSpec.MEMORY_MB_DEFAULT),
                spec.timeoutSec(),
                new TreeMap<>(spec.env()),
                new TreeMap<>(spec.metadata()));
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
        operations.delete(request.team(), Sandboxes.idOf(request.parameter("id")));
        return Reply.noContent();
    }

    private Reply pause(HttpRequest request) {
        return Reply.ok(SandboxObject.of(operations.pause(request.team(), Sandboxes.idOf(request.parameter("id")))));
    }

    private Reply resume(HttpRequest request) throws IOException {
        String id =
                sandboxes.require(request.team(), request.parameter("id")).id().value();
        ResumeRequest sent = request.jsonOrEmpty(ResumeRequest.class);
        boolean cold = Boolean.TRUE.equals(sent.cold());
        return Reply.ok(SandboxObject.of(operations.resume(request.team(), Sandboxes.idOf(id), cold)));
    }

    private Reply ping(HttpRequest request) {
        sandboxes.ping(request.team(), request.parameter("id"));
        return Reply.noContent();
    }
}
