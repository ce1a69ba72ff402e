package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.acceptance.Api.Answer;
import java.net.http.HttpRequest.BodyPublishers;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;

/** Every endpoint with what it must refuse: the status, the code, and an envelope that gives nothing away. */
@Order(13)
@ExtendWith(Shared.class)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@SuppressWarnings("NullAway.Init")
class BadInputTest {
    private static final String UNKNOWN = "/v1/sandboxes/sb" + "z".repeat(20);

    private Sandbox sandbox;
    private Api api;
    private Api user;

    private record Row(String who, String method, String path, String body, int status, String code) {}

    private final List<Row> rows = new ArrayList<>();

    @BeforeAll
    void create(Installation server) {
        api = server.api();
        sandbox = api.create();
        String token = server.anonymous()
                .post("/v1/auth/signup", Map.of("email", "bad@example.org", "password", "long enough"))
                .require(201)
                .json()
                .path("token")
                .asString("");
        user = server.anonymous().withToken(token);
    }

    @AfterAll
    void delete() {
        sandbox.delete();
    }

    private void refuse(String who, String method, String path, String body, int status, String code) {
        rows.add(new Row(who, method, path, body, status, code));
    }

    /** Many bodies for one endpoint, all 400. */
    private void invalid(String who, String method, String path, String... bodies) {
        for (String body : bodies) {
            refuse(who, method, path, body, 400, "invalid_request");
        }
    }

    @TestFactory
    Stream<DynamicTest> badInputIsRefused() {
        accounts();
        keys();
        sandboxes();
        execs();
        files();
        framework();
        return rows.stream()
                .map(row -> DynamicTest.dynamicTest(
                        row.who + " " + row.method + " " + row.path.replace(sandbox.id(), "ID") + " "
                                + row.body.substring(0, Math.min(60, row.body.length())) + " → " + row.status,
                        () -> check(row)));
    }

    private void accounts() {
        for (String path : List.of("/v1/auth/signup", "/v1/auth/login")) {
            invalid("nobody", "POST", path, "", "{", "[]", "\"x\"", "null", "{}", "{\"email\":\"a@b.example\"}");
            invalid("nobody", "POST", path, "{\"email\":\"\",\"password\":\"long enough\"}");
            invalid("nobody", "POST", path, "{\"email\":7,\"password\":{}}");
        }
        invalid(
                "nobody",
                "POST",
                "/v1/auth/signup",
                "{\"email\":\"no-at-sign\",\"password\":\"long enough\"}",
                "{\"email\":\"a@b.example\",\"password\":\"short\"}",
                "{\"email\":\"a@b.example\",\"password\":\"" + "x".repeat(1025) + "\"}");
        refuse(
                "nobody",
                "POST",
                "/v1/auth/signup",
                "{\"email\":\"BAD@example.org\",\"password\":\"long enough\"}",
                409,
                "email_taken");
        refuse(
                "nobody",
                "POST",
                "/v1/auth/login",
                "{\"email\":\"bad@example.org\",\"password\":\"wrong one\"}",
                401,
                "unauthorized");
        refuse(
                "nobody",
                "POST",
                "/v1/auth/login",
                "{\"email\":\"nobody@example.org\",\"password\":\"wrong one\"}",
                401,
                "unauthorized");
        refuse("nobody", "GET", "/v1/me", "", 401, "unauthorized");
        refuse("key", "GET", "/v1/me", "", 401, "unauthorized");
    }

    private void keys() {
        for (String who : List.of("nobody", "key")) {
            refuse(who, "GET", "/v1/api-keys", "", 401, "unauthorized");
            refuse(who, "POST", "/v1/api-keys", "{}", 401, "unauthorized");
            refuse(who, "DELETE", "/v1/api-keys/key" + "0".repeat(20), "", 401, "unauthorized");
        }
        invalid("user", "POST", "/v1/api-keys", "{", "[]", "{\"name\":[]}");
        refuse("user", "DELETE", "/v1/api-keys/key" + "0".repeat(20), "", 404, "not_found");
        refuse("user", "DELETE", "/v1/api-keys/..%2f..%2fx", "", 400, "invalid_request");
    }

