package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.TestPlane;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@SuppressWarnings("StringConcatToTextBlock") // lines end with CRLF
final class FileTest {
    private TestPlane test;
    private Api api;
    private String sandbox;
    private String files;
    private Path inside;

    @BeforeAll
    void start() {
        test = TestPlane.start();
        api = test.signUp().withKey();
        sandbox = api.post("/v1/sandboxes", "{}").text("id");
        files = "/v1/sandboxes/" + sandbox + "/files";
        inside = test.agent.directory(sandbox);
    }

    @AfterAll
    void stop() {
        test.close();
    }

    @AfterEach
    void asBefore() {
        test.agent.diskBytes = Long.MAX_VALUE;
        test.agent.breakAfter = Long.MAX_VALUE;
        test.agent.written.set(0);
        test.agent.sent.set(0);
    }

    /** Each is name, file name or empty, content. */
    private static String multipart(List<List<String>> parts) {
        StringBuilder body = new StringBuilder();
        for (List<String> part : parts) {
            body.append("--B\r\nContent-Disposition: form-data; name=\"")
                    .append(part.get(0))
                    .append('"');
            if (!part.get(1).isEmpty()) {
                body.append("; filename=\"").append(part.get(1)).append('"');
            }
            body.append("\r\n\r\n").append(part.get(2)).append("\r\n");
        }
        return body.append("--B--\r\n").toString();
    }

    private Api.Answer postMultipart(String path, String body) {
        return api.with("Content-Type", "multipart/form-data; boundary=B")
                .send("POST", files + path, BodyPublishers.ofString(body));
    }

    private Api.Answer read(String path) {
        return api.post(files + "/read", "{\"path\":\"" + path + "\"}");
    }

    @Test
    void pathAndFileMayComeInAnyOrder() throws IOException {
        assertThat(postMultipart(
                                "/write",
                                multipart(List.of(List.of("file", "x", "fïrst"), List.of("path", "", "/a/b/one.txt"))))
                        .status())
                .isEqualTo(204);
        assertThat(inside.resolve("a/b/one.txt")).hasContent("fïrst");
        assertThat(postMultipart(
                                "/write",
                                multipart(List.of(
                                        List.of("path", "", "/many"),
                                        List.of("file", "1.txt", "1"),
                                        List.of("file", "2.txt", ""))))
                        .status())
                .isEqualTo(204);
        assertThat(inside.resolve("many/1.txt")).hasContent("1");
        assertThat(inside.resolve("many/2.txt")).isEmptyFile();
        assertThat(Path.of(test.environment.get("SANDGLASS_HOME"), "uploads")).isEmptyDirectory();
    }

    @Test
    void badUploadsAreRefusedAndWriteNothing() {
        for (String path : List.of("/write", "/stream/write")) {
            for (String body : List.of(
                    multipart(List.of()),
                    multipart(List.of(List.of("path", "", "/bad"))),
                    multipart(List.of(List.of("file", "x", "y"))),
                    multipart(List.of(List.of("path", "", "relative"), List.of("file", "x", "y"))),
                    multipart(List.of(List.of("path", "", "/bad\0"), List.of("file", "x", "y"))),
                    multipart(List.of(
                            List.of("path", "", "/bad"), List.of("path", "", "/bad"), List.of("file", "x", "y"))),
                    "--B\r\nContent-Disposition: form-data; name=\"path\"\r\n\r\n/bad\r\n--B\r\nContent-Disposition:"
                            + " form-data; name=\"file\"\r\n\r\nhalf",
                    "nonsense")) {
                Api.Answer answer = postMultipart(path, body);
                assertThat(answer.status()).as(path + " " + body + answer).isEqualTo(400);
                assertThat(answer.code()).isEqualTo("invalid_request");
            }
            assertThat(api.post(files + path, "{}").status()).isEqualTo(400);
        }
        assertThat(postMultipart(
                                "/write",
                                multipart(List.of(
                                        List.of("path", "", "/bad"),
                                        List.of("file", "../up", "y"),
                                        List.of("file", "x", "y"))))
                        .status())
                .isEqualTo(400);
        assertThat(inside.resolve("bad")).doesNotExist();
    }

