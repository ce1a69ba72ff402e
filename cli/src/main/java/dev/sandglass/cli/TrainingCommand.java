package dev.sandglass.cli;

import dev.sandglass.cli.server.ServerTraining;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * What the build runs once, for the JVM to learn what short commands load (its AOT cache): it goes through them against
 * a server of a few lines that answers every one with the least that will do. With {@code --server} it is the server
 * that is gone through.
 */
@Command(name = "training-run", hidden = true)
final class TrainingCommand implements Callable<Integer> {
    private static final String SANDBOX =
            "{\"id\":\"sb00000000000000000000\",\"status\":\"running\",\"template\":\"base\","
                    + "\"vcpus\":1,\"memory_mb\":512,\"created_at\":\"2026-01-01T00:00:00Z\"}";
    private static final String GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    private static final int SOCKET_MILLIS = 5_000;

    @Option(names = "--server")
    private boolean server;

    @Override
    public Integer call() throws Exception {
        if (server) {
            ServerTraining.run();
            return 0;
        }
        return shortCommands();
    }

    private static int shortCommands() throws IOException {
        try (ServerSocket server = new ServerSocket(0, 16, InetAddress.getLoopbackAddress())) {
            Thread.ofPlatform().daemon().start(() -> serve(server));
            PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream(), true, StandardCharsets.UTF_8);
            Context context = new Context(
                    Map.of("SANDGLASS_URL", "http://127.0.0.1:" + server.getLocalPort(), "SANDGLASS_API_KEY", "sgk_"),
                    Path.of("/nonexistent"),
                    new ByteArrayInputStream(new byte[1]),
                    nowhere,
                    nowhere);
            int failed =
                    Main.execute(context, "run", "-i", "-e", "A=b", "--timeout", "1m", "--memory", "1g", "--", "true")
                            + Main.execute(context, "exec", "sb00000000000000000000", "--", "true")
                            + Main.execute(context, "ps")
                            + Main.execute(context, "ps", "--json")
                            + Main.execute(context, "create")
                            + Main.execute(context, "pause", "sb0")
                            + Main.execute(context, "resume", "sb0")
                            + Main.execute(context, "snapshot", "create", "sb0")
                            + Main.execute(context, "rm", "sb0")
                            + Main.execute(context, "run", "--help");
            return failed == 0 ? 0 : 1;
        }
    }

    private static void serve(ServerSocket server) {
        while (true) {
            try {
                Socket socket = server.accept();
                socket.setSoTimeout(SOCKET_MILLIS);
                Thread.ofPlatform().daemon().start(() -> answer(socket));
            } catch (IOException e) {
                return; // closed: the training is over
            }
        }
    }

    /** The requests of one connection. */
    private static void answer(Socket socket) {
        try (socket) {
            var in = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.ISO_8859_1));
            for (String request = in.readLine(); request != null; request = in.readLine()) {
                int length = 0;
                String key = "";
                for (String header = in.readLine(); header != null && !header.isEmpty(); header = in.readLine()) {
                    String value = header.substring(header.indexOf(':') + 1).strip();
                    if (header.regionMatches(true, 0, "content-length:", 0, 15)) {
                        length = Integer.parseInt(value);
                    } else if (header.regionMatches(true, 0, "sec-websocket-key:", 0, 18)) {
                        key = value;
                    }
                }
                in.skip(length);
                if (key.isEmpty()) {
                    reply(socket.getOutputStream(), request);
                } else {
                    exec(socket, key);
                    return;
                }
            }
        } catch (IOException e) {
            // the client is done
        }
    }

    private static void reply(OutputStream out, String request) throws IOException {
        String body = request.startsWith("GET") ? "[" + SANDBOX + "]" : request.startsWith("POST") ? SANDBOX : "";
        String status = request.startsWith("DELETE") ? "204 No Content" : "200 OK\r\nContent-Length: " + body.length();
        out.write(("HTTP/1.1 " + status + "\r\n\r\n" + body).getBytes(StandardCharsets.US_ASCII));
    }

    private static void exec(Socket socket, String key) throws IOException {
        OutputStream out = socket.getOutputStream();
        out.write(("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        + "Sec-WebSocket-Accept: " + accept(key) + "\r\n\r\n")
                .getBytes(StandardCharsets.US_ASCII));
        frame(out, "{\"type\":\"start\",\"pid\":1,\"exec_id\":\"ex00000000000000000000\"}");
        frame(out, "{\"type\":\"stdout\",\"seq\":3,\"data\":\"42\\n\"}");
        frame(out, "{\"type\":\"stderr\",\"seq\":6,\"data\":\"NDIK\",\"encoding\":\"base64\"}");
        frame(out, "{\"type\":\"exit\",\"exit_code\":0}");
        socket.getInputStream().readAllBytes();
    }

    /** A short text frame. */
    private static void frame(OutputStream out, String text) throws IOException {
        out.write(0x81);
        out.write(text.length());
        out.write(text.getBytes(StandardCharsets.US_ASCII));
    }

    private static String accept(String key) throws IOException {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-1").digest((key + GUID).getBytes(StandardCharsets.US_ASCII));
            return Base64.getEncoder().encodeToString(digest);
        } catch (java.security.NoSuchAlgorithmException e) {
            throw new IOException(e);
        }
    }
}
