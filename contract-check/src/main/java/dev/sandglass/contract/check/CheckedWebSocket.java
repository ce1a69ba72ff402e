package dev.sandglass.contract.check;

import java.net.URI;
import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * A WebSocket whose messages are compared with the document. A client may send nonsense on purpose; what it sent is held
 * against it only when the server accepted all of it, which an {@code exit} at the end tells.
 */
final class CheckedWebSocket implements WebSocket {
    private final WebSocket socket;
    private final Messages messages;

    private CheckedWebSocket(WebSocket socket, Messages messages) {
        this.socket = socket;
        this.messages = messages;
    }

    /** What has passed, of one connection. */
    private static final class Messages {
        private final StringBuilder sending = new StringBuilder();
        private final StringBuilder receiving = new StringBuilder();
        private final List<String> ours = new ArrayList<>();

        synchronized void sent(CharSequence text, boolean last) {
            sending.append(text);
            if (last) {
                String message = take(sending);
                Traffic.check()
                        .clientMessage(message)
                        .forEach(error -> ours.add("the server accepted a message that is not as documented: " + error
                                + " in " + shown(message)));
            }
        }

        synchronized void received(CharSequence text, boolean last) {
            receiving.append(text);
            if (last) {
                String message = take(receiving);
                Traffic.check()
                        .serverMessage(message)
                        .forEach(error -> Traffic.differ("message: " + error + " in " + shown(message)));
                if (message.contains("\"type\":\"exit\"")) {
                    ours.forEach(Traffic::differ);
                    ours.clear();
                }
            }
        }

        private static String take(StringBuilder text) {
            String whole = text.toString();
            text.setLength(0);
            return whole;
        }

        private static String shown(String message) {
            return message.length() > 300 ? message.substring(0, 300) + "…" : message;
        }
    }

    /** Notes the handshake, too, whether it succeeds or is refused. */
    static final class Builder implements WebSocket.Builder {
        private final WebSocket.Builder builder;
        private final Predicate<URI> concerned;
        private final Map<String, List<String>> headers = new HashMap<>();

        Builder(WebSocket.Builder builder, Predicate<URI> concerned) {
            this.builder = builder;
            this.concerned = concerned;
        }

        @Override
        public WebSocket.Builder header(String name, String value) {
            headers.put(name, List.of(value));
            builder.header(name, value);
            return this;
        }

        @Override
        public WebSocket.Builder connectTimeout(Duration timeout) {
            builder.connectTimeout(timeout);
            return this;
        }

        @Override
        public WebSocket.Builder subprotocols(String mostPreferred, String... lesserPreferred) {
            headers.put(
                    "Sec-WebSocket-Protocol",
                    List.of(mostPreferred
                            + String.join(
                                    "",
                                    List.of(lesserPreferred).stream()
                                            .map(name -> ", " + name)
                                            .toList())));
            builder.subprotocols(mostPreferred, lesserPreferred);
            return this;
        }

        @Override
        public CompletableFuture<WebSocket> buildAsync(URI uri, WebSocket.Listener listener) {
            URI asHttp = URI.create(uri.toString().replaceFirst("^ws", "http"));
            if (!concerned.test(asHttp)) {
                return builder.buildAsync(uri, listener);
            }
            Messages messages = new Messages();
            return builder.buildAsync(uri, new Listening(listener, messages)).handle((socket, failure) -> {
                if (failure != null) {
                    refused(asHttp, failure);
                    throw failure instanceof CompletionException wrapped ? wrapped : new CompletionException(failure);
                }
                Traffic.upgraded(
                        new Exchange("GET", asHttp, headers, Optional.empty(), 101, Map.of(), Optional.empty()));
                return new CheckedWebSocket(socket, messages);
            });
        }

        /** The answer's body is not to be had. */
        private void refused(URI uri, Throwable failure) {
            Throwable cause =
                    failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
            if (cause instanceof WebSocketHandshakeException refusal) {
                Traffic.add(new Exchange(
                        "GET",
                        uri,
                        headers,
                        Optional.empty(),
                        refusal.getResponse().statusCode(),
                        refusal.getResponse().headers().map(),
                        Optional.empty()));
            }
        }
    }

    private static final class Listening implements WebSocket.Listener {
        private final WebSocket.Listener listener;
        private final Messages messages;

        Listening(WebSocket.Listener listener, Messages messages) {
            this.listener = listener;
            this.messages = messages;
        }

        private WebSocket checked(WebSocket socket) {
            return new CheckedWebSocket(socket, messages);
        }

        @Override
        public void onOpen(WebSocket socket) {
            listener.onOpen(checked(socket));
        }

        @Override
        public @Nullable CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
            messages.received(data, last);
            return listener.onText(checked(socket), data, last);
        }

        @Override
        public @Nullable CompletionStage<?> onBinary(WebSocket socket, ByteBuffer data, boolean last) {
            Traffic.differ("the server sent a binary message; only text is documented");
            return listener.onBinary(checked(socket), data, last);
        }

        @Override
        public @Nullable CompletionStage<?> onPing(WebSocket socket, ByteBuffer message) {
            return listener.onPing(checked(socket), message);
        }

        @Override
        public @Nullable CompletionStage<?> onPong(WebSocket socket, ByteBuffer message) {
            return listener.onPong(checked(socket), message);
        }

        @Override
        public @Nullable CompletionStage<?> onClose(WebSocket socket, int statusCode, String reason) {
            return listener.onClose(checked(socket), statusCode, reason);
        }

        @Override
        public void onError(WebSocket socket, Throwable error) {
            listener.onError(checked(socket), error);
        }
    }

    @Override
    public CompletableFuture<WebSocket> sendText(CharSequence data, boolean last) {
        messages.sent(data, last);
        return socket.sendText(data, last).thenApply(_ -> this);
    }

    @Override
    public CompletableFuture<WebSocket> sendBinary(ByteBuffer data, boolean last) {
        return socket.sendBinary(data, last).thenApply(_ -> this);
    }

    @Override
    public CompletableFuture<WebSocket> sendPing(ByteBuffer message) {
        return socket.sendPing(message).thenApply(_ -> this);
    }

    @Override
    public CompletableFuture<WebSocket> sendPong(ByteBuffer message) {
        return socket.sendPong(message).thenApply(_ -> this);
    }

    @Override
    public CompletableFuture<WebSocket> sendClose(int statusCode, String reason) {
        return socket.sendClose(statusCode, reason).thenApply(_ -> this);
    }

    @Override
    public void request(long n) {
        socket.request(n);
    }

    @Override
    public String getSubprotocol() {
        return socket.getSubprotocol();
    }

    @Override
    public boolean isOutputClosed() {
        return socket.isOutputClosed();
    }

    @Override
    public boolean isInputClosed() {
        return socket.isInputClosed();
    }

    @Override
    public void abort() {
        socket.abort();
    }
}
