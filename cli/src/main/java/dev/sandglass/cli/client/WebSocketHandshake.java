package dev.sandglass.cli.client;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.Base64;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;

/** The HTTP request that turns a connection into a WebSocket, RFC 6455 section 4.1. */
final class WebSocketHandshake {
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(5);
    private static final String GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    private static final int LINE_MAX = 8 * 1024;
    private static final int HEADERS_MAX = 100;
    private static final int BODY_MAX = 64 * 1024;

    private WebSocketHandshake() {}

    static Socket connect(URI url) throws IOException {
        boolean tls = "https".equals(url.getScheme());
        int port = url.getPort() >= 0 ? url.getPort() : tls ? 443 : 80;
        String host = url.getHost().replaceAll("^\\[|]$", "");
        Socket plain = new Socket();
        try {
            plain.setTcpNoDelay(true);
            plain.connect(new InetSocketAddress(host, port), (int) CONNECT_TIMEOUT.toMillis());
            if (!tls) {
                return plain;
            }
            SSLSocket secured = (SSLSocket)
                    ((SSLSocketFactory) SSLSocketFactory.getDefault()).createSocket(plain, host, port, true);
            SSLParameters parameters = secured.getSSLParameters();
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            secured.setSSLParameters(parameters);
            return secured;
        } catch (IOException e) {
            plain.close();
            throw e;
        }
    }

    /** A refusal is an {@link ApiFailure} with the server's reason. */
    static void perform(Access access, String path, String what, OutputStream out, InputStream in) throws IOException {
        byte[] nonce = new byte[16];
        ThreadLocalRandom.current().nextBytes(nonce);
        String key = Base64.getEncoder().encodeToString(nonce);
        String request = "GET " + access.resolve(path).getRawPath() + " HTTP/1.1\r\n"
                + "Host: " + access.url().getRawAuthority() + "\r\n"
                + "Connection: Upgrade\r\n"
                + "Upgrade: websocket\r\n"
                + "Sec-WebSocket-Version: 13\r\n"
                + "Sec-WebSocket-Key: " + key + "\r\n"
                + "X-API-Key: " + access.apiKey() + "\r\n\r\n";
        out.write(request.getBytes(StandardCharsets.US_ASCII));
        String[] status = line(in).split(" ", 3);
        if (status.length < 2 || !status[0].startsWith("HTTP/1.1") || !status[1].matches("[1-5][0-9][0-9]")) {
            throw new IOException("no HTTP server");
        }
        Map<String, String> headers = headers(in);
        if (!status[1].equals("101")) {
            throw Api.refusal(Integer.parseInt(status[1]), body(in, headers), what);
        }
        if (!accept(key).equals(headers.get("sec-websocket-accept"))) {
            throw new IOException("no WebSocket server");
        }
    }

    private static Map<String, String> headers(InputStream in) throws IOException {
        Map<String, String> headers = new HashMap<>();
        for (int i = 0; i < HEADERS_MAX; i++) {
            String line = line(in);
            if (line.isEmpty()) {
                return headers;
            }
            int colon = line.indexOf(':');
            if (colon > 0) {
                headers.put(
                        line.substring(0, colon).toLowerCase(Locale.ROOT),
                        line.substring(colon + 1).strip());
            }
        }
        throw new IOException("too many headers");
    }

    private static String line(InputStream in) throws IOException {
        StringBuilder line = new StringBuilder();
        for (int c = in.read(); c != '\n'; c = in.read()) {
            if (c < 0) {
                throw new EOFException("closed by the server");
            }
            if (line.length() == LINE_MAX) {
                throw new IOException("a header was too long");
            }
            line.append((char) c);
        }
        return line.toString().stripTrailing();
    }

    private static String body(InputStream in, Map<String, String> headers) throws IOException {
        String length = headers.getOrDefault("content-length", "");
        if (!length.matches("[0-9]{1,6}")) {
            return ""; // chunked, or none: the status alone has to do
        }
        return new String(in.readNBytes(Math.min(Integer.parseInt(length), BODY_MAX)), StandardCharsets.UTF_8);
    }

    private static String accept(String key) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-1").digest((key + GUID).getBytes(StandardCharsets.US_ASCII));
            return Base64.getEncoder().encodeToString(digest);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
