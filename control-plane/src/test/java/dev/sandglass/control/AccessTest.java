package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.Id.ExecId;
import dev.sandglass.control.http.Access;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.TestPlane;
import java.net.http.HttpRequest.BodyPublishers;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;

/** Every route there is, with every kind of credentials, and with input that is no good. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class AccessTest {
    /** For each route that takes input: path after its parameters, and bodies, each of which must be 400. */
    private static final Map<String, List<String>> BAD_BODIES = badBodies();

    private TestPlane test;
    private TestPlane.Person owner;
    private TestPlane.Person stranger;
    private String sandbox;

    @BeforeAll
    void start() {
        test = TestPlane.start();
        owner = test.signUp();
        stranger = test.signUp();
        sandbox = owner.withKey().post("/v1/sandboxes", "{}").text("id");
    }

    @AfterAll
    void stop() {
        test.close();
    }

    private static Map<String, List<String>> badBodies() {
        List<String> notAnObject =
                List.of("nonsense", "[]", "\"text\"", "null", "7", "{\"a\":1,\"a\":2}", "{} {}", "{\"a\":");
        Map<String, List<String>> bad = new HashMap<>();
        bad.put(
                "POST /v1/auth/signup",
                with(
                        notAnObject,
                        "",
                        "{}",
                        "{\"email\":\"a@b.c\"}",
                        "{\"password\":\"long enough\"}",
                        "{\"email\":\"\",\"password\":\"long enough\"}",
                        "{\"email\":\"no-at\",\"password\":\"long enough\"}",
                        "{\"email\":\"a@b\",\"password\":\"long enough\"}",
                        "{\"email\":\"a b@c.d\",\"password\":\"long enough\"}",
                        "{\"email\":\"a@b.c\\u0000\",\"password\":\"long enough\"}",
                        "{\"email\":\"a@b.c\\ud800\",\"password\":\"long enough\"}",
                        "{\"email\":\"" + "a".repeat(64) + "@" + "b".repeat(250) + ".c\",\"password\":\"long enough\"}",
                        "{\"email\":\"a@b.c\",\"password\":\"short\"}",
                        "{\"email\":\"a@b.c\",\"password\":\"" + "x".repeat(1025) + "\"}",
                        "{\"email\":\"a@b.c\",\"password\":12345678}",
                        "{\"email\":7,\"password\":\"long enough\"}",
                        "{\"email\":[\"a@b.c\"],\"password\":\"long enough\"}"));
        bad.put(
                "POST /v1/auth/login",
                with(
                        notAnObject,
                        "",
                        "{}",
                        "{\"email\":\"\",\"password\":\"x\"}",
                        "{\"email\":\" \",\"password\":\"x\"}",
                        "{\"email\":\"a@b.c\",\"password\":\"\"}",
                        "{\"email\":true,\"password\":\"x\"}"));
        bad.put(
                "POST /v1/api-keys",
                with(notAnObject, "{\"name\":7}", "{\"name\":\"" + "x".repeat(201) + "\"}", "{\"name\":\"a\\u0000\"}"));
        bad.put(
                "POST /v1/sandboxes",
                with(
                        notAnObject,
                        "{\"template\":\"../etc\"}",
                        "{\"template\":\"\"}",
                        "{\"template\":\"" + "x".repeat(65) + "\"}",
                        "{\"template\":7}",
                        "{\"vcpus\":0}",
                        "{\"vcpus\":-1}",
                        "{\"vcpus\":1.5}",
                        "{\"vcpus\":\"1\"}",
                        "{\"vcpus\":1e3}",
                        "{\"vcpus\":99999999999}",
                        "{\"vcpus\":1000}",
                        "{\"vcpus\":true}",
                        "{\"memory_mb\":0}",
                        "{\"memory_mb\":127}",
                        "{\"memory_mb\":513}",
                        "{\"memory_mb\":999936}",
                        "{\"timeout_sec\":-1}",
                        "{\"timeout_sec\":2592001}",
                        "{\"env\":[]}",
                        "{\"env\":{\"1A\":\"x\"}}",
                        "{\"env\":{\"A=B\":\"x\"}}",
                        "{\"env\":{\"A\":null}}",
                        "{\"env\":{\"A\":1}}",
                        "{\"env\":{\"A\":\"x\\u0000\"}}",
                        "{\"metadata\":{\"\":\"x\"}}",
                        "{\"metadata\":{\"a b\":\"x\"}}",
                        "{\"metadata\":{\"a\":{}}}",
                        "{\"metadata\":{\"a\":\"" + "x".repeat(1025) + "\"}}",
                        "{\"metadata\":\"x\"}"));
        bad.put(
                "POST /v1/snapshots",
                with(
                        notAnObject,
                        "",
                        "{}",
                        "{\"sandbox_id\":\"\"}",
                        "{\"sandbox_id\":7}",
                        "{\"sandbox_id\":\"" + "x".repeat(65) + "\"}",
                        "{\"sandbox_id\":\"sb0\",\"name\":\"\"}",
                        "{\"sandbox_id\":\"sb0\",\"name\":\"../a\"}",
                        "{\"sandbox_id\":\"sb0\",\"name\":\".a\"}",
                        "{\"sandbox_id\":\"sb0\",\"name\":\"a b\"}",
                        "{\"sandbox_id\":\"sb0\",\"name\":\"a\\u0000\"}",
                        "{\"sandbox_id\":\"sb0\",\"name\":\"é\"}",
                        "{\"sandbox_id\":\"sb0\",\"name\":\"" + "x".repeat(65) + "\"}",
                        "{\"sandbox_id\":\"sb0\",\"name\":7}",
                        "{\"sandbox_id\":\"sb0\",\"pause\":1}",
                        "{\"sandbox_id\":\"sb0\",\"pause\":\"true\"}"));
        bad.put(
                "POST /v1/sandboxes/{id}/resume",
                with(notAnObject, "{\"cold\":1}", "{\"cold\":\"true\"}", "{\"cold\":[]}"));
        bad.put(
                "POST /v1/sandboxes/{id}/exec",
                with(
                        notAnObject,
                        "",
                        "{}",
                        "{\"cmd\":\"\"}",
                        "{\"cmd\":1}",
                        "{\"cmd\":\"a\\u0000\"}",
                        "{\"cmd\":\"true\",\"args\":\"x\"}",
                        "{\"cmd\":\"true\",\"args\":[1]}",
                        "{\"cmd\":\"true\",\"args\":[null]}",
                        "{\"cmd\":\"true\",\"args\":[\"a\\u0000b\"]}",
                        "{\"cmd\":\"true\",\"args\":[\"" + "x".repeat(100_000) + "\"]}",
                        "{\"cmd\":\"true\",\"cwd\":\"relative\"}",
                        "{\"cmd\":\"true\",\"env\":{\"A B\":\"\"}}",
                        "{\"cmd\":\"true\",\"timeout_sec\":0}",
                        "{\"cmd\":\"true\",\"timeout_sec\":86401}",
                        "{\"cmd\":\"true\",\"timeout_sec\":\"3\"}",
                        "{\"cmd\":\"true\",\"stdin\":7}",
                        "{\"cmd\":\"true\",\"stdin\":\"\\udc00\"}"));
        List<String> paths = with(
                notAnObject,
                "",
                "{}",
                "{\"path\":\"\"}",
                "{\"path\":\"relative\"}",
                "{\"path\":\"/a\\u0000\"}",
                "{\"path\":\"/" + "x".repeat(4095) + "\"}",
                "{\"path\":\"/" + "é".repeat(2100) + "\"}",
                "{\"path\":1}");
        bad.put("POST /v1/sandboxes/{id}/files/read", paths);
        bad.put("POST /v1/sandboxes/{id}/files/stream/read", paths);
        bad.put("POST /v1/sandboxes/{id}/files/mkdir", paths);
        bad.put(
                "POST /v1/sandboxes/{id}/files/move",
                with(notAnObject, "", "{}", "{\"from\":\"/a\"}", "{\"to\":\"/a\"}", "{\"from\":\"a\",\"to\":\"/b\"}"));
        bad.put("POST /v1/sandboxes/{id}/files/write", List.of("", "{}", "nonsense"));
        bad.put("POST /v1/sandboxes/{id}/files/stream/write", List.of("", "{}", "nonsense"));
        return bad;
    }

    private static List<String> with(List<String> some, String... more) {
        return Stream.concat(some.stream(), Stream.of(more)).toList();
    }

    /** Queries that are no good, by route. */
    private static final Map<String, List<String>> BAD_QUERIES = Map.of(
            "GET /v1/sandboxes",
            List.of(
                    "?limit=0",
                    "?limit=-1",
                    "?limit=1001",
                    "?limit=x",
                    "?limit=99999999999",
                    "?status=",
                    "?status=RUNNING",
                    "?status=nonsense",
                    "?cursor=",
                    "?cursor=x",
                    "?cursor=%00",
                    "?cursor=MjAyNi0wMS0wMVQwMDowMDowMFogc2J4",
                    "?metadata.=x",
                    "?metadata.a%00=x",
                    "?metadata.a=%00"),
            "GET /v1/snapshots",
            List.of("?type=", "?type=nonsense", "?type=BASE"),
            "POST /v1/snapshots",
            List.of("?overwrite=", "?overwrite=1"),
            "GET /v1/sandboxes/{id}/files",
            List.of("", "?path=", "?path=x", "?path=/%00"),
            "DELETE /v1/sandboxes/{id}/files",
            List.of("", "?path=", "?path=x"),
            "PUT /v1/sandboxes/{id}/files/stream",
            List.of("", "?path=", "?path=x", "?path=/x&mode=9", "?path=/x&mode=0x1"));

    /** Routes that take nothing that could be bad but their path. */
    private static final Set<String> NOTHING_TO_GET_WRONG = Set.of(
            "GET /healthz",
            "GET /readyz",
            "GET /metrics",
            "GET /openapi.yaml",
            "GET /docs",
            "GET /docs/{file}",
            "GET /test",
            "GET /test/{file}",
            "GET /v1/auth/oauth",
            "GET /v1/auth/oauth/{provider}", // OauthTest
            "GET /v1/auth/oauth/{provider}/callback",
            "GET /auth/{provider}/callback",
            "GET /v1/me",
            "GET /v1/api-keys",
            "DELETE /v1/api-keys/{id}",
            "GET /v1/snapshots/{name}",
            "DELETE /v1/snapshots/{name}",
            "GET /v1/sandboxes/{id}",
            "DELETE /v1/sandboxes/{id}",
            "POST /v1/sandboxes/{id}/ping",
            "POST /v1/sandboxes/{id}/pause",
            "GET /v1/sandboxes/{id}/exec/stream", // its messages: ExecTest
            "GET /v1/sandboxes/{id}/execs",
            "DELETE /v1/sandboxes/{id}/execs/{exec_id}");

    private List<Route> routes() {
        return test.plane.wiring().routes;
    }

    private static String name(Route route) {
        return route.method() + " " + route.path();
    }

    private String path(Route route, String id) {
        return route.path()
                .replace("{id}", id)
                .replace("{name}", "some-name")
                .replace("{exec_id}", ExecId.random().value());
    }

    private static Api.Answer send(Api api, Route route, String path, String body) {
        Api typed = body.isEmpty() ? api : api.with("Content-Type", "application/json");
        return typed.send(
                route.method(), path, body.isEmpty() ? BodyPublishers.noBody() : BodyPublishers.ofString(body));
    }

    @TestFactory
    Stream<DynamicTest> credentialsDecideBeforeAnythingElse() {
        return routes().stream()
                .filter(route -> route.access() != Access.OPEN)
                .map(route -> DynamicTest.dynamicTest(name(route), () -> {
                    String path = path(route, sandbox);
                    List<Api> refused = new ArrayList<>(List.of(
                            test.api(),
                            test.api().withKey("sgk_" + "x".repeat(40)),
                            test.api().withKey("nonsense"),
                            test.api().withToken("nonsense"),
                            test.api().withToken(owner.token()).withKey("sgk_" + "x".repeat(40))));
                    if (route.access() == Access.USER) {
                        refused.removeLast(); // where a key means nothing it cannot decide
                        refused.add(owner.withKey());
                    }
                    for (Api api : refused) {
                        Api.Answer answer = send(api, route, path, "nonsense");
                        assertThat(answer.status()).isEqualTo(401);
                        assertThat(answer.code()).isEqualTo("unauthorized");
                    }
                }));
    }

    @TestFactory
    Stream<DynamicTest> anotherTeamsIdsAreAsUnknownAsAny() {
        return routes().stream()
                .filter(route -> route.path().contains("{id}"))
                .map(route -> DynamicTest.dynamicTest(name(route), () -> {
                    boolean forPeople = route.access() == Access.USER;
                    String theirs =
                            forPeople ? owner.withToken().post("/v1/api-keys").text("id") : sandbox;
                    List<Api.Answer> answers = new ArrayList<>();
                    for (Api api : forPeople
                            ? List.of(stranger.withToken())
                            : List.of(stranger.withToken(), stranger.withKey())) {
                        answers.add(send(api, route, path(route, theirs), "nonsense"));
                        answers.add(send(api, route, path(route, theirs.substring(0, 5) + "0".repeat(17)), "nonsense"));
                        answers.add(send(api, route, path(route, "no-id"), "nonsense"));
                        answers.add(send(api, route, path(route, "sb'--"), "nonsense"));
                    }
                    assertThat(answers).allSatisfy(answer -> {
                        assertThat(answer.status()).isEqualTo(404);
                        assertThat(answer.body()).isEqualTo(answers.getFirst().body());
                    });
                    if (forPeople) {
                        assertThat(owner.withToken().get("/v1/api-keys").body()).contains(theirs);
                    }
                }));
    }

    @TestFactory
    Stream<DynamicTest> badInputIsRefused() {
        return routes().stream()
                .map(route -> DynamicTest.dynamicTest(name(route), () -> {
                    Api api = route.access() == Access.USER ? owner.withToken() : owner.withKey();
                    if (route.access() == Access.OPEN) {
                        api = test.api();
                    }
                    for (String body : BAD_BODIES.getOrDefault(name(route), List.of())) {
                        Api.Answer answer = send(api, route, path(route, sandbox), body);
                        assertThat(answer.status()).as(body + " " + answer).isEqualTo(400);
                        assertThat(answer.code()).isEqualTo("invalid_request");
                    }
                    for (String query : BAD_QUERIES.getOrDefault(name(route), List.of())) {
                        Api.Answer answer = send(api, route, path(route, sandbox) + query, "");
                        assertThat(answer.status()).as(query + " " + answer).isEqualTo(400);
                    }
                }));
    }

    @Test
    void everyRouteHasItsBadInput() {
        Set<String> all = routes().stream().map(AccessTest::name).collect(Collectors.toSet());
        Set<String> covered = Stream.of(BAD_BODIES.keySet(), BAD_QUERIES.keySet(), NOTHING_TO_GET_WRONG)
                .flatMap(Set::stream)
                .collect(Collectors.toSet());
        assertThat(covered).isEqualTo(all);
    }

    @Test
    void badHeadersAreRefused() {
        for (String key : List.of("x".repeat(256), "tab\there")) {
            assertThat(owner.withKey()
                            .with("Idempotency-Key", key)
                            .post("/v1/sandboxes", "{}")
                            .status())
                    .as(key)
                    .isEqualTo(400);
        }
    }
}
