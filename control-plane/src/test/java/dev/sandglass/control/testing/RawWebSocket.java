package dev.sandglass.control.testing;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

/** A WebSocket that sends whatever frames it is told (RFC 6455), also those that no client would. */
public final class RawWebSocket implements AutoCloseable {
    public static final int CONTINUATION = 0;
    public static final int TEXT = 1;
    public static final int BINARY = 2;
    public static final int CLOSE = 8;
    public static final int PING = 9;
    public static final int PONG = 10;

    private final RawHttp http;
    private final String handshake;

    /** The handshake is over; {@link #isOpen} says how it went. */
    public RawWebSocket(URI url, String path, String headers) throws IOException {
        http = new RawHttp(url);
        http.send("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" + headers + "\r\n");
        handshake = http.answer();
    }

    public boolean isOpen() {
        return handshake.startsWith("HTTP/1.1 101");
    }

    public String handshake() {
        return handshake;
    }

    public RawWebSocket text(String text) throws IOException {
        http.send(frame(0x80 | TEXT, true, text.getBytes(StandardCharsets.UTF_8)));
        return this;
    }

    /** False when the connection is gone. */
    public boolean trySend(byte[] frame) {
        return http.trySend(frame);
    }

    /** A whole frame; the mask is of zeros, which leaves the content as it is. */
    public static byte[] frame(int first, boolean masked, byte[] content) {
        ByteArrayOutputStream frame = new ByteArrayOutputStream();
        frame.writeBytes(head(first, masked, content.length));
        frame.writeBytes(content);
        return frame.toByteArray();
    }

    /** The beginning of a frame that says it is so long. */
    public static byte[] head(int first, boolean masked, long length) {
        ByteArrayOutputStream head = new ByteArrayOutputStream();
        head.write(first);
        int mask = masked ? 0x80 : 0;
        if (length < 126) {
            head.write(mask | (int) length);
        } else if (length < 1 << 16) {
            head.write(mask | 126);
            head.write((int) length >> 8);
            head.write((int) length & 0xff);
        } else {
            head.write(mask | 127);
            for (int shift = 56; shift >= 0; shift -= 8) {
                head.write((int) (length >> shift) & 0xff);
            }
        }
        if (masked) {
            head.writeBytes(new byte[4]);
        }
        return head.toByteArray();
    }

    /** The status of the close frame that comes, whatever comes before; −1 when the connection ends without one. */
    public int closeStatus(Duration patience) {
        try {
            http.patience(patience);
            DataInputStream in = new DataInputStream(http.in());
            while (true) {
                int opcode = in.readUnsignedByte() & 0xf;
                long length = in.readUnsignedByte() & 0x7f;
                length = length == 126 ? in.readUnsignedShort() : length == 127 ? in.readLong() : length;
                byte[] content = in.readNBytes((int) length);
                if (opcode == CLOSE) {
                    return content.length < 2 ? 1005 : (content[0] & 0xff) << 8 | (content[1] & 0xff);
                }
            }
        } catch (java.net.SocketTimeoutException e) {
            throw new AssertionError("it is still open after " + patience);
        } catch (IOException e) {
            return -1;
        }
    }

    @Override
    public void close() {
        http.close();
    }
}