    @Test
    void aFileBeforeItsPathWritesNothing() {
        Api.Answer answer = postMultipart(
                "/stream/write", multipart(List.of(List.of("file", "x", "content"), List.of("path", "", "/early"))));
        assertThat(answer.status()).isEqualTo(400);
        assertThat(inside.resolve("early")).doesNotExist();
    }

    @Test
    void aSmallUploadHasALimitAndAStreamHasNone() throws Exception {
        String head = "--B\r\nContent-Disposition: form-data; name=\"path\"\r\n\r\n/large\r\n"
                + "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n";
        long size = (100L << 20) + 1;
        BodyPublisher body = BodyPublishers.concat(
                BodyPublishers.ofString(head), zeros(size), BodyPublishers.ofString("\r\n--B--\r\n"));
        Api withType = api.with("Content-Type", "multipart/form-data; boundary=B");
        Api.Answer refused = withType.send("POST", files + "/write", body);
        assertThat(refused.status()).isEqualTo(413);
        assertThat(refused.code()).isEqualTo("too_large");
        assertThat(inside.resolve("large")).doesNotExist();
        assertThat(withType.send("POST", files + "/stream/write", body).status())
                .isEqualTo(204);
        assertThat(Files.size(inside.resolve("large"))).isEqualTo(size);
        Files.delete(inside.resolve("large"));
    }

    private static BodyPublisher zeros(long size) {
        return BodyPublishers.ofInputStream(() -> new InputStream() {
            private long left = size;

            @Override
            public int read() {
                return left-- > 0 ? 0 : -1;
            }

            @Override
            public int read(byte[] target, int offset, int length) {
                int n = (int) Math.min(left, length);
                left -= n;
                return n == 0 ? -1 : n;
            }
        });
    }

    @Test
    void aRawBodyIsPutInPlaceWithItsMode() throws IOException {
        assertThat(api.send("PUT", files + "/stream?path=/raw/%C3%A4.bin", BodyPublishers.ofByteArray(new byte[] {1, 2
                        }))
                        .status())
                .isEqualTo(204);
        assertThat(inside.resolve("raw/ä.bin")).hasBinaryContent(new byte[] {1, 2});
        for (String query : List.of("", "?path=", "?path=x", "?path=/x&mode=99", "?path=%zz")) {
            assertThat(api.send(
                                    "PUT",
                                    files + "/stream" + query.replace("%zz", "%25zz%00"),
                                    BodyPublishers.ofString("x"))
                            .status())
                    .as(query)
                    .isEqualTo(400);
        }
    }

    @Test
    void aPathThatIsNoTextIsNotReplacedByAnother() throws IOException {
        byte[] body = multipart(List.of(List.of("path", "", "/b\u00ffd"), List.of("file", "x", "y")))
                .getBytes(StandardCharsets.ISO_8859_1);
        for (String path : List.of("/write", "/stream/write")) {
            assertThat(api.with("Content-Type", "multipart/form-data; boundary=B")
                            .send("POST", files + path, BodyPublishers.ofByteArray(body))
                            .status())
                    .isEqualTo(400);
        }
        try (var entries = Files.list(inside)) {
            assertThat(entries.map(Path::toString)).noneMatch(name -> name.contains("\uFFFD"));
        }
    }

    @Test
    void aFewBytesGoOnTheirWayAtOnce() throws Exception {
        try (Socket socket = new Socket(api.url().getHost(), api.url().getPort())) {
            String request = "PUT " + files + "/stream?path=/slowly HTTP/1.1\r\nHost: x\r\nX-API-Key: " + keyOf()
                    + "\r\nContent-Length: 1000000\r\n\r\nabc";
            socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            socket.getOutputStream().flush();
            Awaitility.await()
                    .untilAsserted(() -> assertThat(test.agent.written.get()).isEqualTo(3));
        }
        Awaitility.await().untilAsserted(() -> assertThat(leftovers()).isZero());
        assertThat(inside.resolve("slowly")).doesNotExist();
    }

