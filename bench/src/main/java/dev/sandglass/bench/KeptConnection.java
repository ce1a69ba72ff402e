package dev.sandglass.bench;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/**
 * One GET over and over on one connection, at next to no cost of its own: the client shares its processors with what is
 * measured. Understands answers with a Content-Length, and nothing else. Used by one thread.
 */
final class KeptConnection implements AutoCloseable {
    private static final int ANSWER_BYTES_MAX = 64 << 10;
    private static final int TIMEOUT_MILLIS = 60_000;
    private static final byte[] OK = "HTTP/1.1 200".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] END_OF_HEAD = "\r\n\r\n".getBytes(StandardCharsets.US_ASCII);

    private final Socket socket;
    private final InputStream in;
    private final OutputStream out;
    private final byte[] request;
    private final byte[] answer = new byte[ANSWER_BYTES_MAX];

    KeptConnection(URI url, String path, String apiKey) {
        try {
            socket = new Socket(url.getHost(), url.getPort());
            socket.setTcpNoDelay(true);
            socket.setSoTimeout(TIMEOUT_MILLIS);
            in = socket.getInputStream();
            out = socket.getOutputStream();
        } catch (IOException e) {
            throw new BenchFailure("The server at " + url + " does not answer: " + e);
        }
        request = ("GET " + path + " HTTP/1.1\r\nHost: " + url.getAuthority() + "\r\nX-API-Key: " + apiKey + "\r\n\r\n")
                .getBytes(StandardCharsets.ISO_8859_1);
    }

    /** Returns when the answer, which must be a 200, has arrived whole. */
    void get() {
        try {
            out.write(request);
            int read = 0;
            int whole = -1;
            while (whole < 0 || read < whole) {
                int n = in.read(answer, read, answer.length - read);
                if (n <= 0) {
                    throw new BenchFailure("The server closed a connection in the middle of an answer.");
                }
                read += n;
                whole = whole < 0 ? length(read) : whole;
            }
            if (!startsWith(OK)) {
                throw new BenchFailure("The server answered " + new String(answer, 0, read, StandardCharsets.UTF_8));
            }
        } catch (IOException e) {
            throw new BenchFailure("A connection to the server broke: " + e);
        }
    }

    /** Of head and body; negative while the head is not whole. */
    private int length(int read) {
        int end = indexOf(END_OF_HEAD, read);
        if (end < 0) {
            return -1;
        }
        String head = new String(answer, 0, end, StandardCharsets.ISO_8859_1).toLowerCase(Locale.ROOT);
        int at = head.indexOf("content-length: ");
        if (at < 0) {
            throw new BenchFailure("The server's answer has no length: " + head);
        }
        int lineEnd = head.indexOf('\r', at);
        String length = head.substring(at + "content-length: ".length(), lineEnd < 0 ? head.length() : lineEnd);
        return end + END_OF_HEAD.length + Integer.parseInt(length.strip());
    }

    private int indexOf(byte[] wanted, int end) {
        for (int i = 0; i + wanted.length <= end; i++) {
            int matched = 0;
            while (matched < wanted.length && answer[i + matched] == wanted[matched]) {
                matched++;
            }
            if (matched == wanted.length) {
                return i;
            }
        }
        return -1;
    }

    private boolean startsWith(byte[] wanted) {
        for (int i = 0; i < wanted.length; i++) {
            if (answer[i] != wanted[i]) {
                return false;
            }
        }
        return true;
    }

    @Override
    public void close() {
        try {
            socket.close();
        } catch (IOException e) {
            // it was of no more use anyway
        }
    }
}
