package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.acceptance.Api.Answer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;

/** Files of one sandbox. */
@Order(12)
@ExtendWith(Shared.class)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@SuppressWarnings("NullAway.Init")
class FilesTest {
    private Sandbox sandbox;
    private Api api;
    private String files;

    @BeforeAll
    void create(Installation server) {
        api = server.api();
        sandbox = api.create();
        files = sandbox.path() + "/files";
    }

    @AfterAll
    void delete() {
        sandbox.delete();
    }

    private static byte[] random(int length) {
        byte[] bytes = new byte[length];
        new Random(length).nextBytes(bytes);
        return bytes;
    }

    private Answer put(String path, byte[] content) {
        return api.put(files + "/stream?path=" + Api.encoded(path), content);
    }

    private byte[] content(String path) {
        return api.post(files + "/stream/read", Map.of("path", path))
                .require(200)
                .bytes();
    }

    private Answer form(String endpoint, String... parts) {
        String boundary = "----boundary";
        StringBuilder body = new StringBuilder();
        for (String part : parts) {
            body.append("--")
                    .append(boundary)
                    .append("\r\nContent-Disposition: form-data; ")
                    .append(part)
                    .append("\r\n");
        }
        body.append("--").append(boundary).append("--\r\n");
        return api.call(
                "POST",
                files + endpoint,
                BodyPublishers.ofString(body.toString()),
                "multipart/form-data; boundary=" + boundary);
    }

    private static String field(String name, String value) {
        return "name=\"" + name + "\"\r\n\r\n" + value;
    }

    private static String file(String name, String value) {
        return "name=\"file\"; filename=\"" + name + "\"\r\nContent-Type: text/plain\r\n\r\n" + value;
    }

    @Test
    void whatIsWrittenIsReadAndParentsAreMade() {
        byte[] bytes = random(300_000);
        put("/work/deep/down/ü name.bin", bytes).require(204);
        Answer read = api.post(files + "/read", Map.of("path", "/work/deep/down/ü name.bin"))
                .require(200);
        assertThat(read.bytes()).isEqualTo(bytes);
        assertThat(read.header("Content-Type")).startsWith("application/octet-stream");
        assertThat(sandbox.sh("stat -c %s '/work/deep/down/ü name.bin'").require())
                .isEqualTo("300000");
    }

    @Test
    void aFormWritesAFileWhateverTheOrderOfItsParts() {
        form("/write", field("path", "/tmp/form/a.txt"), file("a.txt", "one")).require(204);
        assertThat(content("/tmp/form/a.txt")).asString().isEqualTo("one");
        form("/write", file("b.txt", "two"), field("path", "/tmp/form/b.txt")).require(204);
        assertThat(content("/tmp/form/b.txt")).asString().isEqualTo("two");
    }

    @Test
    void aFormWithoutAPartIsRefused() {
        assertThat(form("/write", field("path", "/tmp/x")).status()).isEqualTo(400);
        assertThat(form("/write", file("x", "x")).status()).isEqualTo(400);
        assertThat(api.post(files + "/write", Map.of("path", "/tmp/x")).status())
                .isIn(400, 415);
    }

    @Test
    void aStreamedFormNeedsThePathFirst() {
        form("/stream/write", field("path", "/tmp/streamed"), file("x", "new")).require(204);
        assertThat(content("/tmp/streamed")).asString().isEqualTo("new");
        assertThat(form("/stream/write", file("x", "newer"), field("path", "/tmp/streamed"))
                        .status())
                .isEqualTo(400);
        assertThat(content("/tmp/streamed")).asString().isEqualTo("new");
    }

    @Test
    void aRangeIsAPart() throws Exception {
        byte[] bytes = random(100_000);
        put("/tmp/range", bytes).require(204);
        HttpRequest request = api.request(files + "/stream/read")
                .header("Content-Type", "application/json")
                .header("Range", "bytes=1000-1999")
                .POST(BodyPublishers.ofString(Json.write(Map.of("path", "/tmp/range"))))
                .build();
        HttpResponse<byte[]> part = api.http().send(request, BodyHandlers.ofByteArray());
        assertThat(part.statusCode()).isEqualTo(206);
        assertThat(part.body()).isEqualTo(Arrays.copyOfRange(bytes, 1000, 2000));
        assertThat(part.headers().firstValue("Content-Range")).hasValue("bytes 1000-1999/100000");
        Answer whole = api.post(files + "/stream/read", Map.of("path", "/tmp/range"));
        assertThat(whole.header("Content-Length")).isEqualTo("100000");
    }

