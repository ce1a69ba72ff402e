package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.Concurrently;
import dev.sandglass.control.testing.RawHttp;
import dev.sandglass.control.testing.TestPlane;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;

/** What goes wrong below requests: bytes that are not HTTP, that never come, or that mean two things. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class ConnectionAbuseTest {
    private static final int CONNECTIONS_MAX = 32;
    private static final Duration PATIENCE = Duration.ofSeconds(40);
    private static final String HOST = "Host: x\r\n";
    private static final String SMUGGLED = "GET /healthz HTTP/1.1\r\n" + HOST + "\r\n";

    private TestPlane test;
    private Api api;
    private String key;

    @BeforeAll
    void start() {
        test = TestPlane.start(Map.of(
                "SANDGLASS_HTTP_ARRIVAL_SECONDS", "1",
                "SANDGLASS_HTTP_IDLE_SECONDS", "3",
                "SANDGLASS_HTTP_CONNECTIONS_MAX", Integer.toString(CONNECTIONS_MAX)));
        TestPlane.Person person = test.signUp();
        api = person.withKey();
        key = "X-API-Key: " + person.withToken().post("/v1/api-keys").text("key") + "\r\n";
    }

    @AfterAll
    void stop() {
        test.close();
    }

    private RawHttp connection() {
        return new RawHttp(api.url());
    }

    private String exchange(String request) {
        return RawHttp.exchange(api.url(), request);
    }

    private String post(String headers, String body) {
        return "POST /v1/sandboxes HTTP/1.1\r\n" + HOST + key + headers + "\r\n" + body;
    }

    // ---- what trickles

    /** Sends piece by piece until the other side has had enough; what it said. */
    private static String trickle(RawHttp connection, String beginning, String piece) throws IOException {
        connection.send(beginning);
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        connection.patience(Duration.ofMillis(50));
        StringBuilder answer = new StringBuilder();
        while (System.nanoTime() < deadline) {
            if (!connection.trySend(piece)) {
                return answer.toString();
            }
            try {
                int read = connection.in().read();
                if (read < 0) {
                    return answer.toString();
                }
                answer.append((char) read).append(connection.untilClosed(PATIENCE));
                return answer.toString();
            } catch (java.net.SocketTimeoutException e) {
                // it still waits for the rest
            } catch (IOException e) {
                return answer.toString();
            }
        }
        throw new AssertionError("it waits for " + PATIENCE + " and longer");
    }

    @Test
    void aRequestThatTricklesIsNotWaitedFor() {
        Map<String, String[]> slow = new LinkedHashMap<>();
        slow.put("a request line", new String[] {"GET /", "a"});
        slow.put("the bytes before a request", new String[] {"", "\r\n"});
        slow.put("headers", new String[] {"GET /healthz HTTP/1.1\r\n" + HOST, "X-A: b\r\n"});
        slow.put("one header", new String[] {"GET /healthz HTTP/1.1\r\n" + HOST + "X-A: ", "b"});
        slow.put("a JSON body", new String[] {post("Content-Length: 100000\r\n", "{\"a\":\""), "b"});
        slow.put("a chunked JSON body", new String[] {post("Transfer-Encoding: chunked\r\n", "1\r\n{\r\n"), "1\r\n \r\n"
        });
        slow.put("a chunk's size", new String[] {post("Transfer-Encoding: chunked\r\n", ""), "0"});
        List<Map.Entry<String, String[]>> all = List.copyOf(slow.entrySet());
        List<String> answers = Concurrently.run(all.size(), i -> {
            try (RawHttp connection = connection()) {
                return trickle(connection, all.get(i).getValue()[0], all.get(i).getValue()[1]);
            } catch (IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        });
        for (int i = 0; i < all.size(); i++) {
            assertThat(answers.get(i)).as(all.get(i).getKey()).matches("(?s)(HTTP/1.1 4.*\"invalid_request\".*)?");
        }
    }

    @Test
    void theSecondRequestOfAConnectionMayNotTrickleEither() throws IOException {
        try (RawHttp connection = connection()) {
            String get = "GET /healthz HTTP/1.1\r\n" + HOST;
            connection.send(get + "\r\n");
            assertThat(connection.answer()).startsWith("HTTP/1.1 200");
            assertThat(trickle(connection, get, "X-A: b\r\n")).doesNotContain("200");
        }
    }

    @Test
    void manyThatTrickleKeepNobodyElseWaiting() throws IOException {
        List<RawHttp> slow = new ArrayList<>();
        try {
            for (int i = 0; i < CONNECTIONS_MAX / 2; i++) {
                slow.add(connection());
                slow.getLast().send(post("Content-Length: 1000\r\n", "{"));
            }
            assertThat(test.api().get("/healthz").status()).isEqualTo(200);
        } finally {
            slow.forEach(RawHttp::close);
        }
    }

    // ---- how many

    @Test
    void connectionsAreBoundedAndTheOthersWait() {
        List<RawHttp> open = new ArrayList<>();
        try {
            for (int i = 0; i < CONNECTIONS_MAX * 2; i++) {
                open.add(connection());
                open.getLast().trySend("GET /healthz HTTP/1.1\r\n" + HOST + "\r\n");
            }
            List<RawHttp> waiting = new ArrayList<>();
            for (RawHttp one : open) {
                if (!isAnswered(one)) {
                    waiting.add(one);
                }
            }
            assertThat(waiting)
                    .hasSizeBetween(CONNECTIONS_MAX, CONNECTIONS_MAX + 40); // others may be left of other tests
            open.removeAll(waiting);
            open.forEach(RawHttp::close);
            open.clear();
            open.addAll(waiting);
            Awaitility.await().atMost(PATIENCE).until(() -> isAnswered(waiting.getFirst()));
        } finally {
            open.forEach(RawHttp::close);
        }
    }

    private static boolean isAnswered(RawHttp connection) {
        try {
            connection.patience(Duration.ofMillis(100));
            return connection.answer().startsWith("HTTP/1.1 200");
        } catch (IOException e) {
            return false;
        }
    }

    // ---- what means two things, or nothing

    @TestFactory
    Stream<DynamicTest> whatCouldMeanTwoThingsMeansNothing() {
        String chunked = "Transfer-Encoding: chunked\r\n";
        Map<String, String> requests = new LinkedHashMap<>();
        requests.put("a length and chunks", post("Content-Length: 6\r\n" + chunked, "0\r\n\r\n" + SMUGGLED));
        requests.put("chunks and a length", post(chunked + "Content-Length: 6\r\n", "0\r\n\r\n" + SMUGGLED));
        requests.put("two lengths", post("Content-Length: 2\r\nContent-Length: 40\r\n", "{}" + SMUGGLED));
        requests.put("two lengths in one", post("Content-Length: 2, 40\r\n", "{}" + SMUGGLED));
        requests.put("a negative length", post("Content-Length: -1\r\n", "{}" + SMUGGLED));
        requests.put("a length with a sign", post("Content-Length: +2\r\n", "{}" + SMUGGLED));
        requests.put("a hexadecimal length", post("Content-Length: 0x2\r\n", "{}" + SMUGGLED));
        requests.put("an immense length", post("Content-Length: 99999999999999999999\r\n", "{}" + SMUGGLED));
        requests.put("no length at all", post("Content-Length:\r\n", SMUGGLED));
        requests.put("an unknown coding", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n" + SMUGGLED));
        requests.put(
                "chunked and then another", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n" + SMUGGLED));
        requests.put("chunked twice", post(chunked + chunked, "0\r\n\r\n" + SMUGGLED));
        requests.put("a space before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n" + SMUGGLED));
        requests.put("a folded header", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n" + SMUGGLED));
        requests.put("a chunk's size that is no number", post(chunked, "g\r\n{}\r\n0\r\n\r\n" + SMUGGLED));
        requests.put("a chunk's size with a sign", post(chunked, "-2\r\n{}\r\n0\r\n\r\n" + SMUGGLED));
        requests.put("an immense chunk", post(chunked, "ffffffffffffffff1\r\n{}\r\n0\r\n\r\n" + SMUGGLED));
        requests.put("a chunk that overflows an int", post(chunked, "100000002\r\n{}\r\n0\r\n\r\n" + SMUGGLED));
        requests.put("a chunk longer than its size", post(chunked, "2\r\n{}}}\r\n0\r\n\r\n" + SMUGGLED));
        requests.put("a carriage return in a header", "GET /healthz HTTP/1.1\r\n" + HOST + "X-A: b\rX-B: c\r\n\r\n");
        requests.put("a NUL in a header", "GET /healthz HTTP/1.1\r\n" + HOST + "X-A: b\0c\r\n\r\n");
        requests.put("a name that is none", "GET /healthz HTTP/1.1\r\n" + HOST + "X(A): b\r\n\r\n");
        requests.put("no host", "GET /healthz HTTP/1.1\r\n\r\n");
        requests.put("two hosts", "GET /healthz HTTP/1.1\r\n" + HOST + "Host: y\r\n\r\n");
        requests.put("a host that is none", "GET /healthz HTTP/1.1\r\nHost: x/y z\r\n\r\n");
        requests.put("a version to come", "GET /healthz HTTP/9.9\r\n" + HOST + "\r\n");
        requests.put("no version", "GET /healthz\r\n\r\n");
        requests.put("a method in small letters", "get /healthz HTTP/1.1\r\n" + HOST + "Connection: close\r\n\r\n");
        requests.put(
                "a TLS greeting",
                "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003" + "x".repeat(50) + "\r\n\r\n");
        requests.put("HTTP/2 at once", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        return requests.entrySet().stream()
                .map(row -> DynamicTest.dynamicTest(row.getKey(), () -> {
                    String answer = exchange(row.getValue());
                    assertThat(answer).doesNotContain("HTTP/1.1 2", "\"ok\"");
                    if (!answer.isEmpty()) {
                        requireEnvelope(answer);
                    }
                }));
    }

    @TestFactory
    Stream<DynamicTest> whatIsTooLargeOrNobodysIsAnsweredInTheEnvelope() {
        Map<String, String> requests = new LinkedHashMap<>();
        String end = "Connection: close\r\n\r\n";
        String get = "GET /healthz HTTP/1.1\r\n" + HOST;
        requests.put("431 a header bomb", get + "X-A: " + "b".repeat(1 << 20) + "\r\n" + end);
        requests.put("431 too many headers", get + "X-A: b\r\n".repeat(100_000) + end);
        requests.put("414 a giant address", "GET /" + "a".repeat(1 << 20) + " HTTP/1.1\r\n" + HOST + end);
        requests.put("414 a giant query", "GET /v1/sandboxes?" + "a=b&".repeat(100_000) + " HTTP/1.1\r\n" + HOST + end);
        requests.put("400 a path with a backslash", "GET /v1\\sandboxes HTTP/1.1\r\n" + HOST + end);
        requests.put("404 everything", "OPTIONS * HTTP/1.1\r\n" + HOST + end);
        requests.put("4 a tunnel", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n" + end);
        requests.put(
                "404 another server's address",
                "GET http://example.org/nothing HTTP/1.1\r\nHost: example.org\r\n" + end);
        requests.put("405 a trace", "TRACE /v1/sandboxes HTTP/1.1\r\n" + HOST + end);
        requests.put("405 a method nobody knows", "BREW /v1/sandboxes HTTP/1.1\r\n" + HOST + end);
        requests.put("400 an encoded slash", "GET /v1/sandboxes%2fx HTTP/1.1\r\n" + HOST + end);
        requests.put("400 encoded dots", "GET /v1/%2e%2e/healthz HTTP/1.1\r\n" + HOST + end);
        requests.put("400 a broken encoding", "GET /v1/sandboxes/%zz HTTP/1.1\r\n" + HOST + end);
        requests.put("400 bytes that are no UTF-8", "GET /v1/sandboxes/%ff%fe HTTP/1.1\r\n" + HOST + end);
        requests.put("400 a broken encoding in a query", "GET /v1/sandboxes?limit=%zz HTTP/1.1\r\n" + HOST + key + end);
        requests.put("400 no UTF-8 in a query", "GET /v1/sandboxes?cursor=%ff HTTP/1.1\r\n" + HOST + key + end);
        requests.put(
                "413 a length", "POST /v1/sandboxes HTTP/1.1\r\n" + HOST + key + "Content-Length: 1048577\r\n" + end);
        requests.put(
                "413 chunks",
                "POST /v1/sandboxes HTTP/1.1\r\n" + HOST + key + "Transfer-Encoding: chunked\r\n" + end
                        + ("10000\r\n" + " ".repeat(0x10000) + "\r\n").repeat(17) + "0\r\n\r\n");
        requests.put(
                "415 another type",
                "POST /v1/sandboxes HTTP/1.1\r\n" + HOST + key + "Content-Type: text/xml\r\nContent-Length: 2\r\n" + end
                        + "{}");
        requests.put(
                "400 no UTF-8 in a body",
                "POST /v1/sandboxes HTTP/1.1\r\n" + HOST + key + "Content-Length: 16\r\n" + end
                        + "{\"template\":\"\u00ff\"}");
        requests.put(
                "400 JSON that is deep",
                "POST /v1/sandboxes HTTP/1.1\r\n" + HOST + key + "Content-Length: 100000\r\n" + end + "{\"x\":"
                        + "[".repeat(99_995));
        requests.put(
                "400 a number without an end",
                "POST /v1/sandboxes HTTP/1.1\r\n" + HOST + key + "Content-Length: 100000\r\n" + end + "{\"vcpus\":"
                        + "9".repeat(99_991));
        requests.put(
                "400 half a body",
                "POST /v1/sandboxes HTTP/1.1\r\n" + HOST + key + "Content-Length: 1\r\n" + end + "{");
        return requests.entrySet().stream()
                .map(row -> DynamicTest.dynamicTest(row.getKey(), () -> {
                    String answer = exchange(row.getValue());
                    requireEnvelope(answer);
                    assertThat(answer).startsWith("HTTP/1.1 " + row.getKey().split(" ", 2)[0]);
                }));
    }

    @Test
    void manyHeadersThatFitAreTaken() {
        assertThat(exchange("GET /healthz HTTP/1.1\r\n" + HOST + "A: b\r\n".repeat(2000) + "Connection: close\r\n\r\n"))
                .startsWith("HTTP/1.1 200");
    }

    @Test
    void aLinkMayBeAsLongAsTheQueryItRepeats() {
        StringBuilder metadata = new StringBuilder();
        StringBuilder query = new StringBuilder("/v1/sandboxes?limit=1");
        for (int i = 0; i < 4; i++) {
            String value = "/".repeat(1000); // three bytes each, encoded
            metadata.append(i == 0 ? "" : ",")
                    .append("\"k")
                    .append(i)
                    .append("\":\"")
                    .append(value)
                    .append('"');
            query.append("&metadata.k").append(i).append('=').append(value);
        }
        for (int i = 0; i < 2; i++) {
            assertThat(api.post("/v1/sandboxes", "{\"metadata\":{" + metadata + "}}")
                            .status())
                    .isEqualTo(201);
        }
        Api.Answer page = api.get(query.toString());
        assertThat(page.status()).isEqualTo(200);
        assertThat(page.header("Link")).hasSizeGreaterThan(12_000).contains("rel=\"next\"");
    }

    private static void requireEnvelope(String answer) {
        assertThat(answer)
                .matches("(?s)HTTP/1\\.1 (4\\d\\d|501|505) .*")
                .containsIgnoringCase("\r\nX-Request-Id: ")
                .containsIgnoringCase("\r\nContent-Type: application/json\r\n")
                .containsPattern("\r\n\r\n\\{\"error\":\\{\"code\":\"[a-z_]+\",\"message\":\"[^\"]+")
                .doesNotContainIgnoringCase("exception", "jetty", ".java", "dev.sandglass");
    }
}
