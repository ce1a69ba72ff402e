package dev.sandglass.contract.check;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** A comparison that finds nothing is worth what it would have found. */
final class ExchangeCheckTest {
    private static final String SANDBOX = """
            {"id":"sb0123456789abcdefghjk","status":"running","template":"base","vcpus":1,"memory_mb":512,"timeout_sec":0,
            "metadata":{},"created_at":"2026-01-01T12:00:00Z","last_updated":"2026-01-01T12:00:00Z"%s}""";
    private static final String NOT_FOUND = "{\"error\":{\"code\":\"not_found\",\"message\":\"There is none.\"}}";

    private final ExchangeCheck check = new ExchangeCheck(OpenApi.document());
    private final Map<String, String> sent = new HashMap<>(Map.of("X-API-Key", "sgk_x"));
    private final Map<String, String> got =
            new HashMap<>(Map.of("X-Request-Id", "req1", "Content-Type", "application/json"));

    private List<String> differences(String method, String path, String request, int status, String answer) {
        return check.differences(new Exchange(
                method,
                URI.create("http://127.0.0.1" + path),
                lists(sent),
                Optional.of(request.getBytes(StandardCharsets.UTF_8)),
                status,
                lists(got),
                Optional.of(answer.getBytes(StandardCharsets.UTF_8))));
    }

    private static Map<String, List<String>> lists(Map<String, String> headers) {
        Map<String, List<String>> lists = new HashMap<>();
        headers.forEach((name, value) -> lists.put(name, List.of(value)));
        return lists;
    }

    private List<String> create(String request, String more) {
        return differences("POST", "/v1/sandboxes", request, 201, SANDBOX.formatted(more));
    }

    @Test
    void whatIsAsDocumentedDoesNotDiffer() {
        assertThat(create("{}", "")).isEmpty();
        assertThat(create("", "")).isEmpty();
        assertThat(create("{\"vcpus\":2,\"unknown\":1}", ",\"host_ip\":\"10.0.0.1\""))
                .isEmpty();
        assertThat(differences("GET", "/v1/sandboxes/sb1/", "", 404, NOT_FOUND)).isEmpty();
        assertThat(differences("GET", "/v1/sandboxes?metadata.a=b&limit=3", "", 200, "[" + SANDBOX.formatted("") + "]"))
                .isEmpty();
        assertThat(differences("GET", "/nothing", "", 404, NOT_FOUND)).isEmpty();
    }

    @Test
    void answersThatAreNotAsDocumentedDiffer() {
        assertThat(create("{}", ",\"secret\":1")).anyMatch(text -> text.contains("secret"));
        assertThat(create("{}", ",\"host_ip\":7")).isNotEmpty();
        assertThat(create("{}", ",\"host_ip\":null")).isNotEmpty();
        assertThat(create("{}", ",\"started_at\":\"yesterday\"")).isNotEmpty();
        assertThat(create("{}", ",\"metadata\":{\"a\":1}")).isNotEmpty();
        assertThat(differences("POST", "/v1/sandboxes", "{}", 201, "{}")).isNotEmpty();
        assertThat(differences("POST", "/v1/sandboxes", "{}", 201, "nonsense")).isNotEmpty();
        assertThat(differences("POST", "/v1/sandboxes", "{}", 200, SANDBOX.formatted("")))
                .isNotEmpty();
        assertThat(differences("DELETE", "/v1/sandboxes/sb1", "", 204, "{}")).isNotEmpty();
        assertThat(differences("GET", "/v1/sandboxes/sb1", "", 403, NOT_FOUND)).isNotEmpty();
        assertThat(differences("GET", "/v1/sandboxes/sb1", "", 404, NOT_FOUND.replace("not_found", "conflict")))
                .isNotEmpty();
        assertThat(differences("GET", "/v1/sandboxes/sb1", "", 404, NOT_FOUND.replace("\"message\"", "\"trace\"")))
                .isNotEmpty();
        assertThat(differences("GET", "/nothing", "", 200, "{}")).isNotEmpty();
        assertThat(differences("PATCH", "/v1/sandboxes", "", 404, NOT_FOUND)).isNotEmpty();
    }

    @Test
    void headersThatAreNotAsDocumentedDiffer() {
        sent.put("X-Request-Id", "mine");
        assertThat(create("{}", "")).anyMatch(text -> text.contains("X-Request-Id"));
        sent.remove("X-Request-Id");
        got.remove("X-Request-Id");
        assertThat(create("{}", "")).anyMatch(text -> text.contains("X-Request-Id"));
        got.put("X-Request-Id", "req1");
        got.put("Content-Type", "text/html");
        assertThat(create("{}", "")).anyMatch(text -> text.contains("Content-Type"));
    }

    @Test
    void requestsThatShouldHaveBeenRefusedDiffer() {
        assertThat(create("{\"vcpus\":0}", "")).isNotEmpty();
        assertThat(create("{\"memory_mb\":500}", "")).isNotEmpty();
        assertThat(create("{\"env\":{\"1\":\"x\"}}", "")).isNotEmpty();
        assertThat(create("[]", "")).isNotEmpty();
        assertThat(differences("GET", "/v1/sandboxes?limit=0", "", 200, "[]")).isNotEmpty();
        assertThat(differences("GET", "/v1/sandboxes?limit=x", "", 200, "[]")).isNotEmpty();
        assertThat(differences("GET", "/v1/sandboxes?status=odd", "", 200, "[]"))
                .isNotEmpty();
        assertThat(differences("GET", "/v1/sandboxes?nobody=knows", "", 200, "[]"))
                .isNotEmpty();
        assertThat(differences("GET", "/v1/sandboxes/sb1/files", "", 200, "[]")).isNotEmpty();
        sent.put("Content-Type", "text/plain");
        assertThat(create("{}", "")).isNotEmpty();
        sent.clear();
        assertThat(create("{}", "")).anyMatch(text -> text.contains("credentials"));
    }

    @Test
    void messagesThatAreNotAsDocumentedDiffer() {
        assertThat(check.serverMessage("{\"type\":\"stdout\",\"seq\":1,\"data\":\"x\"}"))
                .isEmpty();
        assertThat(check.serverMessage("{\"type\":\"stdout\",\"seq\":1,\"data\":\"x\",\"more\":1}"))
                .isNotEmpty();
        assertThat(check.serverMessage("{\"type\":\"news\"}")).isNotEmpty();
        assertThat(check.serverMessage("{\"type\":\"exit\"}")).isNotEmpty();
        assertThat(check.serverMessage("nonsense")).isNotEmpty();
        assertThat(check.clientMessage("{\"type\":\"stop\",\"unknown\":1}")).isEmpty();
        assertThat(check.clientMessage("{\"type\":\"start\"}")).isNotEmpty();
        assertThat(check.clientMessage("{\"type\":\"resize\",\"cols\":0}")).isNotEmpty();
    }
}