    private HttpResponse<byte[]> range(String path, String range) throws Exception {
        HttpRequest request = api.request(files + "/stream/read")
                .header("Content-Type", "application/json")
                .header("Range", range)
                .POST(BodyPublishers.ofString(Json.write(Map.of("path", path))))
                .build();
        return api.http().send(request, BodyHandlers.ofByteArray());
    }

    @Test
    void everyFormOfRangeMeansWhatItSays() throws Exception {
        put("/tmp/ranges", "0123456789".getBytes(StandardCharsets.UTF_8)).require(204);
        Map<String, String> wanted = Map.of(
                "bytes=0-0",
                "0",
                "bytes=3-",
                "3456789",
                "bytes=-2",
                "89",
                "bytes=-99",
                "0123456789",
                "bytes=8-99",
                "89");
        for (Map.Entry<String, String> one : wanted.entrySet()) {
            HttpResponse<byte[]> part = range("/tmp/ranges", one.getKey());
            assertThat(part.statusCode()).as(one.getKey()).isEqualTo(206);
            assertThat(part.body()).as(one.getKey()).asString().isEqualTo(one.getValue());
            assertThat(part.headers().firstValue("Content-Length"))
                    .hasValue(Integer.toString(one.getValue().length()));
        }
        for (String ignored : List.of("bytes=0-1,4-5", "lines=1-2")) {
            HttpResponse<byte[]> whole = range("/tmp/ranges", ignored);
            assertThat(whole.statusCode()).as(ignored).isEqualTo(200);
            assertThat(whole.body()).hasSize(10);
        }
        for (String bad : List.of("bytes=10-", "bytes=-0", "bytes=5-4", "bytes=x", "bytes=")) {
            HttpResponse<byte[]> refused = range("/tmp/ranges", bad);
            assertThat(refused.statusCode()).as(bad).isEqualTo(416);
            assertThat(refused.headers().firstValue("Content-Range")).hasValue("bytes */10");
        }
        assertThat(range("/tmp/none", "bytes=0-1").statusCode()).isEqualTo(404);
        assertThat(range("/tmp", "bytes=0-1").statusCode()).isEqualTo(400);
    }

    @Test
    void aFileThatDoesNotKnowItsSizeIsReadToItsEnd() {
        put("/tmp/empty", new byte[0]).require(204);
        Answer empty = api.post(files + "/read", Map.of("path", "/tmp/empty")).require(200);
        assertThat(empty.bytes()).isEmpty();
        assertThat(empty.header("Content-Length")).isEqualTo("0");
        for (String path : List.of("/proc/version", "/proc/kallsyms", "/sys/class/net/lo/mtu")) {
            byte[] read =
                    api.post(files + "/read", Map.of("path", path)).require(200).bytes();
            assertThat(read.length)
                    .as(path)
                    .isEqualTo(Integer.parseInt(
                            sandbox.sh("wc -c <" + path).require().strip()));
        }
    }

    @Test
    void severalFilesGoIntoOneDirectory() {
        form("/write", file("one", "1"), field("path", "/tmp/several"), file("two", "22"))
                .require(204);
        form("/write", field("path", "/tmp/several/"), file("three", "333")).require(204);
        assertThat(sandbox.sh("cd /tmp/several && cat one two three && ls").require())
                .isEqualTo("122333one\nthree\ntwo");
        for (String name : List.of("", "a/b", "..")) {
            assertThat(form("/write", file(name, "x"), file("good", "x"), field("path", "/tmp/several"))
                            .status())
                    .as(name)
                    .isEqualTo(400);
        }
        assertThat(sandbox.sh("ls /tmp/several").require()).doesNotContain("good");
    }

    @Test
    void aFileThatIsCutWhileItIsReadBreaksTheAnswer() throws Exception {
        sandbox.sh("truncate -s 256M /var/tmp/cut").require();
        HttpRequest request = api.request(files + "/stream/read")
                .header("Content-Type", "application/json")
                .POST(BodyPublishers.ofString(Json.write(Map.of("path", "/var/tmp/cut"))))
                .build();
        HttpResponse<InputStream> answer = api.http().send(request, BodyHandlers.ofInputStream());
        assertThat(answer.statusCode()).isEqualTo(200);
        try (InputStream body = answer.body()) {
            assertThat(body.readNBytes(1000)).hasSize(1000);
            sandbox.sh("truncate -s 1M /var/tmp/cut").require();
            assertThatThrownBy(() -> body.transferTo(OutputStream.nullOutputStream()))
                    .isInstanceOf(IOException.class);
        }
        assertThat(sandbox.exec("rm", "/var/tmp/cut").exitCode()).isZero();
    }

