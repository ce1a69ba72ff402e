package dev.sandglass.acceptance;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The internet of a test: a network namespace with a public web server, a resolver at a private address, and a service
 * at that private address that nobody inside may reach. Every connection is written down.
 *
 * <pre>
 * host                                  │ namespace
 *   sgpub&lt;n&gt;  203.0.113.1/24 ────────── │ 203.0.113.10      web server, port 8080
 *             192.168.217.1/24          │ 192.168.217.53    resolver, port 53; forbidden service, port 8080
 * </pre>
 */
final class Outside implements AutoCloseable {
    static final String PUBLIC = "203.0.113.10";
    static final String RESOLVER = "192.168.217.53";
    static final int PORT = 8080;
    /** Says something and holds the connection. */
    static final int HOLD_PORT = 8081;

    static final String NAME = "public.test.example";
    static final String GREETING = "hello from outside";

    private final String namespace = "sgpub" + ProcessHandle.current().pid() % 100_000;
    private final Path log;
    private final Process server;

    Outside() {
        try {
            log = Files.createTempFile("sandglass-outside-", ".log");
            ip("netns", "add", namespace);
            ip("link", "add", namespace, "type", "veth", "peer", "name", "public0", "netns", namespace);
            ip("addr", "add", "203.0.113.1/24", "dev", namespace);
            ip("addr", "add", "192.168.217.1/24", "dev", namespace);
            ip("link", "set", namespace, "up");
            for (String address : List.of(PUBLIC, RESOLVER)) {
                ip("-n", namespace, "addr", "add", address + "/24", "dev", "public0");
            }
            ip("-n", namespace, "link", "set", "public0", "up");
            ip("-n", namespace, "link", "set", "lo", "up");
            server = new ProcessBuilder(
                            "ip",
                            "netns",
                            "exec",
                            namespace,
                            System.getProperty("java.home") + "/bin/java",
                            "-XX:TieredStopAtLevel=1",
                            "-Xmx32m",
                            "-cp",
                            System.getProperty("java.class.path"),
                            Outside.class.getName())
                    .redirectErrorStream(true)
                    .redirectOutput(log.toFile())
                    .start();
            for (int i = 0; i < 200 && !connections().contains("listening"); i++) {
                Installation.pause(Duration.ofMillis(50));
            }
            if (!connections().contains("listening")) {
                throw new AssertionError("the outside did not start: " + connections());
            }
        } catch (IOException e) {
            throw new UncheckedIOException("make an outside", e);
        }
    }

    private static void ip(String... arguments) {
        String[] argv = new String[arguments.length + 1];
        argv[0] = "ip";
        System.arraycopy(arguments, 0, argv, 1, arguments.length);
        Shell.of(argv).run().require();
    }

    /** What reached it, one line each. */
    String connections() {
        return Installation.read(log);
    }

    @Override
    public void close() {
        Shell.killTree(server.toHandle());
        Shell.of("ip", "link", "del", namespace).run();
        Shell.of("ip", "netns", "del", namespace).run();
        Shell.of("rm", "-f", log.toString()).run();
    }

    // --- inside the namespace

    public static void main(String[] args) throws Exception {
        Thread.ofPlatform().daemon().start(() -> accept(PUBLIC));
        Thread.ofPlatform().daemon().start(() -> accept(RESOLVER));
        Thread.ofPlatform().daemon().start(Outside::hold);
        try (DatagramSocket socket = new DatagramSocket(new InetSocketAddress(RESOLVER, 53))) {
            System.out.println("listening");
            byte[] buffer = new byte[1500];
            while (true) {
                DatagramPacket query = new DatagramPacket(buffer, buffer.length);
                socket.receive(query);
                System.out.println("query from " + query.getAddress().getHostAddress());
                byte[] answer = answer(Arrays.copyOf(buffer, query.getLength()));
                socket.send(new DatagramPacket(answer, answer.length, query.getSocketAddress()));
            }
        }
    }

    private static void hold() {
        List<Socket> held = new ArrayList<>();
        try (ServerSocket server = new ServerSocket(HOLD_PORT, 50, InetAddress.ofLiteral(PUBLIC))) {
            while (true) {
                Socket socket = server.accept();
                held.add(socket);
                socket.getOutputStream().write('.');
            }
        } catch (IOException e) {
            System.out.println("cannot hold " + held.size() + " connections: " + e);
        }
    }

    private static void accept(String address) {
        try (ServerSocket server = new ServerSocket(PORT, 50, InetAddress.ofLiteral(address))) {
            while (true) {
                try (Socket socket = server.accept();
                        OutputStream out = socket.getOutputStream()) {
                    System.out.println(
                            address + " from " + socket.getInetAddress().getHostAddress());
                    out.write(("HTTP/1.0 200 OK\r\nContent-Length: " + GREETING.length() + "\r\n\r\n" + GREETING)
                            .getBytes(StandardCharsets.US_ASCII));
                    out.flush();
                    socket.shutdownOutput();
                    socket.setSoTimeout(1000);
                    byte[] request = new byte[4096];
                    while (socket.getInputStream().read(request) > 0) {
                        // A reset would lose the answer.
                    }
                } catch (IOException e) {
                    System.out.println(address + ": " + e);
                }
            }
        } catch (IOException e) {
            System.out.println(address + " cannot listen: " + e);
        }
    }

    /** Every name of the test's domain is the public server; every other does not exist. IPv6 has no answer. */
    private static byte[] answer(byte[] query) {
        int end = 12;
        while (query[end] != 0) {
            end += query[end] + 1;
        }
        int type = query[end + 1] << 8 | query[end + 2];
        boolean known = new String(query, 12, end - 12, StandardCharsets.ISO_8859_1).contains("example");
        byte[] question = Arrays.copyOfRange(query, 12, end + 5);
        boolean address = known && type == 1;
        ByteBuffer answer = ByteBuffer.allocate(12 + question.length + (address ? 16 : 0));
        answer.put(query, 0, 2)
                .putShort((short) (known ? 0x8180 : 0x8183))
                .putShort((short) 1)
                .putShort((short) (address ? 1 : 0))
                .putShort((short) 0)
                .putShort((short) 0)
                .put(question);
        if (address) {
            answer.putShort((short) 0xc00c)
                    .putShort((short) 1)
                    .putShort((short) 1)
                    .putInt(60)
                    .putShort((short) 4)
                    .put(InetAddress.ofLiteral(PUBLIC).getAddress());
        }
        return answer.array();
    }
}
