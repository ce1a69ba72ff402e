package dev.sandglass.control.testing;

import dev.sandglass.control.http.Json;
import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** A client of the exec stream that reads only when it is asked to. */
public final class ExecClient implements AutoCloseable {
    private final LinkedBlockingQueue<Map<String, Object>> messages = new LinkedBlockingQueue<>();
    private final CompletableFuture<Integer> closed = new CompletableFuture<>();
    private final WebSocket socket;

    public ExecClient(Api api, String sandbox, Map<String, String> headers, List<String> protocols) {
        WebSocket.Builder builder = Api.client().newWebSocketBuilder();
        headers.forEach(builder::header);
        if (!protocols.isEmpty()) {
            builder.subprotocols(
                    protocols.getFirst(), protocols.subList(1, protocols.size()).toArray(String[]::new));
        }
        URI url =
                URI.create(api.url().toString().replace("http:", "ws:") + "/v1/sandboxes/" + sandbox + "/exec/stream");
        socket = builder.buildAsync(url, new Listener()).join();
    }

    public ExecClient send(String json) {
        socket.sendText(json, true).join();
        return this;
    }

    public void sendBinary(byte[] bytes) {
        socket.sendBinary(ByteBuffer.wrap(bytes), true).join();
    }

    public String subprotocol() {
        return socket.getSubprotocol();
    }

    /** The next message, asked for only now. */
    public Map<String, Object> next() throws InterruptedException {
        socket.request(1);
        Map<String, Object> message = messages.poll(20, TimeUnit.SECONDS);
        if (message == null) {
            throw new AssertionError("no message within 20 s");
        }
        return message;
    }

    /** Everything until exit or error, which is the last one; the bytes of all streams are in the order they came. */
    public Output untilEnd() throws InterruptedException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        long seq = 0;
        while (true) {
            Map<String, Object> message = next();
            String type = String.valueOf(message.get("type"));
            if (type.equals("exit") || type.equals("error")) {
                return new Output(bytes, message, seq);
            }
            if (message.containsKey("data")) {
                bytes.writeBytes(dataOf(message));
                seq = ((Number) message.getOrDefault("seq", 0)).longValue();
            }
        }
    }

    public record Output(ByteArrayOutputStream bytes, Map<String, Object> last, long seq) {
        public String text() {
            return bytes.toString(StandardCharsets.UTF_8);
        }
    }

    public static byte[] dataOf(Map<String, Object> message) {
        String data = String.valueOf(message.get("data"));
        return "base64".equals(message.get("encoding"))
                ? Base64.getDecoder().decode(data)
                : data.getBytes(StandardCharsets.UTF_8);
    }

    public int closeStatus() throws Exception {
        socket.request(1);
        return closed.get(20, TimeUnit.SECONDS);
    }

    /** The connection is gone, without a word. */
    public void abort() {
        socket.abort();
    }

    @Override
    public void close() {
        socket.abort();
    }

    private final class Listener implements WebSocket.Listener {
        private final StringBuilder text = new StringBuilder();

        @Override
        public void onOpen(WebSocket webSocket) {}

        @Override
        @SuppressWarnings("unchecked")
        public @Nullable CompletionStage<?> onText(WebSocket webSocket, CharSequence data, boolean last) {
            text.append(data);
            if (last) {
                messages.add(Json.read(text.toString().getBytes(StandardCharsets.UTF_8), Map.class));
                text.setLength(0);
            } else {
                webSocket.request(1);
            }
            return null;
        }

        @Override
        public @Nullable CompletionStage<?> onPing(WebSocket webSocket, ByteBuffer message) {
            webSocket.request(1);
            return null;
        }

        @Override
        public @Nullable CompletionStage<?> onClose(WebSocket webSocket, int statusCode, String reason) {
            closed.complete(statusCode);
            return null;
        }

        @Override
        public void onError(WebSocket webSocket, Throwable error) {
            closed.completeExceptionally(error);
        }
    }
}
