package dev.sandglass.cli.client;

import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/**
 * One WebSocket (RFC 6455) of an exec session, on a blocking socket: a reader that waits holds the sender back by TCP
 * itself, and nothing is buffered here. One thread reads; any may write.
 *
 * <p>Why not the JDK's client: in a test that cuts connections it left the closed socket unread (CLOSE-WAIT) once in
 * some twenty times, with demand outstanding.
 */
final class ExecConnection {
    /** A quiet line is asked for a sign of life this often, and given up after so many unanswered questions. */
    static final Duration QUIET = Duration.ofSeconds(10);

    private static final int UNANSWERED_MAX = 3;
    private static final int MESSAGE_MAX = 4 << 20;
    private static final int BUFFER = 32 * 1024;

    private static final int TEXT = 1;
    private static final int CLOSE = 8;
    private static final int PING = 9;
    private static final int PONG = 10;
    private static final int FINAL = 0x80;
    private static final int MASKED = 0x80;

    sealed interface Event {}

    record Message(JsonNode json) implements Event {}

    record Closed(String reason) implements Event {}

    private record Frame(int opcode, boolean last, ByteBuffer payload) {}

    private final Socket socket;
    private final InputStream in;
    private final ReentrantLock writing = new ReentrantLock();

    private ExecConnection(Socket socket, InputStream in) {
        this.socket = socket;
        this.in = in;
    }

    static ExecConnection open(Api api, String sandboxId) {
        String path = "/v1/sandboxes/" + Api.segment(sandboxId) + "/exec/stream";
        String what = "run a command in " + sandboxId;
        @Nullable Socket socket = null;
        try {
            socket = WebSocketHandshake.connect(api.access().url());
            socket.setSoTimeout((int) QUIET.toMillis());
            InputStream in = new BufferedInputStream(socket.getInputStream(), BUFFER);
            WebSocketHandshake.perform(api.access(), path, what, socket.getOutputStream(), in);
            var connection = new ExecConnection(socket, in);
            socket = null;
            return connection;
        } catch (SocketTimeoutException e) {
            throw new ApiFailure(
                    0, "unreachable", "The server at " + api.access() + " did not answer in time: " + what + ".");
        } catch (IOException e) {
            throw api.unreachable();
        } finally {
            closeQuietly(socket);
        }
    }

    /** Blocks until there is one; watches that the other side is still there. */
    Event next() {
        try {
            return read();
        } catch (IOException e) {
            close();
            return new Closed(String.valueOf(e.getMessage()));
        }
    }

    private Event read() throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(0);
        while (true) {
            Frame frame = readFrame();
            switch (frame.opcode()) {
                case PING -> {
                    if (writing.tryLock()) { // who is writing shows life as well
                        try {
                            write(PONG, frame.payload().array());
                        } finally {
                            writing.unlock();
                        }
                    }
                }
                case PONG -> {}
                case CLOSE -> {
                    return new Closed("closed by the server");
                }
                default -> {
                    if (bytes.remaining() + frame.payload().remaining() > MESSAGE_MAX) {
                        throw new IOException("a message was too long");
                    }
                    bytes = joined(bytes, frame.payload());
                    if (frame.last()) {
                        return new Message(
                                Json.parse(StandardCharsets.UTF_8.decode(bytes).toString()));
                    }
                }
            }
        }
    }

    private static ByteBuffer joined(ByteBuffer head, ByteBuffer tail) {
        return head.hasRemaining()
                ? ByteBuffer.allocate(head.remaining() + tail.remaining())
                        .put(head)
                        .put(tail)
                        .flip()
                : tail;
    }

    private Frame readFrame() throws IOException {
        byte[] head = readFully(2);
        if ((head[1] & MASKED) != 0) {
            throw new IOException("a server must not mask");
        }
        long length = head[1] & 0x7f;
        if (length == 126) {
            length = ByteBuffer.wrap(readFully(2)).getShort() & 0xffff;
        } else if (length == 127) {
            length = ByteBuffer.wrap(readFully(8)).getLong();
        }
        if (length < 0 || length > MESSAGE_MAX) {
            throw new IOException("a message was too long");
        }
        return new Frame(head[0] & 0x0f, (head[0] & FINAL) != 0, ByteBuffer.wrap(readFully((int) length)));
    }

    private byte[] readFully(int count) throws IOException {
        byte[] bytes = new byte[count];
        int unanswered = 0;
        for (int have = 0; have < count; ) {
            try {
                int n = in.read(bytes, have, count - have);
                if (n < 0) {
                    throw new EOFException("closed by the server");
                }
                have += n;
                unanswered = 0;
            } catch (SocketTimeoutException e) {
                if (unanswered++ == UNANSWERED_MAX) {
                    throw new IOException("no sign of life", e);
                }
                if (writing.tryLock()) {
                    try {
                        write(PING, new byte[0]);
                    } finally {
                        writing.unlock();
                    }
                }
            }
        }
        return bytes;
    }

    /** False when the connection is broken. Blocks while the other side is behind with reading. */
    boolean send(String text) {
        writing.lock();
        try {
            write(TEXT, text.getBytes(StandardCharsets.UTF_8));
            return true;
        } catch (IOException e) {
            close(); // wakes the reader
            return false;
        } finally {
            writing.unlock();
        }
    }

    private void write(int opcode, byte[] payload) throws IOException {
        ByteBuffer frame = ByteBuffer.allocate(14 + payload.length);
        frame.put((byte) (FINAL | opcode));
        if (payload.length < 126) {
            frame.put((byte) (MASKED | payload.length));
        } else if (payload.length < 1 << 16) {
            frame.put((byte) (MASKED | 126)).putShort((short) payload.length);
        } else {
            frame.put((byte) (MASKED | 127)).putLong(payload.length);
        }
        byte[] mask = new byte[4];
        ThreadLocalRandom.current().nextBytes(mask); // against confused proxies, not for secrecy
        frame.put(mask);
        for (int i = 0; i < payload.length; i++) {
            frame.put((byte) (payload[i] ^ mask[i & 3]));
        }
        socket.getOutputStream().write(frame.array(), 0, frame.position());
    }

    void close() {
        closeQuietly(socket);
    }

    private static void closeQuietly(@Nullable Socket socket) {
        if (socket != null) {
            try {
                socket.close();
            } catch (IOException e) {
                // It is gone either way.
            }
        }
    }
}
