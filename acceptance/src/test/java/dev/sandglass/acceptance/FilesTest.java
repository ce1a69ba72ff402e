package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

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
import java.util.Map;
import java.util.Random;
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
        put("/tmp/kept", "old".getBytes(StandardCharsets.UTF_8)).require(204);
        try (Socket socket =
                new Socket(InetAddress.getLoopbackAddress(), api.base().getPort())) {
            OutputStream out = socket.getOutputStream();
            out.write(("PUT " + files + "/stream?path=/tmp/kept HTTP/1.1\r\nHost: x\r\nX-API-Key: "
                            + api.headers().get("X-API-Key")
                            + "\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n")
                    .getBytes(StandardCharsets.UTF_8));
            out.write(random(200_000));
            out.flush();
            Installation.pause(Duration.ofMillis(300));
        }
        Installation.pause(Duration.ofMillis(500));
        assertThat(content("/tmp/kept")).asString().isEqualTo("old");
        assertThat(sandbox.sh("ls -A /tmp | grep -i kept").require())
                .as("no temporary file is left")
                .isEqualTo("kept");
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

    @Test
    void aLargeFileGoesThroughAndBackUnchanged() throws Exception {
        int mebibytes = 48;
        byte[] block = random(1 << 20);
        HttpRequest upload = api.request(files + "/stream?path=/var/large")
                .header("Content-Type", "application/octet-stream")
                .PUT(BodyPublishers.ofInputStream(() -> new Repeated(block, mebibytes)))
                .build();
        assertThat(api.send(upload).status()).isEqualTo(204);
        HttpRequest download = api.request(files + "/stream/read")
                .header("Content-Type", "application/json")
                .POST(BodyPublishers.ofString("{\"path\":\"/var/large\"}"))
                .build();
        HttpResponse<InputStream> answer = api.http().send(download, BodyHandlers.ofInputStream());
        try (InputStream body = answer.body()) {
            for (int i = 0; i < mebibytes; i++) {
                assertThat(Arrays.equals(body.readNBytes(block.length), block))
                        .as("block " + i)
                        .isTrue();
            }
            assertThat(body.read()).isEqualTo(-1);
        }
        sandbox.exec("rm", "/var/large").require();
    }

    /** A block, so many times. */
    private static final class Repeated extends InputStream {
        private final byte[] block;
        private final long length;
        private long at;

        Repeated(byte[] block, int times) {
            this.block = block;
            this.length = (long) block.length * times;
        }

        @Override
        public int read() {
            return at == length ? -1 : block[(int) (at++ % block.length)] & 0xff;
        }

        @Override
        public int read(byte[] target, int offset, int wanted) throws IOException {
            if (at == length) {
                return -1;
            }
            int from = (int) (at % block.length);
            int count = (int) Math.min(Math.min(wanted, block.length - from), length - at);
            System.arraycopy(block, from, target, offset, count);
            at += count;
            return count;
        }
    }

    @Test
    void aDirectoryInTheWayIsAConflict() {
        api.post(files + "/mkdir", Map.of("path", "/tmp/in-the-way/x")).require(204);
        assertThat(put("/tmp/in-the-way", random(5)).status()).isBetween(400, 409);
        put("/tmp/a-file", random(5)).require(204);
        assertThat(put("/tmp/a-file/below", random(5)).status()).isBetween(400, 409);
        assertThat(api.post(files + "/move", Map.of("from", "/tmp/none", "to", "/tmp/y"))
                        .status())
                .isEqualTo(404);
    }
}
