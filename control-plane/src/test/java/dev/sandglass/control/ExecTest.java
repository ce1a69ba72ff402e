package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.Id.ExecId;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.ExecClient;
import dev.sandglass.control.testing.TestPlane;
import io.grpc.Status;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.net.Socket;
import java.net.URI;
import java.net.http.WebSocketHandshakeException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class ExecTest {
    private TestPlane test;
    private TestPlane.Person person;
    private String sandbox;

    @BeforeAll
    void start() {
        test = TestPlane.start();
        person = test.signUp();
        sandbox = person.withKey()
                .post("/v1/sandboxes", "{\"env\":{\"FROM_SANDBOX\":\"yes\"}}")
                .text("id");
    }

    @AfterAll
    void stop() {
        test.close();
    }

    private Api.Answer exec(String json) {
        return person.withKey().post("/v1/sandboxes/" + sandbox + "/exec", json);
    }

    private static String shell(String script) {
        return "\"cmd\":\"sh\",\"args\":[\"-c\",\""
                + script.replace("\\", "\\\\").replace("\"", "\\\"") + "\"]";
    }

    private ExecClient stream() {
        return new ExecClient(test.api(), sandbox, Map.of("X-API-Key", keyOf(person)), List.of());
    }

    private static String keyOf(TestPlane.Person person) {
        return person.withToken().post("/v1/api-keys").text("key");
    }

    // ---- one-shot

    @Test
    void aCommandRunsToItsEnd() {
        Api.Answer answer = exec("{" + shell("cat; echo $FROM_SANDBOX $MINE; echo bad >&2; exit 3")
                + ",\"stdin\":\"in \",\"env\":{\"MINE\":\"too\"}}");
        assertThat(answer.status()).as(answer.toString()).isEqualTo(200);
        assertThat(answer.json())
                .containsEntry("sandbox_id", sandbox)
                .containsEntry("cmd", "sh")
                .containsEntry("stdout", "in yes too\n")
                .containsEntry("stderr", "bad\n")
                .containsEntry("exit_code", 3)
                .containsEntry("timed_out", false)
                .containsEntry("truncated", false)
                .containsEntry("encoding", "utf-8")
                .containsKeys("exec_id", "duration_ms")
                .doesNotContainKey("signal");
    }

    @Test
    void outputThatIsNoTextIsBase64() {
        Api.Answer answer = exec("{" + shell("printf '\\377'; printf text >&2") + "}");
        assertThat(answer.json())
                .containsEntry("encoding", "base64")
                .containsEntry("stdout", "/w==")
                .containsEntry("stderr", Base64.getEncoder().encodeToString("text".getBytes(StandardCharsets.UTF_8)));
    }

    @Test
    void aTimeoutIsNoError() {
        Api.Answer answer = exec("{" + shell("echo first; sleep 20") + ",\"timeout_sec\":1}");
        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.json())
                .containsEntry("timed_out", true)
                .containsEntry("exit_code", -1)
                .containsEntry("stdout", "first\n");
    }

    @Test
    void anUnknownCommandExitsWith127() {
        Api.Answer answer = exec("{\"cmd\":\"no-such-command\"}");
        assertThat(answer.json()).containsEntry("exit_code", 127);
        assertThat(answer.text("stderr")).contains("no-such-command");
    }

    @Test
    void aLargeOutputArrivesWhole() {
        Api.Answer answer = exec("{" + shell("head -c 6000000 /dev/zero | tr '\\\\0' a") + "}");
        assertThat(answer.text("stdout")).hasSize(6_000_000);
    }

    @Test
    void credentialsThenSandboxThenStateThenBody() {
        String other = "/v1/sandboxes/" + SandboxId.random() + "/exec";
        assertThat(test.api().post(other, "no json").status()).isEqualTo(401);
        assertThat(person.withKey().post(other, "no json").status()).isEqualTo(404);
        String stopped = person.withKey().post("/v1/sandboxes", "{}").text("id");
        test.agent.onDestroy = id -> Optional.of(Status.UNAVAILABLE);
        try {
            person.withKey().delete("/v1/sandboxes/" + stopped);
        } finally {
            test.agent.onDestroy = id -> Optional.empty();
        }
        Api.Answer state = person.withKey().post("/v1/sandboxes/" + stopped + "/exec", "no json");
        assertThat(state.status()).isEqualTo(409);
        assertThat(state.code()).isEqualTo("invalid_state");
        assertThat(exec("no json").status()).isEqualTo(400);
        assertThat(exec("{}").code()).isEqualTo("invalid_request");
    }

    // ---- stream

    @Test
    void aStreamCarriesBothWays() throws Exception {
        try (ExecClient client = stream()) {
            client.send("{\"type\":\"start\"," + shell("read a; echo \"got $a\"; cat; exit 4") + "}");
            assertThat(client.next()).containsEntry("type", "start").containsKeys("pid", "exec_id");
            client.send("{\"type\":\"stdin\",\"data\":\"héllo\\n\"}");
            Map<String, Object> output = client.next();
            assertThat(output).containsEntry("type", "stdout").containsEntry("data", "got héllo\n");
            assertThat(output).containsEntry("seq", "got héllo\n".getBytes(StandardCharsets.UTF_8).length);
            client.send("{\"type\":\"stdin\",\"data\":\"/w==\",\"encoding\":\"base64\"}");
            assertThat(client.next()).containsEntry("data", "/w==").containsEntry("encoding", "base64");
            client.send("{\"type\":\"stdin_close\"}");
            assertThat(client.next()).containsEntry("type", "exit").containsEntry("exit_code", 4);
            assertThat(client.closeStatus()).isEqualTo(1000);
        }
    }

    @Test
    void aLostConnectionLosesNoByte() throws Exception {
        String exec;
        long seq;
        byte[] head;
        try (ExecClient client = stream()) {
            client.send("{\"type\":\"start\","
                    + shell("i=0; while [ $i -lt 2000 ]; do echo \"line $i €\"; i=$((i+1)); done; sleep 1; echo end")
                    + "}");
            exec = String.valueOf(client.next().get("exec_id"));
            Map<String, Object> output = client.next();
            head = ExecClient.dataOf(output);
            seq = ((Number) Objects.requireNonNull(output.get("seq"))).longValue();
            assertThat(seq).isEqualTo(head.length);
            client.abort();
        }
        try (ExecClient again = stream()) {
            again.send("{\"type\":\"attach\",\"exec_id\":\"" + exec + "\",\"after_seq\":" + seq + "}");
            assertThat(again.next()).containsEntry("type", "start").containsEntry("exec_id", exec);
            ExecClient.Output rest = again.untilEnd();
            StringBuilder expected = new StringBuilder();
            for (int i = 0; i < 2000; i++) {
                expected.append("line ").append(i).append(" €\n");
            }
            assertThat(new String(head, StandardCharsets.UTF_8) + rest.text()).isEqualTo(expected + "end\n");
            assertThat(rest.last()).containsEntry("exit_code", 0);
        }
    }

    @Test
    void aSlowReaderHoldsTheProcessBack() throws Exception {
        try (ExecClient client = stream()) {
            client.send("{\"type\":\"start\"," + shell("head -c 30000000 /dev/zero | tr '\\0' x") + "}");
            String exec = String.valueOf(client.next().get("exec_id"));
            Thread.sleep(1000);
            long before = test.agent.printed(exec);
            Thread.sleep(500);
            assertThat(test.agent.printed(exec)).isEqualTo(before).isLessThan(20_000_000);
            ExecClient.Output all = client.untilEnd();
            assertThat(all.bytes().size()).isEqualTo(30_000_000);
            assertThat(all.seq()).isEqualTo(30_000_000);
        }
    }

    @Test
    void stopEndsTheProcessEvenWhenItDoesNotRead() throws Exception {
        try (ExecClient client = stream()) {
            client.send("{\"type\":\"start\",\"cmd\":\"sleep\",\"args\":[\"60\"]}");
            client.next();
            client.send("{\"type\":\"stop\"}");
            assertThat(client.next()).containsEntry("type", "exit").containsEntry("signal", 9);
        }
    }

    @Test
    void stopDoesNotWaitBehindInputThatTheProcessNeverReads() throws Exception {
        try (ExecClient client = stream()) {
            client.send("{\"type\":\"start\",\"cmd\":\"sleep\",\"args\":[\"60\"]}");
            client.next();
            for (int i = 0; i < 20; i++) {
                client.send("{\"type\":\"stdin\",\"data\":\"" + "x".repeat(15_000) + "\"}");
            }
            client.send("{\"type\":\"stop\"}");
            assertThat(client.next()).containsEntry("type", "exit").containsEntry("signal", 9);
        }
    }

    @Test
    void aReaderThatAnswersNoPingIsDroppedAndItsProcessGoesOn() throws Exception {
        try (TestPlane other = TestPlane.start(Map.of("SANDGLASS_HTTP_IDLE_SECONDS", "1"))) {
            TestPlane.Person somebody = other.signUp();
            String id = somebody.withKey().post("/v1/sandboxes", "{}").text("id");
            String key = keyOf(somebody);
            String exec;
            try (RawWebSocket dead = new RawWebSocket(other.api().url(), id, key);
                    ExecClient quiet = new ExecClient(other.api(), id, Map.of("X-API-Key", key), List.of())) {
                dead.send("{\"type\":\"start\"," + shell("sleep 4; echo went on") + "}");
                quiet.send("{\"type\":\"start\"," + shell("sleep 3; echo alive") + "}");
                quiet.next();
                var answer = CompletableFuture.supplyAsync(() -> awaitMessage(quiet));
                exec = dead.awaitText().replaceAll(".*(ex[0-9a-z]{20}).*", "$1");
                dead.awaitEnd();
                assertThat(answer.get()).as("who answers").containsEntry("data", "alive\n");
            }
            try (ExecClient again = new ExecClient(other.api(), id, Map.of("X-API-Key", key), List.of())) {
                again.send("{\"type\":\"attach\",\"exec_id\":\"" + exec + "\"}");
                assertThat(again.untilEnd().text()).isEqualTo("went on\n");
            }
        }
    }

    private static Map<String, Object> awaitMessage(ExecClient client) {
        try {
            return client.next();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    /** A client that reads and answers nothing, not even pings. */
    private static final class RawWebSocket implements AutoCloseable {
        private final Socket socket;
        private final DataInputStream in;

        RawWebSocket(URI server, String sandbox, String key) throws IOException {
            socket = new Socket(server.getHost(), server.getPort());
            socket.setSoTimeout(20_000);
            in = new DataInputStream(socket.getInputStream());
            String request = "GET /v1/sandboxes/" + sandbox + "/exec/stream HTTP/1.1\r\nHost: x\r\nX-API-Key: " + key
                    + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            StringBuilder answer = new StringBuilder();
            while (answer.indexOf("\r\n\r\n") < 0) {
                answer.append((char) in.readUnsignedByte());
            }
            assertThat(answer.toString()).startsWith("HTTP/1.1 101");
        }

        void send(String text) throws IOException {
            byte[] payload = text.getBytes(StandardCharsets.UTF_8);
            assertThat(payload.length).isLessThan(126);
            ByteArrayOutputStream frame = new ByteArrayOutputStream();
            frame.write(0x81);
            frame.write(0x80 | payload.length);
            frame.writeBytes(new byte[4]); // a mask that changes nothing
            frame.writeBytes(payload);
            socket.getOutputStream().write(frame.toByteArray());
        }

        /** The payload of the next short text frame. */
        String awaitText() throws IOException {
            while (true) {
                int opcode = in.readUnsignedByte() & 0xf;
                byte[] payload = in.readNBytes(in.readUnsignedByte());
                if (opcode == 1) {
                    return new String(payload, StandardCharsets.UTF_8);
                }
            }
        }

        void awaitEnd() throws IOException {
            byte[] rest = in.readAllBytes();
            assertThat(rest.length).as("pings").isPositive();
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }

    @Test
    void execsAreListedAndKilled() throws Exception {
        try (ExecClient client = stream()) {
            client.send("{\"type\":\"start\",\"cmd\":\"sleep\",\"args\":[\"61\"],\"pty\":{\"cols\":80,\"rows\":24}}");
            String exec = String.valueOf(client.next().get("exec_id"));
            String execs = "/v1/sandboxes/" + sandbox + "/execs";
            assertThat(person.withKey().get(execs).list())
                    .anySatisfy(listed -> assertThat(listed)
                            .containsEntry("exec_id", exec)
                            .containsEntry("running", true)
                            .containsEntry("pty", true)
                            .containsEntry("argv", List.of("sleep", "61")));
            assertThat(person.withKey().delete(execs + "/" + exec).status()).isEqualTo(204);
            assertThat(client.next()).containsEntry("type", "exit");
            assertThat(person.withKey().delete(execs + "/" + ExecId.random()).status())
                    .isEqualTo(404);
            assertThat(person.withKey().delete(execs + "/nonsense").status()).isEqualTo(404);
        }
    }

    @Test
    void whatAClientMustNotSendIsAnErrorMessage() throws Exception {
        for (String message : List.of(
                "no json",
                "[]",
                "{}",
                "{\"type\":\"stdin\",\"data\":\"x\"}",
                "{\"type\":\"start\"}",
                "{\"type\":\"start\",\"cmd\":\"\"}",
                "{\"type\":\"start\",\"cmd\":7}",
                "{\"type\":\"start\",\"cmd\":\"sh\",\"cwd\":\"relative\"}",
                "{\"type\":\"start\",\"cmd\":\"sh\",\"pty\":{\"cols\":0,\"rows\":1}}",
                "{\"type\":\"start\",\"cmd\":\"sh\",\"timeout_sec\":-1}",
                "{\"type\":\"start\",\"cmd\":\"a\\u0000b\"}",
                "{\"type\":\"start\",\"cmd\":\"sh\",\"args\":[null]}",
                "{\"type\":\"start\",\"cmd\":\"sh\",\"args\":\"x\"}",
                "{\"type\":\"start\",\"cmd\":\"sh\",\"env\":{\"A=B\":\"x\"}}",
                "{\"type\":\"start\",\"cmd\":\"sh\",\"pty\":true}",
                "{\"type\":\"start\",\"cmd\":\"" + "x".repeat(100_000) + "\"}",
                "{\"type\":\"attach\",\"exec_id\":\"ex00000000000000000000\",\"after_seq\":1.5}",
                "{\"type\":\"attach\",\"exec_id\":\"ex00000000000000000000\",\"after_seq\":-1}")) {
            try (ExecClient client = stream()) {
                client.send(message);
                assertThat(client.next())
                        .as(message)
                        .containsEntry("type", "error")
                        .containsEntry("code", "invalid_request");
                assertThat(client.closeStatus()).isEqualTo(1000);
            }
        }
        try (ExecClient client = stream()) {
            client.send("{\"type\":\"attach\",\"exec_id\":\"" + ExecId.random() + "\"}");
            assertThat(client.next()).containsEntry("code", "not_found");
        }
        for (String message : List.of(
                "{\"type\":\"start\",\"cmd\":\"sh\"}",
                "{",
                "{\"type\":7}",
                "{\"type\":\"attach\",\"exec_id\":\"ex00000000000000000000\"}",
                "{\"type\":\"stdin\"}",
                "{\"type\":\"stdin\",\"data\":7,\"encoding\":{}}",
                "{\"type\":\"stdin\",\"data\":\"\\ud800\"}",
                "{\"type\":\"signal\"}",
                "{\"type\":\"signal\",\"signal\":0}",
                "{\"type\":\"signal\",\"signal\":65}",
                "{\"type\":\"signal\",\"signal\":[]}",
                "{\"type\":\"resize\",\"cols\":80,\"rows\":100000}",
                "{\"type\":\"stop it\"}",
                "{\"type\":\"stdin\",\"data\":\"%\",\"encoding\":\"base64\"}",
                "{\"type\":\"stdin\",\"data\":\"x\",\"encoding\":\"rot13\"}",
                "{\"type\":\"signal\",\"signal\":\"SIGNONSENSE\"}",
                "{\"type\":\"resize\",\"cols\":-1,\"rows\":2}")) {
            try (ExecClient client = stream()) {
                client.send("{\"type\":\"start\",\"cmd\":\"sleep\",\"args\":[\"5\"]}");
                client.next();
                client.send(message);
                assertThat(client.next()).as(message).containsEntry("code", "invalid_request");
                assertThat(client.closeStatus()).as(message).isEqualTo(1000);
            }
        }
        try (ExecClient client = stream()) {
            client.sendBinary(new byte[] {1});
            assertThat(client.closeStatus()).isEqualTo(1008);
        }
    }

    @Test
    void aSignalReachesTheProcess() throws Exception {
        try (ExecClient client = stream()) {
            client.send("{\"type\":\"start\"," + shell("trap 'echo caught; exit 5' INT; echo ready; sleep 60 & wait")
                    + "}");
            client.next();
            assertThat(client.next()).containsEntry("data", "ready\n");
            client.send("{\"type\":\"signal\",\"signal\":\"SIGINT\"}");
            assertThat(client.next()).containsEntry("data", "caught\n");
            client.send("{\"type\":\"stop\"}");
        }
    }

    @Test
    void theHandshakeIsRefusedBeforeTheUpgrade() {
        assertThat(status(SandboxId.random().value(), Map.of(), List.of())).isEqualTo(401);
        assertThat(status(sandbox, Map.of("X-API-Key", "sgk_wrong"), List.of())).isEqualTo(401);
        assertThat(status(sandbox, Map.of(), List.of("sandglass.v1", "nonsense")))
                .isEqualTo(401);
        Map<String, String> key = Map.of("X-API-Key", keyOf(person));
        assertThat(status(SandboxId.random().value(), key, List.of())).isEqualTo(404);
        assertThat(status(sandbox, Map.of("X-API-Key", keyOf(test.signUp())), List.of()))
                .isEqualTo(404);
        Api.Answer plain = person.withKey().get("/v1/sandboxes/" + sandbox + "/exec/stream");
        assertThat(plain.status()).isEqualTo(400);
        Api.Answer foreign = person.withKey()
                .with("Origin", "https://evil.example")
                .get("/v1/sandboxes/" + sandbox + "/exec/stream");
        assertThat(foreign.code()).isEqualTo("forbidden");
    }

    private int status(String id, Map<String, String> headers, List<String> protocols) {
        try {
            new ExecClient(test.api(), id, headers, protocols).close();
            return 101;
        } catch (CompletionException e) {
            return e.getCause() instanceof WebSocketHandshakeException refused
                    ? refused.getResponse().statusCode()
                    : -1;
        }
    }

    @Test
    void aBrowserOffersItsTokenAsAProtocol() throws Exception {
        try (ExecClient client =
                new ExecClient(test.api(), sandbox, Map.of(), List.of("sandglass.v1", person.token()))) {
            assertThat(client.subprotocol()).isEqualTo("sandglass.v1");
            client.send("{\"type\":\"start\",\"cmd\":\"true\"}");
            assertThat(client.untilEnd().last()).containsEntry("exit_code", 0);
        }
    }

    @Test
    void aServerThatStopsLeavesTheProcessRunning() throws Exception {
        try (TestPlane other = TestPlane.start()) {
            TestPlane.Person somebody = other.signUp();
            String id = somebody.withKey().post("/v1/sandboxes", "{}").text("id");
            try (ExecClient client = new ExecClient(other.api(), id, Map.of("X-API-Key", keyOf(somebody)), List.of())) {
                client.send("{\"type\":\"start\",\"cmd\":\"sleep\",\"args\":[\"62\"]}");
                Object pid = client.next().get("pid");
                long began = System.nanoTime();
                other.plane.close();
                assertThat(Duration.ofNanos(System.nanoTime() - began)).isLessThan(Duration.ofSeconds(9));
                assertThat(ProcessHandle.of(Long.parseLong(String.valueOf(pid))))
                        .isPresent();
            }
        }
    }

    @Test
    void agentTextIsNotShownToCallers() {
        Api.Answer answer = exec("{\"cmd\":\"sh\",\"cwd\":\"/no/such/directory\"}");
        assertThat(answer.status()).isEqualTo(502);
        assertThat(answer.body()).doesNotContain("secret", "Exception");
    }

    @Test
    void workCountsAsActivity() {
        String path = "/v1/sandboxes/" + sandbox;
        String before = person.withKey().get(path).text("last_active_at");
        exec("{\"cmd\":\"true\"}");
        Awaitility.await()
                .atMost(Duration.ofSeconds(5))
                .untilAsserted(() -> assertThat(person.withKey().get(path).text("last_active_at"))
                        .isGreaterThan(before));
    }

    @Test
    void aWrongSandboxIdIsUnknownAndReachesNoAgent() {
        assertThatThrownBy(() -> new SandboxId("sb'; drop table sandboxes;--")).isNotNull();
        assertThat(person.withKey()
                        .post("/v1/sandboxes/sb..%2f..%2fetc/exec", "{}")
                        .status())
                .isIn(400, 404);
    }
}
