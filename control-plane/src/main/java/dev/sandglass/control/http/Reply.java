package dev.sandglass.control.http;

import java.io.OutputStream;
import java.util.Map;

/** What an endpoint answers. */
public sealed interface Reply {
    int status();

    Map<String, String> headers();

    /** An object as JSON. */
    record Json(int status, Object body, Map<String, String> headers) implements Reply {}

    /** Bytes that are there already. */
    @SuppressWarnings("ArrayRecordComponent") // written once and never compared
    record Bytes(int status, byte[] body, Map<String, String> headers) implements Reply {}

    /** No body. */
    record Empty(int status, Map<String, String> headers) implements Reply {}

    /** Bytes that come as they are written. A failure after the first one breaks the connection. */
    record Stream(int status, Map<String, String> headers, Body body) implements Reply {}

    /** A WebSocket from here on; {@code listener} is one of Jetty's, used for this connection alone. */
    record WebSocket(Object listener) implements Reply {
        @Override
        public int status() {
            return 101;
        }

        @Override
        public Map<String, String> headers() {
            return Map.of();
        }
    }

    /** Writes a body; blocks while the reader is slow. */
    @FunctionalInterface
    interface Body {
        void writeTo(OutputStream out) throws Exception;
    }

    static Reply ok(Object body) {
        return new Json(200, body, Map.of());
    }

    static Reply created(Object body) {
        return new Json(201, body, Map.of());
    }

    static Reply noContent() {
        return new Empty(204, Map.of());
    }
}