    @Test
    void linksAreFollowedWhereContentIsMeantAndNotWhereTheNameIs() {
        sandbox.sh(
                        "mkdir -p /tmp/links/dir && cd /tmp/links && echo old >file && ln -s file to-file && ln -s dir to-dir"
                                + " && ln -s nowhere dangling && ln -s loop loop && touch dir/kept")
                .require();
        put("/tmp/links/to-file", "new".getBytes(StandardCharsets.UTF_8)).require(204);
        assertThat(sandbox.sh("cd /tmp/links && cat file && readlink to-file").require())
                .isEqualTo("newfile");
        assertThat(content("/tmp/links/to-file")).asString().isEqualTo("new");
        assertThat(api.get(files + "?path=/tmp/links/to-dir").require(200).json())
                .hasSize(1);
        assertThat(api.post(files + "/read", Map.of("path", "/tmp/links/dangling"))
                        .status())
                .isEqualTo(404);
        assertThat(api.post(files + "/read", Map.of("path", "/tmp/links/loop")).status())
                .isEqualTo(400);
        api.post(files + "/move", Map.of("from", "/tmp/links/to-file", "to", "/tmp/links/moved"))
                .require(204);
        api.delete(files + "?path=/tmp/links/to-dir").require(204);
        assertThat(sandbox.sh("cd /tmp/links && readlink moved && ls dir").require())
                .isEqualTo("file\nkept");
    }

    @Test
    void everyRefusalHasItsStatus() {
        sandbox.sh("mkdir -p /tmp/r/full/x /tmp/r/empty && echo x >/tmp/r/file").require();
        record Row(Answer answer, int status, String code) {}
        String unreadable = sandbox.sh("for f in /sys/bus/*/uevent; do echo $f; break; done")
                .require();
        for (Row row : List.of(
                new Row(api.post(files + "/read", Map.of("path", "/tmp/r/none")), 404, "not_found"),
                new Row(api.post(files + "/read", Map.of("path", "/tmp/r/file/below")), 404, "not_found"),
                new Row(api.post(files + "/read", Map.of("path", "/tmp/r/full")), 400, "invalid_request"),
                new Row(api.post(files + "/read", Map.of("path", "/dev/zero")), 400, "invalid_request"),
                new Row(api.post(files + "/read", Map.of("path", unreadable)), 403, "forbidden"),
                new Row(put("/tmp/r/full", random(5)), 400, "invalid_request"),
                new Row(put("/tmp/r/file/below", random(5)), 409, "conflict"),
                new Row(put("/dev/null", random(5)), 400, "invalid_request"),
                new Row(put("/proc/none", random(5)), 404, "not_found"),
                new Row(api.post(files + "/mkdir", Map.of("path", "/tmp/r/file")), 409, "conflict"),
                new Row(api.post(files + "/mkdir", Map.of("path", "/tmp/r/file/below")), 409, "conflict"),
                new Row(move("/tmp/r/none", "/tmp/r/y"), 404, "not_found"),
                new Row(move("/tmp/r/file", "/tmp/r/none/y"), 404, "not_found"),
                new Row(move("/tmp/r/file", "/tmp/r/empty"), 409, "already_exists"),
                new Row(move("/tmp/r/empty", "/tmp/r/file"), 409, "already_exists"),
                new Row(move("/tmp/r/full", "/tmp/r/full/x/y"), 400, "invalid_request"),
                new Row(move("/tmp/r/file", "/proc/y"), 400, "invalid_request"),
                new Row(api.delete(files + "?path=/tmp/r/none"), 404, "not_found"),
                new Row(api.delete(files + "?path=/"), 400, "invalid_request"),
                new Row(api.delete(files + "?path=/proc"), 403, "forbidden"),
                new Row(api.get(files + "?path=/tmp/r/none"), 404, "not_found"),
                new Row(api.get(files + "?path=/tmp/r/file"), 400, "invalid_request"))) {
            assertThat(row.answer().status()).as(row.answer().text()).isEqualTo(row.status());
            assertThat(row.answer().errorCode()).as(row.answer().text()).isEqualTo(row.code());
        }
        assertThat(sandbox.sh("ls -A /tmp/r; cat /tmp/r/file").require()).isEqualTo("empty\nfile\nfull\nx");
    }

    private Answer move(String from, String to) {
        return api.post(files + "/move", Map.of("from", from, "to", to));
    }

