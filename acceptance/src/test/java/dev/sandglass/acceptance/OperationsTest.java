package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.http.HttpRequest.BodyPublishers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;

/** Two control planes on one database, and what happens to them and to it. The first one's process has the database. */
@Order(36)
@ExtendWith(Shared.class)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@SuppressWarnings("NullAway.Init")
class OperationsTest {
    private static final Duration AWAY = Duration.ofSeconds(Boolean.getBoolean("acceptance.full") ? 10 : 3);
    private static final int LINES = Boolean.getBoolean("acceptance.full") ? 1200 : 500; // longer than it is away
    private static final Duration ANSWERED_WITHIN = Duration.ofSeconds(30);
    private static final Duration BACK = Duration.ofSeconds(60);

    private Installation first;
    private Installation second;
    private Api either;
    private Api one;
    private Api two;

    @BeforeAll
    void start(Installation shared) {
        first = Installation.startedApart("planes", 2, Optional.of(shared), Map.of("SANDGLASS_LOG_FORMAT", "json"));
        second = first.companions().getLast();
        either = first.api(); // in turns
        one = direct(first);
        two = direct(second);
    }

    @AfterAll
    void end() {
        try (Installation last = first) {
            either.get("/v1/sandboxes")
                    .require(200)
                    .json()
                    .forEach(left ->
                            either.delete("/v1/sandboxes/" + left.path("id").asString("")));
            last.assertNothingLivesBeyond(last.footprint());
        }
    }

    private Api direct(Installation plane) {
        return plane.itself().withHeader("X-API-Key", either.headers().getOrDefault("X-API-Key", ""));
    }

    private static void awaitReady(Api plane) {
        Awaitility.await().atMost(BACK).pollInterval(Duration.ofMillis(100)).until(() -> {
            try {
                return plane.get("/readyz").status() == 200;
            } catch (UncheckedIOException e) {
                return false;
            }
        });
    }

    /** A count in a sandbox, a line every 20 ms, watched by one plane. */
    private static ExecSocket count(Api plane, String sandbox, int lines) throws Exception {
        ExecSocket stream = ExecSocket.open(plane, sandbox);
        String script = "i=0; while [ $i -lt " + lines + " ]; do echo line $i; i=$((i+1)); sleep 0.02; done";
        stream.send(Map.of("type", "start", "cmd", "sh", "args", List.of("-c", script)));
        return stream;
    }

    private static String counted(int lines) {
        StringBuilder all = new StringBuilder();
        for (int i = 0; i < lines; i++) {
            all.append("line ").append(i).append('\n');
        }
        return all.toString();
    }

    @Test
    void whatOneBeginsTheOtherGoesOnWith() throws Exception {
        Api.Answer made = one.withHeader("Idempotency-Key", "planes").post("/v1/sandboxes", Map.of());
        String id = made.require(201).json().path("id").asString("");
        assertThat(two.withHeader("Idempotency-Key", "planes")
                        .post("/v1/sandboxes", Map.of())
                        .require(201)
                        .json())
                .isEqualTo(made.json());
        String execId;
        String head;
        long seen;
        try (ExecSocket stream = count(one, id, 100)) {
            execId = stream.until("start").path("exec_id").asString("");
            stream.untilOutput("line 10\n");
            head = stream.stdout();
            seen = stream.lastSeq();
        }
        assertThat(two.get("/v1/sandboxes/" + id + "/execs").require(200).text())
                .contains(execId);
        try (ExecSocket stream = ExecSocket.open(two, id)) {
            stream.send(Map.of("type", "attach", "exec_id", execId, "after_seq", seen));
            assertThat(stream.until("exit").path("exit_code").asInt(-1)).isZero();
            assertThat(head + stream.stdout()).isEqualTo(counted(100));
        }
        assertThat(Parallel.each(
                        List.of(one, two),
                        plane -> plane.post("/v1/sandboxes/" + id + "/pause")
                                .require(200)
                                .json()
                                .path("status")
                                .asString("")))
                .containsExactly("paused", "paused");
        assertThat(Parallel.each(
                        List.of(two, one),
                        plane -> plane.post("/v1/sandboxes/" + id + "/resume")
                                .require(200)
                                .json()
                                .path("status")
                                .asString("")))
                .containsExactly("running", "running");
        assertThat(one.sandbox(id).exec("echo", "on").require()).isEqualTo("on");
        one.post("/v1/snapshots", Map.of("sandbox_id", id, "name", "of-one")).require(201);
        Sandbox clone = two.create(Map.of("template", "of-one"));
        one.delete("/v1/snapshots/of-one").require(204);
        assertThat(two.get("/v1/snapshots/of-one").status()).isEqualTo(404);
        two.delete("/v1/sandboxes/" + clone.id()).require(204);
        two.delete("/v1/sandboxes/" + id).require(204);
        assertThat(one.get("/v1/sandboxes/" + id).status()).isEqualTo(404);
    }

