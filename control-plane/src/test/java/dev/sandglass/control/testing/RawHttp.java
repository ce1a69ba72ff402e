package dev.sandglass.control.testing;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

/** A connection that sends what it is told, byte by byte, whatever HTTP says. */
public final class RawHttp implements AutoCloseable {
    private final Socket socket;

    public RawHttp(URI url) {
        try {
            socket = new Socket(url.getHost(), url.getPort());
            socket.setTcpNoDelay(true);
            socket.setSoTimeout(30_000);
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    /** Everything that is answered to {@code request} until the connection ends, at most a minute. */
    public static String exchange(URI url, String request) {
        try (RawHttp http = new RawHttp(url)) {
            http.trySend(request);
            return http.untilClosed(Duration.ofMinutes(1));
        }
    }

    public void send(byte[] bytes) throws IOException {
        socket.getOutputStream().write(bytes);
        socket.getOutputStream().flush();
    }

    /** In ISO 8859-1: a character is a byte. */
    public void send(String text) throws IOException {
        send(text.getBytes(StandardCharsets.ISO_8859_1));
    }

    /** False when the connection is gone. */
    public boolean trySend(String text) {
        try {
            send(text);
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    public boolean trySend(byte[] bytes) {
        try {
            send(bytes);
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    /** A reset counts as an end. */
    public String untilClosed(Duration limit) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        long deadline = System.nanoTime() + limit.toNanos();
        try {
            InputStream in = socket.getInputStream();
            socket.setSoTimeout(200);
            while (System.nanoTime() < deadline) {
                try {
                    int read = in.read();
                    if (read < 0) {
                        return bytes.toString(StandardCharsets.UTF_8);
                    }
                    bytes.write(read);
                } catch (SocketTimeoutException e) {
                    // not yet
                }
            }
        } catch (IOException e) {
            return bytes.toString(StandardCharsets.UTF_8);
        }
        throw new AssertionError("the connection is still open after " + limit + ": " + bytes);
    }

    /** An answer of a server that keeps the connection: its head, and a body of its Content-Length. */
    public String answer() throws IOException {
        StringBuilder head = new StringBuilder();
        InputStream in = socket.getInputStream();
        while (head.indexOf("\r\n\r\n") < 0) {
            int read = in.read();
            if (read < 0) {
                throw new IOException("the connection ended after: " + head);
            }
            head.append((char) read);
        }
        int length = head.toString()
                .lines()
                .filter(line -> line.toLowerCase(java.util.Locale.ROOT).startsWith("content-length:"))
                .mapToInt(line ->
                        Integer.parseInt(line.substring(line.indexOf(':') + 1).strip()))
                .findFirst()
                .orElse(0);
        return head + new String(in.readNBytes(length), StandardCharsets.UTF_8);
    }

    public InputStream in() throws IOException {
        return socket.getInputStream();
    }

    /** Reads time out after this. */
    public void patience(Duration patience) throws IOException {
        socket.setSoTimeout((int) patience.toMillis());
    }

    @Override
    public void close() {
        try {
            socket.close();
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }
}