    @Test
    void aBrokenUploadLeavesTheOldFileWhole() throws Exception {
        Files.writeString(inside.resolve("precious"), "old");
        try (Socket socket = new Socket(api.url().getHost(), api.url().getPort())) {
            String request = "PUT " + files + "/stream?path=/precious HTTP/1.1\r\nHost: x\r\nX-API-Key: " + keyOf()
                    + "\r\nContent-Length: 1000000\r\n\r\n" + "n".repeat(500_000);
            socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            socket.getOutputStream().flush();
            Awaitility.await().until(() -> test.agent.written.get() > 0);
        }
        Thread.sleep(200);
        assertThat(inside.resolve("precious")).hasContent("old");
        Awaitility.await().untilAsserted(() -> assertThat(leftovers()).isZero());
    }

    private long leftovers() throws IOException {
        try (var entries = Files.list(inside)) {
            return entries.filter(entry -> entry.getFileName().toString().startsWith(".upload"))
                    .count();
        }
    }

    private String keyOf() {
        return api.request("GET", "/", BodyPublishers.noBody())
                .headers()
                .firstValue("X-API-Key")
                .orElseThrow();
    }

    @Test
    void aFullDiskIs507AndLeavesTheOldFileWhole() throws IOException {
        Files.writeString(inside.resolve("kept"), "old");
        test.agent.diskBytes = 200_000;
        Api.Answer answer = api.send("PUT", files + "/stream?path=/kept", zeros(5_000_000));
        assertThat(answer.status()).as(answer.toString()).isEqualTo(507);
        assertThat(answer.code()).isEqualTo("disk_full");
        assertThat(inside.resolve("kept")).hasContent("old");
    }

    @Test
    void aFileIsRead() throws IOException {
        Files.writeString(inside.resolve("plain"), "hällo");
        Api.Answer answer = read("/plain");
        assertThat(answer.status()).isEqualTo(200);
        assertThat(answer.body()).isEqualTo("hällo");
        assertThat(answer.header("Content-Type")).isEqualTo("application/octet-stream");
        assertThat(answer.header("Content-Length")).isEqualTo("6");
        Files.writeString(inside.resolve("empty"), "");
        assertThat(read("/empty").status()).isEqualTo(200);
        assertThat(read("/missing").status()).isEqualTo(404);
        assertThat(read("/").status()).isEqualTo(400);
        for (String body : List.of("{}", "{\"path\":\"\"}", "{\"path\":\"relative\"}", "{\"path\":1}", "[]", "")) {
            for (String path : List.of("/read", "/stream/read", "/mkdir", "/move")) {
                assertThat(api.post(files + path, body).status())
                        .as(path + body)
                        .isEqualTo(400);
            }
        }
    }

    @Test
    void partsOfAFileAreRead() throws IOException {
        Files.writeString(inside.resolve("range"), "0123456789");
        Api.Answer part = api.with("Range", "bytes=2-4").post(files + "/stream/read", "{\"path\":\"/range\"}");
        assertThat(part.status()).isEqualTo(206);
        assertThat(part.body()).isEqualTo("234");
        assertThat(part.header("Content-Range")).isEqualTo("bytes 2-4/10");
        assertThat(api.with("Range", "bytes=-3")
                        .post(files + "/stream/read", "{\"path\":\"/range\"}")
                        .body())
                .isEqualTo("789");
        Api.Answer outside = api.with("Range", "bytes=10-").post(files + "/stream/read", "{\"path\":\"/range\"}");
        assertThat(outside.status()).isEqualTo(416);
        assertThat(outside.header("Content-Range")).isEqualTo("bytes */10");
        Api.Answer bad = api.with("Range", "bytes=x").post(files + "/stream/read", "{\"path\":\"/range\"}");
        assertThat(bad.status()).isEqualTo(416);
        assertThat(bad.code()).isEqualTo("invalid_request");
        Api.Answer conditional = api.with("Range", "bytes=2-4")
                .with("If-Range", "\"of an answer we never gave\"")
                .post(files + "/stream/read", "{\"path\":\"/range\"}");
        assertThat(conditional.status()).isEqualTo(200);
        assertThat(api.with("Range", "bytes=2-4")
                        .post(files + "/read", "{\"path\":\"/range\"}")
                        .body())
                .as("only the stream knows ranges")
                .isEqualTo("0123456789");
        assertThat(api.post(files + "/stream/read", "{\"path\":\"/range\"}").body())
                .isEqualTo("0123456789");
    }

