package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.Progress;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.TestPlane;
import java.io.IOException;
import java.net.Socket;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class HttpTest {
    private TestPlane test;
    private Api api;

    @BeforeAll
    void start() {
        test = TestPlane.start(Map.of("SANDGLASS_HTTP_IDLE_SECONDS", "1"));
        api = test.signUp().withKey();
    }

    @AfterAll
    void stop() {
        test.close();
    }

    /** What a client that knows nothing of HTTP gets. */
    private String raw(String request) throws IOException {
        try (Socket socket = new Socket(api.url().getHost(), api.url().getPort())) {
            socket.setSoTimeout(10_000);
            socket.getOutputStream().write(request.getBytes(StandardCharsets.ISO_8859_1));
            socket.getOutputStream().flush();
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    @Test
    void unknownPathsAndMethodsAnswerInTheEnvelope() {
        assertThat(api.get("/").code()).isEqualTo("not_found");
        assertThat(api.get("/v1/nonsense").code()).isEqualTo("not_found");
        assertThat(api.get("/v1/sandboxes/a/b/c/d").code()).isEqualTo("not_found");
        Api.Answer wrong = api.send("PATCH", "/v1/sandboxes", BodyPublishers.noBody());
        assertThat(wrong.status()).isEqualTo(405);
        assertThat(wrong.code()).isEqualTo("method_not_allowed");
        assertThat(wrong.header("Allow")).isEqualTo("GET, POST");
        assertThat(wrong.header("Content-Type")).isEqualTo("application/json");
    }

    @Test
    void aSlashAtTheEndChangesNothing() {
        assertThat(api.get("/v1/sandboxes/").status()).isEqualTo(200);
        assertThat(api.get("/healthz/").status()).isEqualTo(200);
        assertThat(api.get("/v1/sandboxes//").status()).isIn(400, 404);
    }

    @Test
    void aSaneRequestIdComesBack() {
        assertThat(api.with("X-Request-Id", "my-id_1.2:3").get("/healthz").header("X-Request-Id"))
                .isEqualTo("my-id_1.2:3");
        for (String id : List.of("with space", "x".repeat(129), "<script>")) {
            assertThat(api.with("X-Request-Id", id).get("/healthz").header("X-Request-Id"))
                    .startsWith("req");
        }
        assertThat(api.get("/nowhere").header("X-Request-Id")).startsWith("req");
    }

    @Test
    void bodiesHaveALimit() {
        String large = "{\"metadata\":{\"a\":\"" + "x".repeat(2 << 20) + "\"}}";
        Api.Answer announced = api.post("/v1/sandboxes", large);
        assertThat(announced.status()).isEqualTo(413);
        assertThat(announced.code()).isEqualTo("too_large");
        Api.Answer chunked = api.with("Content-Type", "application/json")
                .send("POST", "/v1/sandboxes", BodyPublishers.fromPublisher(BodyPublishers.ofString(large)));
        assertThat(chunked.code()).isEqualTo("too_large");
    }

    @Test
    void onlyJsonIsTaken() {
        for (String type :
                List.of("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1")) {
            Api.Answer answer =
                    api.with("Content-Type", type).send("POST", "/v1/sandboxes", BodyPublishers.ofString("{}"));
            assertThat(answer.status()).as(type).isEqualTo(415);
            assertThat(answer.code()).isEqualTo("unsupported_media_type");
        }
        assertThat(api.with("Content-Type", "Application/JSON; charset=UTF-8")
                        .send("POST", "/v1/sandboxes", BodyPublishers.ofString("{\"vcpus\":0}"))
                        .status())
                .isEqualTo(400);
    }

    @Test
    void whatIsNotHttpGetsTheEnvelopeToo() throws IOException {
        assertThat(raw("GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n"))
                .startsWith("HTTP/1.1 400")
                .contains("\"code\":\"invalid_request\"");
        assertThat(raw("GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + "y".repeat(20_000) + "\r\n\r\n"))
                .startsWith("HTTP/1.1 431")
                .contains("\"code\":\"too_large\"");
        assertThat(raw("GET /" + "y".repeat(20_000) + " HTTP/1.1\r\nHost: x\r\n\r\n"))
                .startsWith("HTTP/1.1 414")
                .contains("\"code\":\"too_large\"");
        assertThat(raw("GET /v1/%2e%2e/healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
                .startsWith("HTTP/1.1 400")
                .contains("\"error\"")
                .doesNotContain("Exception", "jetty");
    }

    @Test
    void aBodyThatNeverComesIsNotWaitedForForever() throws IOException {
        String key = test.signUp().withToken().post("/v1/api-keys").text("key");
        String answer =
                raw("POST /v1/sandboxes HTTP/1.1\r\nHost: x\r\nX-API-Key: " + key + "\r\nContent-Length: 100\r\n\r\n{");
        assertThat(answer)
                .satisfiesAnyOf(
                        text -> assertThat(text).isEmpty(),
                        text -> assertThat(text).startsWith("HTTP/1.1 4"));
    }

    @Test
    void workThatTakesLongerThanTheIdleTimeoutIsAnswered() {
        test.agent.onCreate = request -> {
            try {
                Thread.sleep(2500);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            return Optional.empty();
        };
        try {
            assertThat(api.post("/v1/sandboxes", "{}").status()).isEqualTo(201);
        } finally {
            test.agent.onCreate = request -> Optional.empty();
        }
    }

    @Test
    void headAnswersLikeGetWithoutABody() {
        Api.Answer answer = api.send("HEAD", "/healthz", BodyPublishers.noBody());
        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.body()).isEmpty();
    }

    @Test
    void metricsAreNotForOthers() {
        assertThat(api.with("X-Forwarded-For", "203.0.113.1").get("/metrics").status())
                .isEqualTo(403);
    }

    @Test
    void aPortInUseIsNamedWithItsRemedy() {
        Map<String, String> environment = new HashMap<>(test.environment);
        environment.put("CP_LISTEN_ADDR", "127.0.0.1:" + api.url().getPort());
        ControlPlaneConfiguration configuration =
                ControlPlaneConfiguration.read(environment, ConfigurationKeys.controlPlane());
        EmbeddedAgent agent = new EmbeddedAgent(test.agent.channel(), test.agent.hostId);
        assertThatThrownBy(() -> ControlPlane.start(configuration, Optional.of(agent), Progress.SILENT))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("Port " + api.url().getPort())
                .hasMessageContaining("CP_LISTEN_ADDR");
        assertThat(api.get("/readyz").status()).isEqualTo(200);
    }

    @Test
    void whatTheServerCannotParseItAnswersAndSaysThatTheConnectionEnds() throws IOException {
        for (String path : List.of("/v1/sandboxes/%00", "/v1/sandboxes/%2e%2e%2fetc", "/%zz")) {
            assertThat(raw("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n").toLowerCase(Locale.ROOT))
                    .as(path)
                    .startsWith("http/1.1 400 ")
                    .contains("\r\nconnection: close\r\n");
        }
    }
}
