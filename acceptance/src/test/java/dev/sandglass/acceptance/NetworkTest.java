package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.Inet4Address;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.net.ServerSocket;
import java.net.SocketException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;

/** What a guest reaches, tried from inside. */
@Order(32)
@ExtendWith(Shared.class)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@SuppressWarnings("NullAway.Init")
class NetworkTest {
    /** Tries all at once and says for each: open, refused, timeout or why it cannot even be tried. */
    private static final String TRY = """
            import socket, sys, json, threading, errno
            targets = json.loads(sys.stdin.read())
            results = {}
            def attempt(target):
                kind, host, port = target
                key = kind + ' ' + host + ' ' + str(port)
                family = socket.AF_INET6 if ':' in host else socket.AF_INET
                try:
                    s = socket.socket(family, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
                    s.settimeout(2)
                    address = socket.getaddrinfo(host, port, family)[0][4]
                    s.connect(address)
                    if kind == 'udp':
                        s.send(b'\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x01a\\x07example\\x00\\x00\\x01\\x00\\x01')
                        s.recv(512)
                    results[key] = 'open'
                except socket.timeout:
                    results[key] = 'timeout'
                except OSError as e:
                    results[key] = errno.errorcode.get(e.errno, str(e))
            threads = [threading.Thread(target=attempt, args=(t,)) for t in targets]
            for t in threads: t.start()
            for t in threads: t.join()
            print(json.dumps(results))
            """;

