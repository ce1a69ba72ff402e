package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.RawHttp;
import dev.sandglass.control.testing.RawWebSocket;
import dev.sandglass.control.testing.TestPlane;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import java.util.zip.Deflater;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;

/** Exec streams whose other end does what it should not. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class StreamAbuseTest {
    private static final int STREAMS_MAX = 20;
    private static final int OPENS = Integer.getInteger("sandglass.test.stream.opens", 120);
    private static final Duration PATIENCE = Duration.ofSeconds(40);
    private static final long HEAP_GROWTH_MAX = 64L << 20;

    private TestPlane test;
    private TestPlane.Person person;
    private String path;
    private String key;

    @BeforeAll
    void start() {
        test = TestPlane.start(Map.of(
                "SANDGLASS_TEAM_STREAMS_MAX", Integer.toString(STREAMS_MAX),
                "SANDGLASS_HTTP_IDLE_SECONDS", "3",
                "CP_PUBLIC_URL", "https://sandbox.example.org",
                "SANDGLASS_ALLOWED_ORIGINS", "https://app.example.org"));
        person = test.signUp();
        key = keyOf(person);
        path = path(person);
    }

    @AfterAll
    void stop() {
        test.close();
    }

    /** Whatever was done to a stream, the server and other streams go on. */
    @AfterEach
    void itStillWorks() throws IOException {
        try (RawWebSocket stream = open()) {
            stream.text("{\"type\":\"start\",\"cmd\":\"true\"}");
            assertThat(stream.closeStatus(PATIENCE)).isEqualTo(1000);
        }
    }

    private static String keyOf(TestPlane.Person someone) {
        return "X-API-Key: " + someone.withToken().post("/v1/api-keys").text("key") + "\r\n";
    }

    private static String path(TestPlane.Person someone) {
        return "/v1/sandboxes/" + someone.withKey().post("/v1/sandboxes", "{}").text("id") + "/exec/stream";
    }

    /** Opens one, when those of tests before are gone. */
    private RawWebSocket open() {
        return open(key);
    }

    private RawWebSocket open(String headers) {
        List<RawWebSocket> opened = new ArrayList<>();
        Awaitility.await().atMost(PATIENCE).until(() -> {
            RawWebSocket socket = new RawWebSocket(test.plane.url(), path, headers);
            if (socket.isOpen()) {
                opened.add(socket);
            } else {
                socket.close();
            }
            return socket.isOpen();
        });
        return opened.getFirst();
    }

    private RawWebSocket started(String command) throws IOException {
        return open().text("{\"type\":\"start\",\"cmd\":\"sh\",\"args\":[\"-c\",\"" + command + "\"]}");
    }

    private static long heap() {
        System.gc();
        Runtime runtime = Runtime.getRuntime();
        return runtime.totalMemory() - runtime.freeMemory();
    }

    // ---- frames

    private static byte[] joined(byte[]... parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }

    private static byte[] of(int first, String content) {
        return RawWebSocket.frame(first, true, content.getBytes(StandardCharsets.ISO_8859_1));
    }

    @TestFactory
    Stream<DynamicTest> whatIsNoFrameOrNoMessageEndsTheStream() {
        String stop = "{\"type\":\"stop\"}";
        byte[] fragment = "x".repeat(60_000).getBytes(StandardCharsets.UTF_8);
        byte[] random = new byte[100_000];
        new Random(3).nextBytes(random);
        Map<String, byte[]> frames = new LinkedHashMap<>();
        frames.put("1002 without a mask", RawWebSocket.frame(0x81, false, stop.getBytes(StandardCharsets.UTF_8)));
        frames.put("1002 a reserved bit", of(0xc1, stop));
        frames.put("1002 a reserved opcode", of(0x83, stop));
        frames.put("1002 a reserved control opcode", of(0x8b, ""));
        frames.put("1002 a continuation of nothing", of(0x80, stop));
        frames.put("1002 a message within a message", joined(of(0x01, "{"), of(0x81, stop)));
        frames.put("1002 a ping in fragments", of(0x09, "x"));
        frames.put("1002 a large ping", of(0x89, "x".repeat(126)));
        frames.put("1002 a close of one byte", of(0x88, "x"));
        frames.put("1002 a close status that is none", of(0x88, "\u0000\u0001"));
        frames.put("1007 bytes that are no text", of(0x81, "\u00ff\u00fe"));
        frames.put("1007 half a character", of(0x81, "\u00e2\u0082"));
        frames.put("1008 bytes", of(0x82, "x"));
        frames.put("1009 a large frame", RawWebSocket.head(0x81, true, 1L << 40));
        frames.put("1009 a frame of a negative length", RawWebSocket.head(0x81, true, -1));
        frames.put(
                "1009 a large message in fragments",
                joined(
                        RawWebSocket.frame(0x01, true, fragment),
                        RawWebSocket.frame(0x00, true, fragment),
                        RawWebSocket.frame(0x00, true, fragment),
                        RawWebSocket.frame(0x00, true, fragment),
                        RawWebSocket.frame(0x00, true, fragment)));
        frames.put("1000 a message that is no JSON", of(0x81, "garbage"));
        frames.put("1000 a message of no type", of(0x81, "{}"));
        frames.put("1000 a second start", of(0x81, "{\"type\":\"start\",\"cmd\":\"true\"}"));
        frames.put("1000 JSON that is deep", of(0x81, "[".repeat(200_000)));
        frames.put("garbage", random);
        frames.put("HTTP again", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".getBytes(StandardCharsets.UTF_8));
        return frames.entrySet().stream()
                .map(row -> DynamicTest.dynamicTest(row.getKey(), () -> {
                    try (RawWebSocket stream = started("sleep 30")) {
                        stream.trySend(row.getValue());
                        int status = stream.closeStatus(PATIENCE);
                        String expected = row.getKey().split(" ", 2)[0];
                        if (expected.equals("1009")) {
                            assertThat(status)
                                    .isIn(1009, 1002, -1); // the connection may be gone before the word is out
                        } else if (expected.startsWith("1")) {
                            assertThat(status).isIn(Integer.parseInt(expected), -1);
                        }
                    }
                }));
    }

    @Test
    void aMessageThatGrowsWhenItIsUnpackedIsBounded() throws IOException {
        try (RawWebSocket stream = open(key + "Sec-WebSocket-Extensions: permessage-deflate\r\n")) {
            if (stream.handshake().contains("permessage-deflate")) {
                long before = heap();
                stream.trySend(RawWebSocket.frame(0xc1, true, deflated(256 << 20)));
                assertThat(stream.closeStatus(PATIENCE)).isIn(1009, -1);
                assertThat(heap() - before).isLessThan(HEAP_GROWTH_MAX);
            }
        }
    }

    /** So many spaces. */
    private static byte[] deflated(int length) {
        Deflater deflater = new Deflater(Deflater.BEST_COMPRESSION, true);
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        byte[] spaces = " ".repeat(1 << 20).getBytes(StandardCharsets.UTF_8);
        byte[] buffer = new byte[1 << 16];
        for (int sent = 0; sent < length; sent += spaces.length) {
            deflater.setInput(spaces);
            for (int n = deflater.deflate(buffer); n > 0; n = deflater.deflate(buffer)) {
                packed.write(buffer, 0, n);
            }
        }
        for (int n = deflater.deflate(buffer, 0, buffer.length, Deflater.SYNC_FLUSH);
                n > 0;
                n = deflater.deflate(buffer, 0, buffer.length, Deflater.SYNC_FLUSH)) {
            packed.write(buffer, 0, n);
        }
        deflater.end();
        byte[] all = packed.toByteArray();
        return java.util.Arrays.copyOf(all, all.length - 4); // RFC 7692, 7.2.1
    }

    // ---- floods

    /** Sends the same again and again until it is not taken any more or all is sent; how much of it. */
    private static long flood(RawWebSocket stream, byte[] frames, long bytesMax) throws InterruptedException {
        AtomicLong sent = new AtomicLong();
        Thread sender = Thread.ofPlatform().start(() -> {
            while (sent.get() < bytesMax && stream.trySend(frames)) {
                sent.addAndGet(frames.length);
            }
        });
        long before = -1;
        while (sender.isAlive() && sent.get() != before) { // nothing is taken for a while: it is held up
            before = sent.get();
            sender.join(1000);
        }
        return sent.get();
    }

    private static byte[] times(int count, byte[] frame) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (int i = 0; i < count; i++) {
            all.writeBytes(frame);
        }
        return all.toByteArray();
    }

    @Test
    void aFloodOfPingsEndsTheStream() throws Exception {
        long before = heap();
        try (RawWebSocket stream = started("sleep 30")) {
            flood(stream, times(1000, of(0x89, "x".repeat(125))), 50L << 20);
            assertThat(stream.closeStatus(PATIENCE)).isIn(1008, -1);
        }
        try (RawWebSocket stream = started("sleep 30")) {
            flood(stream, times(1000, of(0x8a, "x".repeat(125))), 50L << 20);
            assertThat(stream.closeStatus(PATIENCE)).isIn(1008, -1);
        }
        assertThat(heap() - before).isLessThan(HEAP_GROWTH_MAX);
    }

    @Test
    void anEndlessMessageOfNothingTakesNoMemory() throws Exception {
        long before = heap();
        try (RawWebSocket stream = started("sleep 30")) {
            stream.trySend(of(0x01, "{"));
            flood(stream, times(10_000, of(0x00, "")), 6L << 20);
            assertThat(heap() - before).isLessThan(HEAP_GROWTH_MAX);
        }
    }

    @Test
    void inputThatNobodyReadsIsNotTakenIn() throws Exception {
        long before = heap();
        byte[] message = of(0x81, "{\"type\":\"stdin\",\"data\":\"" + "x".repeat(50_000) + "\"}");
        try (RawWebSocket stream = started("sleep 30")) {
            long taken = flood(stream, message, 256L << 20);
            assertThat(taken).isLessThan(64L << 20);
            assertThat(heap() - before).isLessThan(HEAP_GROWTH_MAX);
        }
    }

    @Test
    void aFloodOfStopsAndResizesIsRead() throws Exception {
        long before = heap();
        try (RawWebSocket stream = started("trap '' TERM; sleep 30")) {
            flood(
                    stream,
                    times(
                            200,
                            joined(
                                    of(0x81, "{\"type\":\"resize\",\"cols\":80,\"rows\":24}"),
                                    of(0x81, "{\"type\":\"stop\"}"))),
                    200_000);
            assertThat(stream.closeStatus(PATIENCE)).isIn(1000, -1);
        }
        assertThat(heap() - before).isLessThan(HEAP_GROWTH_MAX);
    }

    // ---- how many

    @Test
    void aTeamHasSoManyStreamsAndNoMore() throws IOException {
        TestPlane.Person busy = test.signUp();
        String theirs = path(busy);
        String theirKey = keyOf(busy);
        List<RawWebSocket> open = new ArrayList<>();
        try {
            for (int i = 0; i < STREAMS_MAX; i++) {
                open.add(new RawWebSocket(test.plane.url(), theirs, theirKey)
                        .text("{\"type\":\"start\",\"cmd\":\"sleep\",\"args\":[\"30\"]}"));
                assertThat(open.getLast().isOpen()).isTrue();
            }
            awaitAnother(theirs, theirKey, "HTTP/1.1 429");
            try (RawWebSocket refused = new RawWebSocket(test.plane.url(), theirs, theirKey)) {
                assertThat(refused.handshake()).contains("\"code\":\"quota_exceeded\"", STREAMS_MAX + " exec streams");
            }
            open().close(); // somebody else's
            open.removeFirst().close();
            awaitAnother(theirs, theirKey, "HTTP/1.1 101");
        } finally {
            open.forEach(RawWebSocket::close);
        }
    }

    private void awaitAnother(String theirs, String theirKey, String answer) {
        Awaitility.await().atMost(PATIENCE).until(() -> {
            try (RawWebSocket another = new RawWebSocket(test.plane.url(), theirs, theirKey)) {
                return another.handshake().startsWith(answer);
            }
        });
    }

    @Test
    void streamsThatComeAndGoLeaveNothing() throws IOException {
        long before = heap();
        int refused = 0;
        for (int i = 0; i < OPENS; i++) {
            try (RawWebSocket stream = new RawWebSocket(test.plane.url(), path, key)) {
                refused += stream.isOpen() ? 0 : 1;
                if (i % 3 == 0) {
                    stream.trySend(of(0x81, "{\"type\":\"start\",\"cmd\":\"true\"}"));
                }
            }
        }
        assertThat(refused).isLessThan(OPENS);
        assertThat(heap() - before).isLessThan(HEAP_GROWTH_MAX);
        List<RawWebSocket> all = new ArrayList<>();
        try {
            for (int i = 0; i < STREAMS_MAX; i++) { // the places of all of them are free again
                all.add(open());
            }
        } finally {
            all.forEach(RawWebSocket::close);
        }
    }

    @Test
    void aStreamThatSaysNothingIsEnded() {
        try (RawWebSocket silent = open()) {
            assertThat(silent.closeStatus(PATIENCE)).isIn(1008, -1);
        }
    }

    // ---- before it is open

    @TestFactory
    Stream<DynamicTest> whatIsNoHandshakeOpensNothing() {
        String websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        String version = "Sec-WebSocket-Version: 13\r\n";
        String nonce = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
        Map<String, String> requests = new LinkedHashMap<>();
        requests.put("no upgrade", "GET %s HTTP/1.1\r\nHost: x\r\n" + version + nonce);
        requests.put("no key", "GET %s HTTP/1.1\r\nHost: x\r\n" + websocket + version);
        requests.put("no version", "GET %s HTTP/1.1\r\nHost: x\r\n" + websocket + nonce);
        requests.put(
                "an old version",
                "GET %s HTTP/1.1\r\nHost: x\r\n" + websocket + nonce + "Sec-WebSocket-Version: 7\r\n");
        requests.put("HTTP/1.0", "GET %s HTTP/1.0\r\nHost: x\r\n" + websocket + version + nonce);
        requests.put(
                "another method", "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n" + websocket + version + nonce);
        requests.put(
                "another protocol",
                "GET %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" + version + nonce);
        return requests.entrySet().stream()
                .map(row -> DynamicTest.dynamicTest(row.getKey(), () -> {
                    for (int i = 0; i <= STREAMS_MAX; i++) { // and takes no place
                        try (RawHttp http = new RawHttp(test.plane.url())) {
                            http.send(String.format(row.getValue(), path) + key + "\r\n");
                            assertThat(http.answer()).startsWith("HTTP/1.1 4").contains("{\"error\":{\"code\":");
                        }
                    }
                }));
    }

    @Test
    void onlyPagesOfKnownOriginsMayOpenOne() throws IOException {
        Map<String, Boolean> origins = new LinkedHashMap<>();
        origins.put("https://sandbox.example.org", true);
        origins.put("https://app.example.org", true);
        origins.put("http://sandbox.example.org", false);
        origins.put("https://sandbox.example.org:444", false);
        origins.put("https://sandbox.example.org.evil.example", false);
        origins.put("https://evil.example/https://app.example.org", false);
        origins.put("https://evilapp.example.org", false);
        origins.put("https://app.example.org@evil.example", false);
        origins.put("HTTPS://APP.EXAMPLE.ORG", false);
        origins.put("null", false);
        origins.put("file://", false);
        origins.put("http://127.0.0.1:" + test.plane.url().getPort(), false);
        for (Map.Entry<String, Boolean> origin : origins.entrySet()) {
            for (String credential : List.of(key, "Sec-WebSocket-Protocol: sandglass.v1, " + person.token() + "\r\n")) {
                try (RawWebSocket stream =
                        new RawWebSocket(test.plane.url(), path, credential + "Origin: " + origin.getKey() + "\r\n")) {
                    assertThat(stream.isOpen()).as(origin.getKey()).isEqualTo(origin.getValue());
                    if (!origin.getValue()) {
                        assertThat(stream.handshake())
                                .startsWith("HTTP/1.1 403")
                                .contains("\"forbidden\"");
                    }
                }
            }
        }
        Api.Answer plain = person.withKey().get(path);
        assertThat(plain.status()).isEqualTo(400);
    }
}