    private static boolean isRefusedRightly(Api.Answer answer) {
        if (answer.status() < 400) {
            return false;
        }
        assertThat(answer.status()).as(answer.text()).isIn(503, 409, 404);
        assertThat(answer.errorCode()).isNotEmpty();
        return answer.status() == 503;
    }

    /** Creates and deletes through both planes until it is told to stop; keeps what it was told exists. */
    private Set<String> workUntil(AtomicBoolean stop) {
        Set<String> exist = ConcurrentHashMap.newKeySet();
        Parallel.each(List.of(1, 2), _ -> {
            while (!stop.get()) {
                Api.Answer made = either.post("/v1/sandboxes", Map.of());
                if (!isRefusedRightly(made) && made.status() == 201) {
                    String id = made.json().path("id").asString("");
                    exist.add(id);
                    if (exist.size() > 4) {
                        exist.remove(id);
                        isRefusedRightly(either.delete("/v1/sandboxes/" + id));
                    }
                }
            }
            return true;
        });
        return exist;
    }

    @Test
    void postgresqlKilledInTheMiddleOfWorkLosesNothing() throws Exception {
        Sandbox sandbox = either.create();
        AtomicBoolean stop = new AtomicBoolean();
        try (ExecSocket stream = count(two, sandbox.id(), 250)) {
            stream.untilOutput("line 5\n");
            CompletableFuture<Set<String>> work = CompletableFuture.supplyAsync(() -> workUntil(stop));
            Installation.pause(Duration.ofSeconds(1));
            ProcessHandle postgres =
                    ProcessHandle.of(Planes.postgres(first.home())).orElseThrow();
            Stream.concat(Stream.of(postgres), postgres.descendants().toList().stream())
                    .forEach(ProcessHandle::destroyForcibly);
            awaitReady(one);
            awaitReady(two);
            Installation.pause(Duration.ofMillis(500));
            stop.set(true);
            Set<String> exist = work.join();
            for (String id : exist) {
                assertThat(either.sandbox(id).exec("echo", id).require()).isEqualTo(id);
            }
            assertThat(sandbox.status()).isEqualTo("running");
            assertThat(stream.until("exit").path("exit_code").asInt(-1)).isZero();
            assertThat(stream.stdout()).as("it went on meanwhile").isEqualTo(counted(250));
            Parallel.each(exist, id -> either.delete("/v1/sandboxes/" + id).require(204));
        } finally {
            stop.set(true);
        }
        sandbox.delete();
    }

    @Test
    void aControlPlaneKilledWithTheDatabaseLosesNothing() throws Exception {
        Sandbox sandbox = two.create();
        try (ExecSocket stream = count(two, sandbox.id(), LINES)) {
            stream.untilOutput("line 5\n");
            first.killNow();
            long killed = System.nanoTime();
            Awaitility.await().until(() -> two.get(sandbox.path()).status() == 503);
            int refused = 0;
            do { // one refusal alone takes seconds
                long asked = System.nanoTime();
                Api.Answer answer = two.get(sandbox.path()).require(503);
                assertThat(Duration.ofNanos(System.nanoTime() - asked)).isLessThan(ANSWERED_WITHIN);
                assertThat(answer.errorCode()).isEqualTo("host_unavailable");
                assertThat(answer.errorMessage()).contains("database");
                assertThat(two.get("/healthz").status()).isEqualTo(200);
                assertThat(two.get("/readyz").status()).isEqualTo(503);
                refused++;
            } while (System.nanoTime() - killed < AWAY.toNanos());
            first.launch();
            first.awaitReady(BACK);
            long back = System.nanoTime();
            awaitReady(two);
            System.out.printf(
                    "%d refusals while the database was away; the other control plane is ready %d ms after the first%n",
                    refused, (System.nanoTime() - back) / 1_000_000);
            assertThat(sandbox.status()).isEqualTo("running");
            assertThat(sandbox.exec("echo", "on").require()).isEqualTo("on");
            assertThat(one.sandbox(sandbox.id()).exec("echo", "on").require()).isEqualTo("on");
            assertThat(stream.until("exit").path("exit_code").asInt(-1)).isZero();
            assertThat(stream.stdout()).as("it went on meanwhile").isEqualTo(counted(LINES));
        }
        sandbox.delete();
    }

