package dev.sandglass.cli.client;

import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * One WebSocket of an exec session. At most {@link #IN_FLIGHT} messages are taken from it before they are handled, so a
 * slow reader holds the sender back instead of filling memory.
 */
final class ExecConnection implements WebSocket.Listener {
    private static final Duration OPEN_TIMEOUT = Duration.ofSeconds(15);
    private static final int IN_FLIGHT = 16;
    private static final int MESSAGE_MAX = 4 << 20;
    /** A quiet line is asked for a sign of life this often, and given up after so many unanswered questions. */
    private static final Duration QUIET = Duration.ofSeconds(10);

    private static final int UNANSWERED_MAX = 3;

    sealed interface Event {}

    record Message(JsonNode json) implements Event {}

    record Closed(String reason) implements Event {}

    // Bounded by the flow control above: IN_FLIGHT messages and the end.
    private final BlockingQueue<Event> events = new LinkedBlockingQueue<>();
    private final AtomicBoolean heard = new AtomicBoolean();
    private final StringBuilder partial = new StringBuilder();
    private volatile @Nullable WebSocket socket;

    private ExecConnection() {}

    static ExecConnection open(Api api, String sandboxId) {
        var connection = new ExecConnection();
        var access = api.access();
        String what = "run a command in " + sandboxId;
        try {
            connection.socket = api.http()
                    .newWebSocketBuilder()
                    .header("X-API-Key", access.apiKey())
                    .connectTimeout(OPEN_TIMEOUT)
                    .buildAsync(
                            access.resolveWebSocket("/v1/sandboxes/" + Api.segment(sandboxId) + "/exec/stream"),
                            connection)
                    .get(OPEN_TIMEOUT.toSeconds(), TimeUnit.SECONDS);
            return connection;
        } catch (ExecutionException e) {
            if (e.getCause() instanceof WebSocketHandshakeException refused) {
                var answer = refused.getResponse();
                throw Api.refusal(answer.statusCode(), answer.body() instanceof String text ? text : "", what);
            }
            throw api.unreachable();
        } catch (TimeoutException e) {
            throw new ApiFailure(
                    0, "unreachable", "The server at " + access + " did not answer in time: " + what + ".");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ApiFailure(0, "interrupted", "Interrupted: " + what + ".");
        }
    }

    /** Blocks until there is one; watches that the other side is still there. */
    Event next() {
        int unanswered = 0;
        try {
            while (true) {
                Event event = events.poll(QUIET.toMillis(), TimeUnit.MILLISECONDS);
                if (event != null) {
                    return event;
                }
                unanswered = heard.getAndSet(false) ? 0 : unanswered + 1;
                WebSocket open = socket;
                if (open == null || unanswered > UNANSWERED_MAX) {
                    close();
                    return new Closed("no sign of life");
                }
                var ignored = open.sendPing(ByteBuffer.allocate(0));
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ApiFailure(0, "interrupted", "Interrupted.");
        }
    }

    /** The last message that {@link #next} returned has been dealt with. */
    void handled() {
        WebSocket open = socket;
        if (open != null) {
            open.request(1);
        }
    }

    /** False when the connection is broken. One call at a time. */
    boolean send(String text) {
        WebSocket open = socket;
        try {
            if (open == null) {
                return false;
            }
            open.sendText(text, true).get();
            return true;
        } catch (ExecutionException e) {
            return false;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    void close() {
        WebSocket open = socket;
        if (open != null) {
            open.abort();
        }
    }

    // --- called by the HTTP client, one at a time

    @Override
    public void onOpen(WebSocket webSocket) {
        webSocket.request(IN_FLIGHT);
    }

    @Override
    public @Nullable CompletionStage<?> onText(WebSocket webSocket, CharSequence data, boolean last) {
        heard.set(true);
        partial.append(data);
        if (partial.length() > MESSAGE_MAX) {
            webSocket.abort();
            events.add(new Closed("a message was too long"));
        } else if (last) {
            events.add(new Message(Json.parse(partial.toString())));
            partial.setLength(0);
        } else {
            webSocket.request(1);
        }
        return null;
    }

    @Override
    public @Nullable CompletionStage<?> onPing(WebSocket webSocket, ByteBuffer message) {
        heard.set(true);
        webSocket.request(1);
        return null;
    }

    @Override
    public @Nullable CompletionStage<?> onPong(WebSocket webSocket, ByteBuffer message) {
        heard.set(true);
        webSocket.request(1);
        return null;
    }

    @Override
    public @Nullable CompletionStage<?> onClose(WebSocket webSocket, int statusCode, String reason) {
        events.add(new Closed(reason.isEmpty() ? "closed with " + statusCode : reason));
        return null;
    }

    @Override
    public void onError(WebSocket webSocket, Throwable error) {
        events.add(new Closed("connection broken"));
    }
}
