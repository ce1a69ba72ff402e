package dev.sandglass.acceptance;

import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** The exec WebSocket. Messages are taken one by one, so who does not read holds the sender back. */
final class ExecSocket implements AutoCloseable, WebSocket.Listener {
    private static final JsonNode CLOSED = Json.parse("{\"type\":\"closed\"}");

    private final BlockingQueue<JsonNode> messages = new LinkedBlockingQueue<>();
    private final StringBuilder partial = new StringBuilder();
    private volatile @Nullable WebSocket socket;
    private final ByteArrayOutputStream stdout = new ByteArrayOutputStream();
    private final ByteArrayOutputStream stderr = new ByteArrayOutputStream();
    private long lastSeq;

    /** The server's answer to an upgrade that it refuses. */
    static final class Refused extends Exception {
        private static final long serialVersionUID = 1;
        private final int status;

        Refused(int status) {
            super("refused with " + status);
            this.status = status;
        }

        int status() {
            return status;
        }
    }

    private ExecSocket() {}

    static ExecSocket open(Api api, String sandbox) throws Refused {
        ExecSocket opened = new ExecSocket();
        var builder = api.http().newWebSocketBuilder().connectTimeout(Duration.ofSeconds(20));
        api.headers().forEach(builder::header);
        URI uri = URI.create(
                "ws://" + Planes.next(api.base()).getAuthority() + "/v1/sandboxes/" + sandbox + "/exec/stream");
        try {
            opened.socket = builder.buildAsync(uri, opened).get(30, TimeUnit.SECONDS);
            return opened;
        } catch (ExecutionException e) {
            if (e.getCause() instanceof WebSocketHandshakeException refusal) {
                throw new Refused(refusal.getResponse().statusCode());
            }
            throw new AssertionError("open the exec stream of " + sandbox, e);
        } catch (TimeoutException e) {
            throw new AssertionError("the exec stream was not opened in time", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        }
    }

    void send(Map<String, ?> message) {
        try {
            requireSocket().sendText(Json.write(message), true).get(30, TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException e) {
            throw new AssertionError("send " + message, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        }
    }

    /** The next message, its output added to what was collected; "closed" when the connection is over. */
    JsonNode next(Duration patience) {
        try {
            JsonNode message = messages.poll(patience.toMillis(), TimeUnit.MILLISECONDS);
            if (message == null) {
                throw new AssertionError(
                        "no message within " + patience.toSeconds() + " s; stdout so far: " + stdout());
            }
            collect(message);
            if (!type(message).equals("closed")) {
                requireSocket().request(1);
            }
            return message;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        }
    }

    JsonNode next() {
        return next(Duration.ofSeconds(60));
    }

    /** Reads up to a message of this type; fails when the connection ends before. */
    JsonNode until(String type) {
        while (true) {
            JsonNode message = next();
            if (type(message).equals(type)) {
                return message;
            }
            if (type(message).equals("closed") || type(message).equals("error")) {
                throw new AssertionError("got " + message + " instead of " + type + "; stdout so far: " + stdout());
            }
        }
    }

    /** Reads until stdout (or the terminal) has this. */
    void untilOutput(String text) {
        while (!stdout().contains(text)) {
            JsonNode message = next();
            if (!type(message).matches("start|stdout|stderr|pty")) {
                throw new AssertionError("got " + message + " before " + text + "; stdout so far: " + stdout());
            }
        }
    }

    static String type(JsonNode message) {
        return message.path("type").asString("");
    }

    String stdout() {
        return stdout.toString(StandardCharsets.UTF_8);
    }

    byte[] stdoutBytes() {
        return stdout.toByteArray();
    }

    String stderr() {
        return stderr.toString(StandardCharsets.UTF_8);
    }

    long lastSeq() {
        return lastSeq;
    }

    private void collect(JsonNode message) {
        String type = type(message);
        if (type.equals("stdout") || type.equals("pty") || type.equals("stderr")) {
            String data = message.path("data").asString("");
            byte[] bytes = message.path("encoding").asString("utf-8").equals("base64")
                    ? Base64.getDecoder().decode(data)
                    : data.getBytes(StandardCharsets.UTF_8);
            (type.equals("stderr") ? stderr : stdout).writeBytes(bytes);
            lastSeq = message.path("seq").asLong(-1);
        }
    }

    private WebSocket requireSocket() {
        WebSocket open = socket;
        if (open == null) {
            throw new IllegalStateException("not open yet");
        }
        return open;
    }

    /** Goes away without a word, like a client whose machine lost its network. */
    @Override
    public void close() {
        requireSocket().abort();
    }

    @Override
    public void onOpen(WebSocket webSocket) {
        webSocket.request(1);
    }

    @Override
    public @Nullable CompletionStage<?> onText(WebSocket webSocket, CharSequence data, boolean last) {
        partial.append(data);
        if (last) {
            messages.add(Json.parse(partial.toString()));
            partial.setLength(0);
        } else {
            webSocket.request(1);
        }
        return null;
    }

    @Override
    public @Nullable CompletionStage<?> onPing(WebSocket webSocket, java.nio.ByteBuffer message) {
        webSocket.request(1);
        return null;
    }

    @Override
    public @Nullable CompletionStage<?> onClose(WebSocket webSocket, int statusCode, String reason) {
        messages.add(CLOSED);
        return null;
    }

    @Override
    public void onError(WebSocket webSocket, Throwable error) {
        messages.add(CLOSED);
    }
}