    @Test
    void aTermSignalLetsRequestsEnd() throws Exception {
        Sandbox sandbox = one.create();
        Sandbox paused = one.create();
        try (ExecSocket stream = count(one, sandbox.id(), 100_000)) {
            stream.untilOutput("line 5\n");
            CompletableFuture<Api.Answer> exec = CompletableFuture.supplyAsync(() -> one.post(
                    sandbox.path() + "/exec", Map.of("cmd", "sh", "args", List.of("-c", "sleep 2; echo done"))));
            CompletableFuture<Api.Answer> create =
                    CompletableFuture.supplyAsync(() -> one.post("/v1/sandboxes", Map.of()));
            CompletableFuture<Api.Answer> pause =
                    CompletableFuture.supplyAsync(() -> one.post(paused.path() + "/pause"));
            Awaitility.await()
                    .until(() -> one.get(sandbox.path() + "/execs").text().contains("sleep 2"));
            CompletableFuture<Integer> stopped = CompletableFuture.supplyAsync(first::stop);
            Awaitility.await().until(() -> isRefused(first.port()));
            assertThat(exec.join().require(200).text()).contains("done");
            assertThat(create.join().require(201).json().path("status").asString(""))
                    .isEqualTo("running");
            assertThat(pause.join().require(200).json().path("status").asString(""))
                    .isEqualTo("paused");
            JsonNode last = stream.next();
            while (!ExecSocket.type(last).equals("closed")) {
                last = stream.next();
            }
            assertThat(stopped.join()).isIn(0, 143);
            first.launch();
            first.awaitReady(BACK);
            awaitReady(two);
            List<String> ids = new ArrayList<>(List.of(
                    sandbox.id(), paused.id(), create.join().json().path("id").asString("")));
            assertThat(ids.stream().map(id -> two.sandbox(id).status()))
                    .containsExactly("running", "paused", "running");
            Parallel.each(ids, id -> two.delete("/v1/sandboxes/" + id).require(204));
        }
    }

    private static boolean isRefused(int port) {
        try (Socket _ = new Socket(InetAddress.getLoopbackAddress(), port)) {
            return false;
        } catch (ConnectException e) {
            return true;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void everyLineOfARequestHasItsIdAndIsJson() {
        Sandbox sandbox = new Sandbox(
                one,
                one.withHeader("X-Request-Id", "ops-create-1")
                        .call("POST", "/v1/sandboxes", BodyPublishers.ofString("{}"), "application/json")
                        .require(201)
                        .json()
                        .path("id")
                        .asString(""),
                Json.parse("{}"));
        two.withHeader("X-Request-Id", "ops-read-1").get(sandbox.path()).require(200);
        sandbox.delete();
        assertThat(linesOf(first, "ops-create-1")
                        .map(line -> line.path("message").asString("")))
                .contains("request", "operation ended");
        JsonNode access = linesOf(second, "ops-read-1")
                .filter(line -> line.path("logger").asString("").equals("access"))
                .findFirst()
                .orElseThrow();
        assertThat(access.path("route").asString("")).isEqualTo("/v1/sandboxes/{id}");
        assertThat(access.path("id").asString("")).isEqualTo(sandbox.id());
        assertThat(access.path("status").asInt()).isEqualTo(200);
        Installation agent = first.companions().getFirst();
        assertThat(linesOf(agent, "ops-create-1")
                        .map(line -> line.path("message").asString("")))
                .as("and on its host")
                .anyMatch(message -> message.contains("state=running"));
        for (Installation program : List.of(first, second)) {
            String start = program.logText()
                    .lines()
                    .filter(line -> line.startsWith("{"))
                    .findFirst()
                    .orElseThrow();
            assertThat(Json.parse(start).path("time").asString("")).endsWith("Z");
        }
    }

    private static Stream<JsonNode> linesOf(Installation program, String request) {
        return program.logText()
                .lines()
                .filter(line -> line.startsWith("{"))
                .map(Json::parse)
                .filter(line -> line.path("request").asString("").equals(request));
    }
}