    @Test
    void anErrorAfterTheFirstByteBreaksTheConnection() throws IOException {
        Files.write(inside.resolve("breaking"), new byte[3_000_000]);
        test.agent.breakAfter = 500_000;
        assertThatThrownBy(() -> api.post(files + "/stream/read", "{\"path\":\"/breaking\"}"))
                .isInstanceOf(java.io.UncheckedIOException.class);
    }

    @Test
    void aSlowReaderHoldsTheFileBack() throws Exception {
        Files.write(inside.resolve("slow"), new byte[60_000_000]);
        HttpResponse<InputStream> response = Api.client()
                .send(
                        api.with("Content-Type", "application/json")
                                .request(
                                        "POST",
                                        files + "/stream/read",
                                        BodyPublishers.ofString("{\"path\":\"/slow\"}")),
                        BodyHandlers.ofInputStream());
        Thread.sleep(700);
        assertThat(test.agent.sent.get()).isLessThan(30_000_000);
        try (InputStream body = response.body()) {
            long read = IntStream.iterate(0, i -> i + 1)
                    .mapToLong(i -> skip(body))
                    .takeWhile(n -> n > 0)
                    .sum();
            assertThat(read).isEqualTo(60_000_000);
        }
    }

    private static long skip(InputStream in) {
        try {
            return in.readNBytes(1 << 20).length;
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    @Test
    void directoriesAreMadeListedMovedAndRemoved() throws IOException {
        assertThat(api.post(files + "/mkdir", "{\"path\":\"/d/e\"}").status()).isEqualTo(204);
        assertThat(api.post(files + "/mkdir", "{\"path\":\"/d/e\"}").status()).isEqualTo(204);
        Files.writeString(inside.resolve("d/f"), "abc");
        Files.createSymbolicLink(inside.resolve("d/link"), Path.of("f"));
        List<Map<String, Object>> entries = api.get(files + "?path=/d").list();
        assertThat(entries).extracting(entry -> entry.get("name")).containsExactly("e", "f", "link");
        assertThat(entries).extracting(entry -> entry.get("type")).containsExactly("directory", "file", "symlink");
        assertThat(entries.get(1)).containsEntry("size", 3).containsKeys("mode", "owner", "group", "modified_at");
        assertThat(entries.get(2)).containsEntry("symlink_target", "f");
        assertThat(api.post(files + "/move", "{\"from\":\"/d/f\",\"to\":\"/d/g\"}")
                        .status())
                .isEqualTo(204);
        assertThat(api.post(files + "/move", "{\"from\":\"/d/f\",\"to\":\"/d/h\"}")
                        .status())
                .isEqualTo(404);
        Api.Answer taken = api.post(files + "/move", "{\"from\":\"/d/g\",\"to\":\"/d/e\"}");
        assertThat(taken.status()).isEqualTo(409);
        assertThat(taken.code()).isEqualTo("already_exists");
        assertThat(api.delete(files + "?path=/d").status()).isEqualTo(204);
        assertThat(api.delete(files + "?path=/d").status()).isEqualTo(404);
        assertThat(api.delete(files).status()).isEqualTo(400);
        assertThat(api.get(files + "?path=/d").status()).isEqualTo(404);
        assertThat(api.get(files).status()).isEqualTo(400);
        assertThat(Objects.requireNonNull(inside)).exists();
    }

    @Test
    void transfersCountAsActivity() {
        String before = api.get("/v1/sandboxes/" + sandbox).text("last_active_at");
        api.send("PUT", files + "/stream?path=/active", BodyPublishers.ofString("x"));
        Awaitility.await()
                .atMost(Duration.ofSeconds(5))
                .untilAsserted(
                        () -> assertThat(api.get("/v1/sandboxes/" + sandbox).text("last_active_at"))
                                .isGreaterThan(before));
    }
}