    private void sandboxes() {
        refuse("nobody", "POST", "/v1/sandboxes", "{}", 401, "unauthorized");
        refuse("nobody", "GET", "/v1/sandboxes", "", 401, "unauthorized");
        refuse("wrong key", "GET", "/v1/sandboxes", "", 401, "unauthorized");
        refuse("wrong token", "GET", "/v1/sandboxes", "", 401, "unauthorized");
        invalid(
                "key",
                "POST",
                "/v1/sandboxes",
                "{",
                "[]",
                "7",
                "{\"template\":\"\"}",
                "{\"template\":\"../etc\"}",
                "{\"template\":\"-x\"}",
                "{\"template\":\"" + "x".repeat(65) + "\"}",
                "{\"template\":{}}",
                "{\"vcpus\":0}",
                "{\"vcpus\":-1}",
                "{\"vcpus\":1000}",
                "{\"vcpus\":1.5}",
                "{\"vcpus\":\"many\"}",
                "{\"memory_mb\":0}",
                "{\"memory_mb\":100}",
                "{\"memory_mb\":129}",
                "{\"memory_mb\":2147483648}",
                "{\"memory_mb\":16777216}",
                "{\"timeout_sec\":-1}",
                "{\"timeout_sec\":2592001}",
                "{\"env\":[]}",
                "{\"env\":{\"A=B\":\"x\"}}",
                "{\"env\":{\"\":\"x\"}}",
                "{\"env\":{\"A\":\"x\\u0000y\"}}",
                "{\"env\":{\"A\":{}}}",
                "{\"metadata\":{\"a\":{}}}",
                "{\"metadata\":7}");
        refuse("key", "POST", "/v1/sandboxes", "{\"template\":\"nothing-like-it\"}", 404, "not_found");
        refuse(
                "key",
                "POST",
                "/v1/sandboxes",
                "{\"metadata\":{\"a\":\"" + "x".repeat(1 << 20) + "\"}}",
                413,
                "too_large");
        for (String query : List.of("limit=0", "limit=x", "limit=-1", "status=asleep", "cursor=%00", "cursor=x")) {
            invalid("key", "GET", "/v1/sandboxes?" + query, "");
        }
        for (String id :
                List.of("sb" + "z".repeat(20), "x", "sb'%3B--", "sb" + "Z".repeat(20), "sb" + "0".repeat(500))) {
            refuse("key", "GET", "/v1/sandboxes/" + id, "", 404, "not_found");
            refuse("key", "DELETE", "/v1/sandboxes/" + id, "", 404, "not_found");
            refuse("key", "POST", "/v1/sandboxes/" + id + "/ping", "", 404, "not_found");
        }
        for (String id : List.of("%2e%2e%2fetc", "%00")) {
            refuse("key", "GET", "/v1/sandboxes/" + id, "", 400, "invalid_request");
            refuse("key", "DELETE", "/v1/sandboxes/" + id, "", 400, "invalid_request");
        }
    }

    private void execs() {
        String exec = sandbox.path() + "/exec";
        refuse("nobody", "POST", exec, "{\"cmd\":\"true\"}", 401, "unauthorized");
        refuse("key", "POST", UNKNOWN + "/exec", "{", 404, "not_found");
        invalid(
                "key",
                "POST",
                exec,
                "",
                "{",
                "[]",
                "{}",
                "{\"cmd\":\"\"}",
                "{\"cmd\":7}",
                "{\"cmd\":\"true\",\"args\":\"x\"}",
                "{\"cmd\":\"true\",\"args\":[{}]}",
                "{\"cmd\":\"tr\\u0000ue\"}",
                "{\"cmd\":\"true\",\"args\":[\"a\\u0000b\"]}",
                "{\"cmd\":\"true\",\"env\":{\"A=\":\"x\"}}",
                "{\"cmd\":\"true\",\"timeout_sec\":-1}",
                "{\"cmd\":\"true\",\"timeout_sec\":\"soon\"}",
                "{\"cmd\":\"true\",\"stdin\":{}}");
        refuse("key", "GET", UNKNOWN + "/execs", "", 404, "not_found");
        refuse("key", "DELETE", sandbox.path() + "/execs/ex" + "0".repeat(20), "", 404, "not_found");
        refuse("key", "DELETE", sandbox.path() + "/execs/%2e%2e", "", 400, "invalid_request");
    }

    private void files() {
        String files = sandbox.path() + "/files";
        refuse("nobody", "GET", files + "?path=/", "", 401, "unauthorized");
        invalid("key", "GET", files, "");
        invalid("key", "GET", files + "?path=", "");
        invalid("key", "GET", files + "?path=relative", "");
        invalid("key", "GET", files + "?path=/a%00b", "");
        for (String endpoint : List.of("/read", "/stream/read", "/mkdir")) {
            invalid("key", "POST", files + endpoint, "{", "{}", "{\"path\":\"\"}", "{\"path\":7}");
            invalid("key", "POST", files + endpoint, "{\"path\":\"/a\\u0000b\"}");
            refuse("key", "POST", UNKNOWN + "/files" + endpoint, "{\"path\":\"/x\"}", 404, "not_found");
        }
        invalid("key", "POST", files + "/move", "{", "{}", "{\"from\":\"/x\"}", "{\"to\":\"/x\"}");
        invalid("key", "PUT", files + "/stream", "x");
        invalid("key", "PUT", files + "/stream?path=", "x");
        invalid("key", "DELETE", files, "");
        invalid("key", "DELETE", files + "?path=/", "");
    }

    private void framework() {
        refuse("key", "GET", "/v1/nothing", "", 404, "not_found");
        refuse("key", "GET", "/", "", 404, "not_found");
        refuse("key", "PATCH", "/v1/sandboxes", "{}", 405, "method_not_allowed");
        refuse("key", "PUT", sandbox.path(), "{}", 405, "method_not_allowed");
        refuse("text", "POST", "/v1/sandboxes", "hello", 415, "unsupported_media_type");
    }

    private void check(Row row) {
        Api caller = switch (row.who) {
            case "key", "text" -> api;
            case "user" -> user;
            case "wrong key" -> Api.at(api.base()).withKey("sgk_" + "x".repeat(40));
            case "wrong token" -> Api.at(api.base()).withToken("x.y.z");
            default -> Api.at(api.base());
        };
        Answer answer = caller.call(
                row.method,
                row.path,
                row.body.isEmpty() ? BodyPublishers.noBody() : BodyPublishers.ofString(row.body),
                row.who.equals("text") ? "text/plain" : "application/json");
        assertThat(answer.status()).as(answer.text()).isEqualTo(row.status);
        assertThat(answer.errorCode()).as(answer.text()).isEqualTo(row.code);
        assertThat(Json.names(answer.json())).containsExactly("error");
        assertThat(answer.errorMessage())
                .isNotBlank()
                .doesNotContain("Exception", "java.", "dev.sandglass", "/tmp/sandglass", "\tat ");
        assertThat(answer.header("X-Request-Id")).isNotBlank();
    }
}
