package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.control.http.Access;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.RawHttp;
import dev.sandglass.control.testing.TestPlane;
import io.grpc.Status;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;

/**
 * Ids, names, queries and bodies that try to become something else: a path, a query, a header, a command. The host agent
 * behind it finds nothing, whatever it is asked, so every answer is the control plane's own refusal or that.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class FuzzTest {
    /** As they stand in an address. */
    private static final List<String> SEGMENTS = List.of(
            "%00",
            "a%00b",
            "..%00",
            "%2e",
            "%2e%2e",
            "..%2f..%2fetc%2fpasswd",
            "%2fetc%2fpasswd",
            "..%5c..",
            "%5c",
            "..;",
            ";a=b",
            "a;b",
            "%3b",
            "~",
            "*",
            "%2a",
            "%3f",
            "%23",
            "%25",
            "%2500",
            "%",
            "%2",
            "%zz",
            "%u0000",
            "%ff",
            "%c0%ae%c0%ae",
            "%c3%28",
            "%ed%a0%80",
            "%f0%9f%92%a9",
            "%e2%80%ae",
            "%d7%90",
            "caf%c3%a9",
            "e%cc%81",
            "%0d%0aX-Injected:%20yes",
            "%0a",
            "%0d",
            "%09",
            "%20",
            "+",
            "%7f",
            "%1b%5b31m",
            "$(id)",
            "%60id%60",
            "a|b",
            "%26",
            "'",
            "%27%20or%201=1--",
            "%22",
            "%3cscript%3e",
            "{id}",
            "%7bid%7d",
            "null",
            "-",
            "--help",
            "...",
            "sb",
            "sb00000000000000000000",
            "SB00000000000000000000",
            "sb0000000000000000000g0",
            "usr00000000000000000000",
            "sb0000000000000000000%30",
            "snp00000000000000000000",
            "0",
            "-1",
            "1e9",
            "true",
            "con",
            "a".repeat(4000),
            "%61".repeat(1000),
            "%f0%9f%92%a9".repeat(500));

    /** As they stand in JSON, between quotation marks. */
    private static final List<String> TEXTS = List.of(
            "\\u0000",
            "a\\u0000b",
            "..",
            "../../etc/passwd",
            "/../../etc/passwd",
            "/..",
            "//",
            "/./.",
            "/\\u0000",
            "\\\\..\\\\",
            "~root",
            "$(id)",
            "`id`",
            "; id",
            "| id",
            "&& id",
            "a\\nb",
            "\\r\\nX: y",
            "\\t",
            "\\u001b[31m",
            "\\u007f",
            "\\ud800",
            "\\udc00\\ud800",
            "\\ud83d\\ude00",
            "\\u202e",
            "\\ufeff",
            "\\uffff",
            "%2e%2e",
            "%00",
            "' or 1=1 --",
            "\\\"",
            "--help",
            "-",
            "",
            " ",
            "null",
            "sb00000000000000000000",
            "{}",
            "${jndi:ldap://x}",
            "a".repeat(100_000));

    /** Whole values. */
    private static final List<String> VALUES = List.of(
            "true",
            "0",
            "-1",
            "1.5",
            "1e400",
            "-0",
            "99999999999999999999",
            "9".repeat(1500),
            "[]",
            "[null]",
            "[[]]",
            "{}",
            "{\"a\":{}}",
            "[".repeat(2000) + "]".repeat(2000));

    private static final Map<String, List<String>> FIELDS = Map.ofEntries(
            Map.entry("POST /v1/auth/signup", List.of("email", "password")),
            Map.entry("POST /v1/auth/login", List.of("email", "password")),
            Map.entry("POST /v1/api-keys", List.of("name")),
            Map.entry(
                    "POST /v1/sandboxes", List.of("template", "vcpus", "memory_mb", "timeout_sec", "env", "metadata")),
            Map.entry("POST /v1/sandboxes/{id}/resume", List.of("cold")),
            Map.entry(
                    "POST /v1/sandboxes/{id}/exec",
                    List.of("cmd", "args", "cwd", "env", "user", "stdin", "timeout_sec")),
            Map.entry("POST /v1/sandboxes/{id}/files/read", List.of("path")),
            Map.entry("POST /v1/sandboxes/{id}/files/stream/read", List.of("path")),
            Map.entry("POST /v1/sandboxes/{id}/files/mkdir", List.of("path")),
            Map.entry("POST /v1/sandboxes/{id}/files/move", List.of("from", "to")),
            Map.entry("POST /v1/snapshots", List.of("sandbox_id", "name")));

    private static final Map<String, List<String>> PARAMETERS = Map.of(
            "GET /v1/sandboxes", List.of("limit", "status", "cursor", "metadata.a"),
            "GET /v1/snapshots", List.of("type"),
            "POST /v1/snapshots", List.of("overwrite"),
            "GET /v1/sandboxes/{id}/files", List.of("path"),
            "DELETE /v1/sandboxes/{id}/files", List.of("path"),
            "PUT /v1/sandboxes/{id}/files/stream", List.of("path", "mode"));

    /** They take no JSON that a field of could be bad. */
    private static final List<String> WITHOUT_FIELDS = List.of(
            "POST /v1/sandboxes/{id}/pause",
            "POST /v1/sandboxes/{id}/ping",
            "POST /v1/sandboxes/{id}/files/write",
            "POST /v1/sandboxes/{id}/files/stream/write");

    private TestPlane test;
    private TestPlane.Person person;
    private String key;
    private String sandbox;

    @BeforeAll
    void start() {
        test = TestPlane.start();
        person = test.signUp();
        key = person.withToken().post("/v1/api-keys").text("key");
        sandbox = person.withKey().post("/v1/sandboxes", "{}").text("id");
        test.agent.down = Optional.of(Status.NOT_FOUND.withDescription("There is no such thing."));
    }

    @AfterAll
    void stop() {
        test.agent.down = Optional.empty();
        test.close();
    }

    private List<Route> routes() {
        return test.plane.wiring().routes;
    }

    private static String name(Route route) {
        return route.method() + " " + route.path();
    }

    private String path(Route route) {
        return route.path()
                .replace("{id}", sandbox)
                .replace("{name}", "no-name")
                .replace("{exec_id}", "ex" + "0".repeat(20))
                .replaceAll("\\{[a-z_]+}", "none");
    }

    private Api api(Route route) {
        return switch (route.access()) {
            case OPEN -> test.api();
            case USER -> person.withToken();
            case TEAM, TEAM_WEBSOCKET -> person.withKey();
        };
    }

    private String raw(Route route, String path) {
        String credential =
                route.access() == Access.USER ? "Authorization: Bearer " + person.token() : "X-API-Key: " + key;
        return RawHttp.exchange(
                test.plane.url(),
                route.method() + " " + path + " HTTP/1.1\r\nHost: x\r\n" + credential
                        + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }

    private static void requireRefusal(String what, String answer) {
        assertThat(answer).as(what).matches("(?s)HTTP/1\\.1 4\\d\\d .*");
        requireNothingInside(what, answer);
    }

    private static void requireNothingInside(String what, String answer) {
        assertThat(answer)
                .as(what)
                .containsIgnoringCase("x-request-id")
                .doesNotContain("X-Injected: ", "etc/passwd", "root:")
                .doesNotContainIgnoringCase(
                        "exception",
                        "java.",
                        ".java",
                        "jetty",
                        "dev.sandglass",
                        "sandglass-",
                        "postgres",
                        "select ",
                        "/tmp");
        if (answer.startsWith("HTTP/1.1 4")) {
            assertThat(answer).as(what).containsPattern("\\{\"error\":\\{\"code\":\"[a-z_]+\",\"message\":\"[^\"]+");
        }
    }

    @TestFactory
    Stream<DynamicTest> whatStandsInAPathIsRefused() {
        return routes().stream()
                .filter(route -> route.path().contains("{"))
                .map(route -> DynamicTest.dynamicTest(name(route), () -> {
                    for (String parameter : route.path().split("/", -1)) {
                        if (parameter.startsWith("{")) {
                            for (String segment : SEGMENTS) {
                                String path = path(new Route(
                                                route.method(),
                                                route.path().replace(parameter, "\0"),
                                                route.access(),
                                                route.endpoint()))
                                        .replace("\0", segment);
                                requireRefusal(path, raw(route, path));
                            }
                        }
                    }
                }));
    }

    @TestFactory
    Stream<DynamicTest> whatStandsInAQueryIsNeverAFailure() {
        return routes().stream()
                .filter(route -> PARAMETERS.containsKey(name(route)))
                .map(route -> DynamicTest.dynamicTest(name(route), () -> {
                    for (String parameter : PARAMETERS.getOrDefault(name(route), List.of())) {
                        for (String value : SEGMENTS) {
                            for (String start : List.of("", "/")) {
                                String path = path(route) + "?" + parameter + "=" + start + value;
                                String answer = raw(route, path);
                                assertThat(answer).as(path).matches("(?s)HTTP/1\\.1 [24]\\d\\d .*");
                                requireNothingInside(path, answer);
                            }
                        }
                    }
                }));
    }

    @TestFactory
    Stream<DynamicTest> whatStandsInABodyIsNeverAFailure() {
        return routes().stream()
                .filter(route -> FIELDS.containsKey(name(route)))
                .map(route -> DynamicTest.dynamicTest(name(route), () -> {
                    for (String field : FIELDS.getOrDefault(name(route), List.of())) {
                        for (String value :
                                values(List.of("args", "env", "metadata").contains(field))) {
                            send(route, body(route, field, value));
                        }
                    }
                }));
    }

    private static List<String> values(boolean takesMore) {
        List<String> values = new ArrayList<>(VALUES);
        for (String text : TEXTS) {
            values.add("\"" + text + "\"");
            if (text.length() < 1000 && takesMore) {
                values.add("[\"" + text + "\"]");
                values.add("{\"" + text + "\":\"x\"}");
                values.add("{\"A\":\"" + text + "\"}");
            }
        }
        return values;
    }

    /** The other fields are good. */
    private String body(Route route, String field, String value) {
        StringBuilder body = new StringBuilder("{\"" + field + "\":" + value);
        for (String other : FIELDS.getOrDefault(name(route), List.of())) {
            String good = switch (other) {
                case "cmd" -> "\"true\"";
                case "path", "from", "to" -> "\"/x\"";
                case "email" -> "\"fuzz@example.org\"";
                case "password" -> "\"long enough\"";
                case "sandbox_id" -> "\"" + sandbox + "\"";
                default -> "";
            };
            if (!other.equals(field) && !good.isEmpty()) {
                body.append(",\"").append(other).append("\":").append(good);
            }
        }
        return body.append('}').toString();
    }

    private void send(Route route, String body) {
        requireAnswer(
                body,
                api(route)
                        .with("Content-Type", "application/json")
                        .send(route.method(), path(route), BodyPublishers.ofString(body)));
    }

    private static void requireAnswer(String what, Api.Answer answer) {
        String shown = what.length() > 200 ? what.substring(0, 200) + "…" : what;
        if (answer.status() == 503) { // after a while the host counts as gone
            assertThat(answer.code()).isEqualTo("host_unavailable");
            return;
        }
        assertThat(answer.status()).as(shown + " " + answer).isBetween(200, 499);
        if (answer.status() >= 400) {
            requireNothingInside(
                    shown,
                    "HTTP/1.1 " + answer.status() + "\r\nx-request-id: " + answer.header("X-Request-Id") + "\r\n\r\n"
                            + answer.body());
        }
    }

    @TestFactory
    Stream<DynamicTest> bytesThatAreNoJsonAreNeverAFailure() {
        Random random = new Random(7);
        return routes().stream()
                .filter(route -> FIELDS.containsKey(name(route)))
                .map(route -> DynamicTest.dynamicTest(name(route), () -> {
                    byte[] good = body(route, "unknown", "\"x\"").getBytes(StandardCharsets.UTF_8);
                    for (int i = 0; i < 25; i++) {
                        byte[] bad = good.clone();
                        for (int change = 0; change <= i % 4; change++) {
                            bad[random.nextInt(bad.length)] = (byte) random.nextInt(256);
                        }
                        requireAnswer(
                                new String(bad, StandardCharsets.ISO_8859_1),
                                api(route)
                                        .with("Content-Type", "application/json")
                                        .send(route.method(), path(route), BodyPublishers.ofByteArray(bad)));
                    }
                }));
    }

    @Test
    void multipartBodiesAreNeverAFailure() {
        String head = "Content-Disposition: form-data; name=\"";
        List<String> bodies = List.of(
                "",
                "--",
                "--b",
                "--b--",
                "--b--\r\n",
                "--b\r\n\r\n\r\n--b--\r\n",
                "--b\r\n" + head + "path\"\r\n\r\n/x\r\n--b",
                "--b\r\n" + head + "path\"\r\n\r\n/x\r\n--b--",
                "--b\r\n" + head + "path\"\r\n\r\n/x\0\r\n--b--\r\n",
                "--b\r\n" + head + "path\"\r\n\r\n" + "x".repeat(100_000) + "\r\n--b--\r\n",
                "--b\r\n" + head + "path\"\r\n\r\n\u00ff\u00fe\r\n--b--\r\n",
                "--b\r\n" + head + "path\"\r\nX: " + "y".repeat(100_000) + "\r\n\r\n/x\r\n--b--\r\n",
                "--b\r\n" + "X: y\r\n".repeat(20_000) + "\r\n/x\r\n--b--\r\n",
                "--b\r\nContent-Disposition: form-data" + "; a=\"\\\\\"".repeat(900) + "\r\n\r\n/x\r\n--b--\r\n",
                "--b\r\n" + head + "file\"; filename=\"" + "a".repeat(8000) + "\"\r\n\r\n/x\r\n--b--\r\n",
                "--b\r\n" + head + "file\"; filename=\"" + "\\\\".repeat(4000) + "\"\r\n\r\n/x\r\n--b--\r\n",
                "--b\r\n" + head + "file\"; filename=\"" + "a".repeat(8000) + "\r\n\r\n/x\r\n--b--\r\n",
                ("--b\r\n" + head + "path\"\r\n\r\n/x\r\n").repeat(3) + "--b--\r\n",
                ("--b\r\n" + head + "other\"\r\n\r\nx\r\n").repeat(3000) + "--b--\r\n",
                "--b\r\n" + head + "file\"; filename=\"../x\"\r\n\r\nx\r\n--b\r\n" + head
                        + "path\"\r\n\r\n/d/\r\n--b--\r\n");
        for (String operation : List.of("/files/write", "/files/stream/write")) {
            for (String type : List.of(
                    "multipart/form-data; boundary=b",
                    "multipart/form-data",
                    "multipart/form-data; boundary=",
                    "multipart/form-data; boundary=\"" + "b".repeat(10_000) + "\"",
                    "multipart/form-data" + "; x=\"\\\\\"".repeat(1500))) {
                for (String body : type.endsWith("=b") ? bodies : bodies.subList(0, 3)) {
                    Api.Answer answer = person.withKey()
                            .with("Content-Type", type)
                            .send(
                                    "POST",
                                    "/v1/sandboxes/" + sandbox + operation,
                                    BodyPublishers.ofByteArray(body.getBytes(StandardCharsets.ISO_8859_1)));
                    assertThat(answer.status()).isBetween(400, 499);
                    requireAnswer(body, answer);
                }
            }
        }
    }

    @Test
    void everyRouteThatTakesJsonIsTried() {
        List<String> takers = routes().stream()
                .filter(route -> route.method().equals("POST"))
                .map(FuzzTest::name)
                .filter(route -> !WITHOUT_FIELDS.contains(route))
                .toList();
        assertThat(FIELDS.keySet()).containsExactlyInAnyOrderElementsOf(takers);
    }
}
