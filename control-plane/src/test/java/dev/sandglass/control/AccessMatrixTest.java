package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.Id.UserId;
import dev.sandglass.control.account.Tokens;
import dev.sandglass.control.http.Access;
import dev.sandglass.control.http.Caller;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.TestPlane;
import java.io.IOException;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;

/**
 * Every route of the router with every kind of caller, each asking for exactly what its owner gets. A route that is not
 * in {@link #calls} fails, but for open ones without parameters, which need nothing to be asked for.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class AccessMatrixTest {
    private static final String SECRET = "a secret of the matrix, of 32 bytes and more";
    private static final String SANDBOX = "/v1/sandboxes/";
    private static final String JSON = "application/json";
    private static final String FORM = "multipart/form-data; boundary=b";

    /** What the owner asks, what the owner gets, and what anybody else does who asks the same. */
    private record Call(String path, String type, String body, int owner, int stranger) {
        static Call of(String path, int owner) {
            return new Call(path, "", "", owner, 404);
        }

        Call json(String text) {
            return new Call(path, JSON, text, owner, stranger);
        }

        Call octets(String text) {
            return new Call(path, "application/octet-stream", text, owner, stranger);
        }

        Call form(String text) {
            return new Call(path, FORM, text, owner, stranger);
        }

        /** It names nothing of the owner's: everybody gets their own. */
        Call forEverybody() {
            return new Call(path, type, body, owner, owner);
        }
    }

    private final Map<String, Supplier<Call>> calls = new HashMap<>();
    private TestPlane test;
    private TestPlane.Person owner;
    private TestPlane.Person stranger;
    private String ownersKey;
    private String strangersKey;
    private String sandbox;
    private int made;

    @BeforeAll
    void start() throws IOException {
        test = TestPlane.start(Map.of("JWT_SECRET", SECRET));
        owner = test.signUp();
        stranger = test.signUp();
        ownersKey = owner.withToken().post("/v1/api-keys").text("key");
        strangersKey = stranger.withToken().post("/v1/api-keys").text("key");
        sandbox = newSandbox();
        Files.writeString(test.agent.directory(sandbox).resolve("f"), "secret of the owner");
        owner.withKey().post("/v1/snapshots", "{\"sandbox_id\":\"" + sandbox + "\",\"name\":\"kept\"}");
        account();
        sandboxes();
        execs();
        files();
        snapshots();
    }

    @AfterAll
    void stop() {
        test.close();
    }

    private String newSandbox() {
        Api.Answer answer = owner.withKey().post("/v1/sandboxes", "{\"memory_mb\":128}");
        assertThat(answer.status()).as(answer.toString()).isEqualTo(201);
        return answer.text("id");
    }

    private String newPaused() {
        String id = newSandbox();
        owner.withKey().post(SANDBOX + id + "/pause");
        return id;
    }

    private String newExec() {
        return owner.withKey()
                .post(SANDBOX + sandbox + "/exec", "{\"cmd\":\"true\"}")
                .text("exec_id");
    }

    private String newSnapshot() {
        String name = "made-" + ++made;
        Api.Answer answer =
                owner.withKey().post("/v1/snapshots", "{\"sandbox_id\":\"" + sandbox + "\",\"name\":\"" + name + "\"}");
        assertThat(answer.status()).as(answer.toString()).isEqualTo(201);
        return name;
    }

    private String credentials(String email) {
        return "{\"email\":\"" + email + "\",\"password\":\"" + TestPlane.password() + "\"}";
    }

    // ---- what there is to ask

    private void account() {
        calls.put(
                "POST /v1/auth/signup",
                () -> Call.of("/v1/auth/signup", 201)
                        .json(credentials("matrix" + ++made + "@example.org"))
                        .forEverybody());
        calls.put(
                "POST /v1/auth/login",
                () -> Call.of("/v1/auth/login", 200)
                        .json(credentials(owner.email()))
                        .forEverybody());
        calls.put("GET /v1/auth/oauth/{provider}", () -> Call.of("/v1/auth/oauth/nobody", 404));
        calls.put("GET /v1/auth/oauth/{provider}/callback", () -> Call.of("/v1/auth/oauth/nobody/callback", 404));
        calls.put("GET /auth/{provider}/callback", () -> Call.of("/auth/nobody/callback", 404));
        calls.put("GET /v1/me", () -> Call.of("/v1/me", 200).forEverybody());
        calls.put("POST /v1/api-keys", () -> Call.of("/v1/api-keys", 201).forEverybody());
        calls.put("GET /v1/api-keys", () -> Call.of("/v1/api-keys", 200).forEverybody());
        calls.put(
                "DELETE /v1/api-keys/{id}",
                () -> Call.of(
                        "/v1/api-keys/" + owner.withToken().post("/v1/api-keys").text("id"), 204));
        calls.put("GET /test/{file}", () -> Call.of("/test/nothing", 404));
        calls.put("GET /docs/{file}", () -> Call.of("/docs/nothing", 404));
    }

    private void sandboxes() {
        calls.put(
                "POST /v1/sandboxes",
                () -> Call.of("/v1/sandboxes", 201).json("{\"memory_mb\":128}").forEverybody());
        calls.put("GET /v1/sandboxes", () -> Call.of("/v1/sandboxes", 200).forEverybody());
        calls.put("GET /v1/sandboxes/{id}", () -> Call.of(SANDBOX + sandbox, 200));
        calls.put("DELETE /v1/sandboxes/{id}", () -> Call.of(SANDBOX + newSandbox(), 204));
        calls.put("POST /v1/sandboxes/{id}/pause", () -> Call.of(SANDBOX + newSandbox() + "/pause", 200));
        calls.put("POST /v1/sandboxes/{id}/resume", () -> Call.of(SANDBOX + newPaused() + "/resume", 200));
        calls.put("POST /v1/sandboxes/{id}/ping", () -> Call.of(SANDBOX + sandbox + "/ping", 204));
    }

    private void execs() {
        String path = SANDBOX + sandbox;
        calls.put(
                "POST /v1/sandboxes/{id}/exec",
                () -> Call.of(path + "/exec", 200).json("{\"cmd\":\"true\"}"));
        // without an upgrade, which comes after everything that is asked here
        calls.put("GET /v1/sandboxes/{id}/exec/stream", () -> Call.of(path + "/exec/stream", 400));
        calls.put("GET /v1/sandboxes/{id}/execs", () -> Call.of(path + "/execs", 200));
        calls.put("DELETE /v1/sandboxes/{id}/execs/{exec_id}", () -> Call.of(path + "/execs/" + newExec(), 204));
    }

    private static String part(String name, String content) {
        return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + content + "\r\n";
    }

    private void files() {
        String files = "/v1/sandboxes/{id}/files";
        String path = SANDBOX + sandbox + "/files";
        String upload = part("path", "/up") + part("file", "x") + "--b--\r\n";
        calls.put(
                "POST " + files + "/write", () -> Call.of(path + "/write", 204).form(upload));
        calls.put(
                "POST " + files + "/stream/write",
                () -> Call.of(path + "/stream/write", 204).form(upload));
        calls.put(
                "PUT " + files + "/stream",
                () -> Call.of(path + "/stream?path=/put", 204).octets("x"));
        calls.put("POST " + files + "/read", () -> Call.of(path + "/read", 200).json("{\"path\":\"/f\"}"));
        calls.put(
                "POST " + files + "/stream/read",
                () -> Call.of(path + "/stream/read", 200).json("{\"path\":\"/f\"}"));
        calls.put("GET " + files, () -> Call.of(path + "?path=/", 200));
        calls.put(
                "POST " + files + "/mkdir",
                () -> Call.of(path + "/mkdir", 204).json("{\"path\":\"/d" + ++made + "\"}"));
        calls.put(
                "POST " + files + "/move",
                () -> Call.of(path + "/move", 204)
                        .json("{\"from\":\"/" + newFile() + "\",\"to\":\"/moved" + made + "\"}"));
        calls.put("DELETE " + files, () -> Call.of(path + "?path=/" + newFile(), 204));
    }

    private String newFile() {
        String name = "file" + ++made;
        try {
            Files.writeString(test.agent.directory(sandbox).resolve(name), "x");
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
        return name;
    }

    private void snapshots() {
        calls.put(
                "POST /v1/snapshots",
                () -> Call.of("/v1/snapshots", 201)
                        .json("{\"sandbox_id\":\"" + sandbox + "\",\"name\":\"new-" + ++made + "\"}"));
        calls.put("GET /v1/snapshots", () -> Call.of("/v1/snapshots", 200).forEverybody());
        calls.put("GET /v1/snapshots/{name}", () -> Call.of("/v1/snapshots/kept", 200));
        calls.put("DELETE /v1/snapshots/{name}", () -> Call.of("/v1/snapshots/" + newSnapshot(), 204));
    }

    // ---- who asks

    private static String name(Route route) {
        return route.method() + " " + route.path();
    }

    private List<Route> routes() {
        return test.plane.wiring().routes;
    }

    private Call call(Route route) {
        Supplier<Call> known = calls.get(name(route));
        if (known != null) {
            return known.get();
        }
        assertThat(route.access() == Access.OPEN
                        && route.method().equals("GET")
                        && !route.path().contains("{"))
                .as("AccessMatrixTest.calls has nothing for " + name(route))
                .isTrue();
        return Call.of(route.path(), 200).forEverybody();
    }

    private static Api.Answer ask(Api api, Route route, Call call) {
        Api typed = call.type().isEmpty() ? api : api.with("Content-Type", call.type());
        return typed.send(
                route.method(),
                call.path(),
                call.body().isEmpty()
                        ? BodyPublishers.noBody()
                        : BodyPublishers.ofString(call.body(), StandardCharsets.ISO_8859_1));
    }

    private String token(Clock clock, String secret, String user, String team) {
        return new Tokens(secret, clock).issue(new Caller.ByUser(new UserId(user), new TeamId(team), owner.email()));
    }

    /** Credentials that let nobody in anywhere. */
    private Map<String, Api> nobodies(Access access) {
        Clock longAgo = Clock.offset(Clock.systemUTC(), Duration.ofHours(-7));
        Clock toCome = Clock.offset(Clock.systemUTC(), Duration.ofHours(1));
        String deleted = deletedKey();
        Map<String, Api> nobodies = new TreeMap<>(Map.of(
                "nothing", test.api(),
                "an unknown key", test.api().withKey("sgk_" + "x".repeat(40)),
                "half a key", test.api().withKey("sgk_"),
                "a deleted key", test.api().withKey(deleted),
                "a token that is none", test.api().withToken("nonsense"),
                "a token of another secret",
                        test.api().withToken(token(Clock.systemUTC(), "x".repeat(40), owner.userId(), owner.teamId())),
                "an expired token", test.api().withToken(token(longAgo, SECRET, owner.userId(), owner.teamId())),
                "a token to come", test.api().withToken(token(toCome, SECRET, owner.userId(), owner.teamId())),
                "a huge token", test.api().withToken(owner.token() + "x".repeat(8000)),
                "another scheme", test.api().with("Authorization", "Basic " + owner.token())));
        if (access == Access.USER) {
            nobodies.put("a key where only people may", owner.withKey());
        } else {
            nobodies.put("a wrong key beside a right token", owner.withToken().withKey("sgk_" + "x".repeat(40)));
        }
        return nobodies;
    }

    private String deletedKey() {
        Api.Answer key = owner.withToken().post("/v1/api-keys");
        owner.withToken().delete("/v1/api-keys/" + key.text("id"));
        return key.text("key");
    }

    private static String inQuery(String path, String name, String value) {
        return path + (path.contains("?") ? "&" : "?") + name + "=" + value;
    }

    /** All that the owner has, but for when it was last used and what the reconciler keeps true meanwhile. */
    private String possessions() {
        String where = " where team_id = '" + owner.teamId() + "'";
        String rows = test.ask("select string_agg(concat_ws('|', id, status, metadata, error, deleted_at,"
                        + " delete_requested_at), ';' order by id) from sandboxes" + where)
                + test.ask("select string_agg(concat_ws('|', id, name, deleted_at, size_bytes), ';' order by id)"
                        + " from snapshots" + where)
                + test.ask("select string_agg(concat_ws('|', id, name), ';' order by id) from team_api_keys" + where);
        try (Stream<Path> tree = Files.walk(test.agent.directory(sandbox))) {
            List<Path> files = tree.sorted().toList();
            StringBuilder all = new StringBuilder(rows);
            for (Path file : files) {
                all.append('\n').append(file).append(Files.isRegularFile(file) ? Files.readString(file) : "");
            }
            return all.toString();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private List<Integer> agentsWork() {
        return List.of(
                test.agent.creates.get(),
                test.agent.destroys.get(),
                test.agent.pauses.get(),
                test.agent.resumes.get(),
                test.agent.pings.get());
    }

    private static void requireRefusal(Api.Answer answer, int status, String code) {
        assertThat(answer.status()).as(answer.toString()).isEqualTo(status);
        assertThat(answer.code()).isEqualTo(code);
        assertThat(answer.header("X-Request-Id")).isNotEmpty();
    }

    // ---- the matrix

    @TestFactory
    Stream<DynamicTest> everyRouteForEveryCaller() {
        return routes().stream()
                .map(route -> DynamicTest.dynamicTest(name(route), () -> {
                    Call call = call(route);
                    if (route.access() == Access.OPEN) {
                        open(route, call);
                        return;
                    }
                    String before = possessions();
                    List<Integer> worked = agentsWork();
                    nobodies(route.access()).forEach((who, api) -> {
                        Api.Answer answer = ask(api, route, call);
                        assertThat(answer.status()).as(who + ": " + answer).isEqualTo(401);
                        requireRefusal(answer, 401, "unauthorized");
                    });
                    credentialsInTheAddress(route, call);
                    if (call.stranger() == 404) {
                        strangers(route).forEach(api -> requireRefusal(ask(api, route, call), 404, "not_found"));
                        assertThat(agentsWork()).isEqualTo(worked);
                    } else {
                        strangers(route).forEach(api -> {
                            Api.Answer answer = ask(api, route, call);
                            assertThat(answer.status()).as(answer.toString()).isEqualTo(call.owner());
                            assertThat(answer.body()).doesNotContain(owner.teamId(), owner.userId(), sandbox, "kept");
                        });
                    }
                    assertThat(possessions()).isEqualTo(before);
                    assertThat(ask(route.access() == Access.USER ? owner.withToken() : owner.withKey(), route, call)
                                    .status())
                            .isEqualTo(call.owner());
                    if (route.access() != Access.USER) {
                        assertThat(ask(owner.withToken(), route, call(route)).status())
                                .isEqualTo(call.owner());
                    }
                }));
    }

    private List<Api> strangers(Route route) {
        return route.access() == Access.USER
                ? List.of(stranger.withToken())
                : List.of(
                        stranger.withToken(),
                        stranger.withKey(),
                        owner.withToken().withKey(strangersKey));
    }

    private void credentialsInTheAddress(Route route, Call call) {
        for (String name : List.of("token", "access_token", "jwt", "Authorization")) {
            String path = inQuery(call.path(), name, owner.token());
            requireRefusal(ask(test.api(), route, new Call(path, call.type(), call.body(), 0, 0)), 401, "unauthorized");
        }
        for (String name : List.of("api_key", "key", "X-API-Key")) {
            String path = inQuery(call.path(), name, ownersKey);
            requireRefusal(ask(test.api(), route, new Call(path, call.type(), call.body(), 0, 0)), 401, "unauthorized");
        }
    }

    /** Credentials mean nothing there, also wrong ones. */
    private void open(Route route, Call call) {
        assertThat(ask(test.api(), route, call).status()).isEqualTo(call.owner());
        Call again = call(route);
        assertThat(ask(test.api().withKey("nonsense").withToken("nonsense"), route, again)
                        .status())
                .isEqualTo(call.owner());
    }

    // ---- the order of checks

    @TestFactory
    Stream<DynamicTest> whatAskedForWorkInASandboxIsCheckedInOrder() {
        String paused = newPaused();
        List<String> prefixes = List.of("/exec", "/execs", "/files", "/ping");
        return routes().stream()
                .filter(route -> route.path().startsWith("/v1/sandboxes/{id}/"))
                .filter(route ->
                        prefixes.stream().anyMatch(prefix -> route.path().startsWith("/v1/sandboxes/{id}" + prefix)))
                .map(route -> DynamicTest.dynamicTest(name(route), () -> {
                    String rest = route.path()
                            .substring("/v1/sandboxes/{id}".length())
                            .replace("{exec_id}", "no-exec");
                    Call bad = Call.of(SANDBOX + paused + rest, 0).json("nonsense");
                    requireRefusal(ask(test.api(), route, bad), 401, "unauthorized");
                    requireRefusal(ask(stranger.withKey(), route, bad), 404, "not_found");
                    requireRefusal(ask(owner.withKey(), route, bad), 409, "invalid_state");
                    if (!route.path().endsWith("/ping") && !route.path().endsWith("/execs")) {
                        Api.Answer answer = ask(
                                owner.withKey(),
                                route,
                                Call.of(SANDBOX + sandbox + rest, 0).json("nonsense"));
                        assertThat(answer.status()).as(answer.toString()).isIn(400, 404);
                    }
                }));
    }

    @Test
    void whatAskedForASnapshotIsCheckedInOrder() {
        String theirs = "{\"sandbox_id\":\"" + sandbox + "\",\"name\":\"%s\"}";
        String nobodys = "{\"sandbox_id\":\"sb" + "0".repeat(20) + "\",\"name\":\"%s\"}";
        requireRefusal(test.api().post("/v1/snapshots", "nonsense"), 401, "unauthorized");
        requireRefusal(stranger.withKey().post("/v1/snapshots", "nonsense"), 400, "invalid_request");
        requireRefusal(stranger.withKey().post("/v1/snapshots", String.format(theirs, "../x")), 400, "invalid_request");
        requireRefusal(stranger.withKey().post("/v1/snapshots", String.format(theirs, "kept")), 404, "not_found");
        requireRefusal(owner.withKey().post("/v1/snapshots", String.format(nobodys, "kept")), 404, "not_found");
        String stopped = newSandbox();
        test.sql("update sandboxes set status = 'stopped', error = 'x' where id = '" + stopped + "'");
        requireRefusal(
                owner.withKey()
                        .post("/v1/snapshots", String.format(theirs, "kept").replace(sandbox, stopped)),
                409,
                "invalid_state");
        requireRefusal(owner.withKey().post("/v1/snapshots", String.format(theirs, "kept")), 409, "already_exists");
    }

    @Test
    void whatIsNotThereAnyMoreIsNotInTheTableEither() {
        List<String> there = routes().stream().map(AccessMatrixTest::name).toList();
        assertThat(there).containsAll(calls.keySet());
    }
}