    /** Nothing came back: dropped, or no way there. A refusal would be an answer of somebody who must not be seen. */
    private static final List<String> NO_ANSWER = List.of(
            "timeout", "ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "EINVAL", "EACCES", "EPERM", "EAFNOSUPPORT");

    private Outside outside;
    private Installation server;
    private Sandbox sandbox;
    private Sandbox neighbour;
    private ServerSocket onEveryAddress;
    private final AtomicInteger visitors = new AtomicInteger();

    @BeforeAll
    void start(Installation shared) throws IOException {
        outside = new Outside();
        onEveryAddress = new ServerSocket(0, 50, InetAddress.ofLiteral("0.0.0.0"));
        Thread.ofPlatform().daemon().name("visitors").start(this::count);
        server = Installation.of("network").withTemplatesOf(shared).with("SANDGLASS_DNS", Outside.RESOLVER);
        server.start();
        sandbox = server.api().create();
        neighbour = server.api().create();
    }

    private void count() {
        try {
            while (true) {
                onEveryAddress.accept().close();
                visitors.incrementAndGet();
            }
        } catch (IOException e) {
            // The test is over.
        }
    }

    @AfterAll
    void end() throws IOException {
        try (ServerSocket _ = onEveryAddress;
                Outside _ = outside;
                Installation closing = server) {
            assertThat(closing.isRunning()).isTrue();
        }
    }

    private record Target(String kind, String host, int port) {
        String key() {
            return kind + " " + host + " " + port;
        }
    }

    private Map<String, String> attempt(List<Target> targets) {
        String list = Json.write(targets.stream()
                .map(target -> List.of(target.kind, target.host, target.port))
                .toList());
        JsonNode results = Json.parse(
                sandbox.exec(Map.of("cmd", "python3", "args", List.of("-c", TRY), "stdin", list, "timeout_sec", 60))
                        .require());
        Map<String, String> all = new java.util.TreeMap<>();
        targets.forEach(
                target -> all.put(target.key(), results.path(target.key()).asString("missing")));
        return all;
    }

    private void assertOutOfReach(List<Target> targets) {
        assertThat(attempt(targets))
                .allSatisfy((target, result) -> assertThat(result).isIn(NO_ANSWER));
    }

    @Test
    void aPublicAddressAndNamesWork() {
        assertThat(sandbox.exec("curl", "-sS", "--max-time", "10", "http://" + Outside.PUBLIC + ":8080/")
                        .require())
                .isEqualTo(Outside.GREETING);
        assertThat(sandbox.exec("curl", "-sS", "--max-time", "10", "http://" + Outside.NAME + ":8080/")
                        .require())
                .isEqualTo(Outside.GREETING);
        assertThat(sandbox.exec("python3", "-c", "import socket; print(socket.gethostbyname('x.example'))")
                        .require())
                .isEqualTo(Outside.PUBLIC);
        assertThat(sandbox.exec("python3", "-c", "import socket; socket.gethostbyname('x.invalid')")
                        .exitCode())
                .isNotZero();
        assertThat(outside.connections()).contains(Outside.PUBLIC + " from 203.0.113.1", "query from");
    }

    @Test
    void theResolverIsReachedForNamesOnly() {
        assertThat(attempt(List.of(new Target("udp", Outside.RESOLVER, 53)))).containsValue("open");
        assertOutOfReach(List.of(new Target("tcp", Outside.RESOLVER, 8080), new Target("udp", Outside.RESOLVER, 5353)));
        assertThat(outside.connections()).doesNotContain(Outside.RESOLVER + " from");
    }

    @Test
    void anotherSandboxIsOutOfReach() {
        List<Target> targets = new ArrayList<>();
        for (int port : List.of(22, 80, 49983)) {
            targets.add(new Target("tcp", neighbour.hostIp(), port));
            targets.add(new Target("tcp", sandbox.hostIp(), port));
            targets.add(new Target("tcp", "10.12.0." + port % 250, port));
        }
        assertOutOfReach(targets);
        assertThat(neighbour.exec("echo", "fine").require()).isEqualTo("fine");
    }

    @Test
    void theHostIsOutOfReachAtAllItsAddresses() {
        List<Target> targets = new ArrayList<>();
        for (String address : addressesOfTheHost()) {
            for (int port : List.of(onEveryAddress.getLocalPort(), server.port(), 22)) {
                targets.add(new Target("tcp", address, port));
            }
            targets.add(new Target("udp", address, 53));
        }
        assertThat(targets).isNotEmpty();
        assertOutOfReach(targets);
        assertThat(visitors).hasValue(0);
    }

    private static List<String> addressesOfTheHost() {
        try {
            return Collections.list(NetworkInterface.getNetworkInterfaces()).stream()
                    .flatMap(NetworkInterface::inetAddresses)
                    .filter(address -> address instanceof Inet4Address && !address.isLoopbackAddress())
                    .map(InetAddress::getHostAddress)
                    .toList();
        } catch (SocketException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The gateway is the sandbox's own namespace: it has no service but the way to the resolver. */
    @Test
    void theGatewayServesNamesOnly() {
        int port = onEveryAddress.getLocalPort();
        assertThat(attempt(List.of(
                        new Target("tcp", "169.254.0.22", port),
                        new Target("tcp", "169.254.0.22", server.port()),
                        new Target("tcp", "169.254.0.22", 49983),
                        new Target("tcp", "169.254.0.22", 22))))
                .doesNotContainValue("open");
        assertThat(visitors).hasValue(0);
    }

    @Test
    void privateAndSpecialRangesAreOutOfReach() {
        List<Target> targets = new ArrayList<>();
        for (String address : List.of(
                "10.0.0.1",
                "10.11.0.1",
                "10.11.255.254",
                "10.12.0.0",
                "10.13.255.255",
                "10.255.255.254",
                "100.64.0.1",
                "169.254.169.254",
                "169.254.1.1",
                "172.16.0.1",
                "172.17.0.1",
                "172.31.255.254",
                "192.168.0.1",
                "192.168.217.1",
                "192.168.217.53",
                "198.18.0.1",
                "0.0.0.1",
                "224.0.0.1",
                "240.0.0.1",
                "255.255.255.255")) {
            targets.add(new Target("tcp", address, 80));
        }
        targets.add(new Target("tcp", "169.254.169.254", 8080));
        targets.add(new Target("udp", "169.254.169.254", 53));
        assertOutOfReach(targets);
    }

    @Test
    void nothingGoesOverIpv6() {
        assertOutOfReach(List.of(
                new Target("tcp", "2001:db8::1", 80),
                new Target("tcp", "2606:4700:4700::1111", 443),
                new Target("tcp", "fd00:ec2::254", 80),
                new Target("tcp", "fe80::1%eth0", 80),
                new Target("udp", "ff02::1%eth0", 53)));
    }

    /** A guest is root in its machine and may put anything on the wire. */
    @Test
    void anotherSourceAddressLeadsNowhere() {
        String spoof = """
                import socket, struct
                def sum16(b):
                    s = sum(struct.unpack('!%%dH' %% (len(b) // 2), b)); s = (s >> 16) + (s & 0xffff); return ~(s + (s >> 16)) & 0xffff
                s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
                for source in ('10.11.0.1', '10.12.0.0', '192.168.217.1', '8.8.8.8'):
                    for target in ('%s', '%s'):
                        src, dst = socket.inet_aton(source), socket.inet_aton(target)
                        udp = struct.pack('!HHHH', 999, 53, 8 + 27, 0) + b'\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x01a\\x07example\\x00\\x00\\x01\\x00\\x01'
                        ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, src, dst)
                        ip = ip[:10] + struct.pack('!H', sum16(ip)) + ip[12:]
                        s.sendto(ip + udp, (target, 0))
                print('sent')
                """.formatted(Outside.RESOLVER, Outside.PUBLIC);
        long before = queries();
        assertThat(sandbox.exec("python3", "-c", spoof).require()).isEqualTo("sent");
        Installation.pause(java.time.Duration.ofMillis(500));
        assertThat(queries()).as("queries that reached the resolver").isEqualTo(before);
    }

    private long queries() {
        return outside.connections()
                .lines()
                .filter(line -> line.startsWith("query"))
                .count();
    }

    @Test
    void theHostReachesOnlyTheAgentThatAsksForAToken() throws IOException {
        try (java.net.Socket socket = new java.net.Socket()) {
            socket.connect(new java.net.InetSocketAddress(sandbox.hostIp(), 49983), 2000);
            socket.setSoTimeout(5000);
            socket.getOutputStream()
                    .write("GET / HTTP/1.0\r\n\r\n".getBytes(java.nio.charset.StandardCharsets.US_ASCII));
            assertThat(socket.getInputStream().readNBytes(64)).asString().doesNotContain("HTTP/1");
        } catch (java.net.SocketException e) {
            assertThat(e).as("a reset is an answer, too").hasMessageContaining("reset");
        }
        assertThat(sandbox.exec("echo", "well").require()).isEqualTo("well");
    }
}
