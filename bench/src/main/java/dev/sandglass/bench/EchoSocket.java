package dev.sandglass.bench;

import dev.sandglass.cli.client.Json;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** A terminal in a sandbox, over the exec stream, whose program sends back what it is sent. */
final class EchoSocket implements AutoCloseable, WebSocket.Listener {
    private static final int TIMEOUT_SECONDS = 30;
    private static final String END = "";

    private final BlockingQueue<String> messages = new LinkedBlockingQueue<>();
    private final StringBuilder text = new StringBuilder();
    private final WebSocket socket;

    private EchoSocket(HttpClient http, URI stream, String apiKey) {
        socket = http.newWebSocketBuilder()
                .header("X-API-Key", apiKey)
                .buildAsync(stream, this)
                .join();
    }

    /** @param stream address of the sandbox's exec stream */
    static EchoSocket open(HttpClient http, URI stream, String apiKey) {
        EchoSocket opened = new EchoSocket(http, stream, apiKey);
        ObjectNode start = Json.object().put("type", "start").put("cmd", "/bin/sh");
        start.putArray("args").add("-c").add(Streams.ECHO);
        start.putObject("pty").put("cols", 80).put("rows", 24);
        opened.send(start);
        return opened;
    }

    void awaitReady() {
        StringBuilder read = new StringBuilder();
        while (read.indexOf("ready\n") < 0) {
            read.append(output());
        }
    }

    /** Returns when the key has come back. */
    void type(String key) {
        send(Json.object().put("type", "stdin").put("data", key));
        String echoed = output();
        if (!echoed.equals(key)) {
            throw new BenchFailure("The terminal sent back '" + echoed + "' for '" + key + "'.");
        }
    }

    private void send(ObjectNode message) {
        socket.sendText(Json.write(message), true).join();
    }

    private String output() {
        try {
            while (true) {
                String message = messages.poll(TIMEOUT_SECONDS, TimeUnit.SECONDS);
                if (message == null || message.equals(END)) {
                    throw new BenchFailure("The terminal sent nothing back.");
                }
                JsonNode json = Json.parse(message);
                switch (json.path("type").asString("")) {
                    case "start" -> {}
                    case "pty" -> {
                        return json.path("data").asString("");
                    }
                    default -> throw new BenchFailure("The terminal said " + message);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchFailure("interrupted");
        }
    }

    /** The program ends with its connection's process group; the sandbox is deleted afterwards anyway. */
    @Override
    public void close() {
        socket.abort();
    }

    @Override
    public @Nullable CompletionStage<?> onText(WebSocket webSocket, CharSequence data, boolean last) {
        text.append(data);
        if (last) {
            messages.add(text.toString());
            text.setLength(0);
        }
        webSocket.request(1);
        return null;
    }

    @Override
    public @Nullable CompletionStage<?> onClose(WebSocket webSocket, int statusCode, String reason) {
        messages.add(END);
        return null;
    }

    @Override
    public void onError(WebSocket webSocket, Throwable error) {
        messages.add(END);
    }
}
