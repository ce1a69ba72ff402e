package dev.sandglass.host.vmm.qemu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.DeadlineExceeded;
import dev.sandglass.host.vmm.VmmFailed;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** Against the other end of a real socket, where the test says what QEMU might. */
@Timeout(30)
final class QmpClientTest {
    private static final String GREETING = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n";

    private ServerSocketChannel server;
    private SocketChannel qemu;
    private BufferedReader requests;
    private QmpClient client;

    @BeforeEach
    void connect(@TempDir Path directory) throws IOException {
        UnixDomainSocketAddress address = UnixDomainSocketAddress.of(directory.resolve("qmp"));
        server = ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(address);
        client = QmpClient.connect("vm", address, () -> "last words");
        qemu = server.accept();
        requests = new BufferedReader(Channels.newReader(qemu, StandardCharsets.UTF_8));
        say(GREETING);
        assertThat(requests.readLine()).contains("qmp_capabilities", "\"id\":1");
        say("{\"return\": {}, \"id\": 1}\n");
    }

    @AfterEach
    void disconnect() throws IOException {
        client.close();
        qemu.close();
        server.close();
    }

    @Test
    void answersFindTheirCommandsWhateverIsBetweenThem() throws IOException {
        CompletableFuture<JsonNode> first = client.send("query-status", QmpClient.arguments());
        CompletableFuture<JsonNode> second =
                client.send("migrate", QmpClient.arguments().put("uri", "fd:8"));
        assertThat(requests.readLine()).contains("query-status").doesNotContain("arguments");
        assertThat(requests.readLine()).contains("\"arguments\":{\"uri\":\"fd:8\"}");
        say(
                "{\"return\": \"of 3\", \"id\": 3}\n{\"event\": \"STOP\"}\n{\"return\": {\"status\": \"paused\"}, \"id\": 2}\n");
        assertThat(client.await("first", first, soon()).path("status").asString(""))
                .isEqualTo("paused");
        assertThat(client.await("second", second, soon()).asString("")).isEqualTo("of 3");
    }

    @Test
    void anAnswerMayComeInPiecesAndBeLong() throws IOException {
        CompletableFuture<JsonNode> answer = client.send("ringbuf-read", QmpClient.arguments());
        String text = "é€😀".repeat(20_000);
        byte[] line = ("{\"return\": \"" + text + "\", \"id\": 2}\n").getBytes(StandardCharsets.UTF_8);
        for (int at = 0; at < line.length; at += 7919) {
            write(ByteBuffer.wrap(line, at, Math.min(7919, line.length - at)));
        }
        assertThat(client.await("read", answer, soon()).asString("")).isEqualTo(text);
    }

    @Test
    void aRefusedCommandFailsWithQemusReason() throws IOException {
        CompletableFuture<JsonNode> answer = client.send("migrate", QmpClient.arguments());
        say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}, \"id\": 2}\n");
        assertThatThrownBy(() -> client.await("migrate", answer, soon()))
                .isInstanceOf(VmmFailed.class)
                .hasMessageContaining("vm: migrate failed: no such thing");
        assertThat(client.open()).isTrue();
    }

    @Test
    void onlyTheWantedEventIsTakenAlsoWhenSeveralComeAtOnce() throws IOException {
        CompletableFuture<JsonNode> end = client.event(
                "MIGRATION", data -> data.path("status").asString("").equals("completed"));
        say("""
                {"event": "STOP", "data": {"status": "completed"}}
                {"event": "MIGRATION", "data": {"status": "active"}}
                {"event": "MIGRATION", "data": {"status": "completed", "n": 1}}
                """);
        assertThat(client.await("migration", end, soon()).path("n").asInt(0)).isEqualTo(1);
    }

    @Test
    void silenceEndsWithTheDeadline() {
        assertThatThrownBy(() -> client.execute("stop", Deadline.after(Duration.ofMillis(50))))
                .isInstanceOf(DeadlineExceeded.class)
                .hasMessageContaining("vm: stop");
    }

    @Test
    void theEndOfTheConnectionEndsEveryWaitWithTheLastWords() throws IOException {
        CompletableFuture<JsonNode> answer = client.send("stop", QmpClient.arguments());
        CompletableFuture<JsonNode> event = client.event("MIGRATION", _ -> true);
        qemu.close();
        for (CompletableFuture<JsonNode> waiting : List.of(answer, event)) {
            assertThatThrownBy(() -> client.await("wait", waiting, soon()))
                    .isInstanceOf(VmmFailed.class)
                    .hasMessageContaining("connection ended")
                    .hasMessageContaining("last words");
        }
        assertThat(client.open()).isFalse();
        assertThatThrownBy(() -> client.execute("cont", soon())).isInstanceOf(VmmFailed.class);
    }

    @Test
    void whatIsNoQmpEndsTheConnection() throws IOException {
        CompletableFuture<JsonNode> answer = client.send("stop", QmpClient.arguments());
        say("this is no JSON\n");
        assertThatThrownBy(() -> client.await("stop", answer, soon())).isInstanceOf(VmmFailed.class);
        assertThat(client.open()).isFalse();
    }

    @Test
    void aLineWithoutEndIsNotKeptWithoutBound() {
        CompletableFuture<JsonNode> answer = client.send("stop", QmpClient.arguments());
        assertThatThrownBy(() -> {
                    ByteBuffer junk = ByteBuffer.allocate(64 << 10);
                    for (int i = 0; i < 1000; i++) {
                        write(junk.clear());
                    }
                })
                .isInstanceOf(IOException.class); // the client has hung up
        assertThatThrownBy(() -> client.await("stop", answer, soon()))
                .isInstanceOf(VmmFailed.class)
                .hasMessageContaining("a line of more than");
    }

    private void say(String text) throws IOException {
        write(ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)));
    }

    private void write(ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            qemu.write(bytes);
        }
    }

    private static Deadline soon() {
        return Deadline.after(Duration.ofSeconds(10));
    }
}