    @Test
    void aDirectoryIsListedWithWhatStatSays() {
        sandbox.sh("mkdir -p /tmp/list/sub; printf abc >/tmp/list/f; chmod 640 /tmp/list/f; chown nobody /tmp/list/f;"
                        + " ln -s f /tmp/list/l")
                .require();
        JsonNode entries = api.get(files + "?path=" + Api.encoded("/tmp/list"))
                .require(200)
                .json();
        assertThat(entries).hasSize(3);
        for (JsonNode entry : entries) {
            switch (entry.path("name").asString("")) {
                case "f" -> {
                    assertThat(entry.path("type").asString("")).isEqualTo("file");
                    assertThat(entry.path("size").asLong(-1)).isEqualTo(3);
                    assertThat(entry.path("owner").asString("")).isEqualTo("nobody");
                    assertThat(entry.path("group").asString("")).isEqualTo("root");
                    assertThat(entry.path("mode").toString()).containsAnyOf("640", "416", "33184", "100640");
                    assertThat(Instant.parse(entry.path("modified_at").asString("")))
                            .isBetween(
                                    Instant.now().minusSeconds(60),
                                    Instant.now().plusSeconds(5));
                }
                case "sub" -> assertThat(entry.path("type").asString("")).isEqualTo("directory");
                case "l" -> {
                    assertThat(entry.path("type").asString("")).isEqualTo("symlink");
                    assertThat(entry.path("symlink_target").asString("")).isEqualTo("f");
                }
                default -> throw new AssertionError("unexpected " + entry);
            }
        }
    }

    @Test
    void directoriesAreMadeAndThingsMovedAndRemoved() {
        api.post(files + "/mkdir", Map.of("path", "/tmp/m/a/b")).require(204);
        put("/tmp/m/a/b/f", random(10)).require(204);
        api.post(files + "/move", Map.of("from", "/tmp/m/a", "to", "/tmp/m/z")).require(204);
        assertThat(sandbox.sh("ls /tmp/m /tmp/m/z/b").require())
                .contains("z")
                .contains("f")
                .doesNotContain("a\n");
        api.delete(files + "?path=/tmp/m").require(204);
        assertThat(api.get(files + "?path=/tmp/m").status()).isEqualTo(404);
        assertThat(api.delete(files + "?path=/tmp/m").status()).isEqualTo(404);
    }

    @Test
    void whatIsNotThereOrNotAFileIsSaid() {
        assertThat(api.post(files + "/read", Map.of("path", "/tmp/none")).status())
                .isEqualTo(404);
        assertThat(api.post(files + "/stream/read", Map.of("path", "/tmp/none")).status())
                .isEqualTo(404);
        assertThat(api.post(files + "/read", Map.of("path", "/tmp")).status()).isEqualTo(400);
        assertThat(api.get(files + "?path=/none").status()).isEqualTo(404);
    }

    @Test
    void anUploadThatBreaksLeavesTheOldFile() throws Exception {
        put("/tmp/broken/kept", "old".getBytes(StandardCharsets.UTF_8)).require(204);
        try (Socket socket =
                new Socket(InetAddress.getLoopbackAddress(), api.base().getPort())) {
            OutputStream out = socket.getOutputStream();
            out.write(("PUT " + files + "/stream?path=/tmp/broken/kept HTTP/1.1\r\nHost: x\r\nX-API-Key: "
                            + api.headers().get("X-API-Key")
                            + "\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n")
                    .getBytes(StandardCharsets.UTF_8));
            out.write(random(200_000));
            out.flush();
            Awaitility.await()
                    .atMost(Duration.ofSeconds(20))
                    .until(() -> !sandbox.sh("ls -A /tmp/broken").require().equals("kept"));
        }
        Awaitility.await()
                .atMost(Duration.ofSeconds(20))
                .untilAsserted(() -> assertThat(sandbox.sh("ls -A /tmp/broken").require())
                        .as("no temporary file is left")
                        .isEqualTo("kept"));
        assertThat(content("/tmp/broken/kept")).asString().isEqualTo("old");
    }

    @Test
    void aFullDiskIs507AndTheOldFileStays() {
        sandbox.sh("mkdir -p /small && mount -t tmpfs -o size=1m tmpfs /small").require();
        try {
            put("/small/f", "old".getBytes(StandardCharsets.UTF_8)).require(204);
            Answer full = put("/small/f", random(3 << 20));
            assertThat(full.status()).as(full.text()).isEqualTo(507);
            assertThat(full.errorCode()).isEqualTo("disk_full");
            assertThat(content("/small/f")).asString().isEqualTo("old");
            assertThat(sandbox.sh("ls -A /small").require()).isEqualTo("f");
        } finally {
            sandbox.sh("umount /small").require();
        }
    }
}
