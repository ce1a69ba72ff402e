package dev.sandglass.host.network;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.Id;
import dev.sandglass.contract.Scope;
import dev.sandglass.host.linux.Command;
import dev.sandglass.host.linux.Deadline;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.Inet4Address;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a guest reaches and what reaches it, asked from where a guest would be. */
class EgressPolicyTest {
    @TempDir
    Path home;

    private final Scope scope = Scope.open("test");
    private TestInternet internet;
    private Networks networks;
    private Slot slot;
    private TestGuest guest;
    private Networks neighbours;
    private Slot otherInstallation;
    private Slot otherSandbox;
    private ServerSocket host;

    @BeforeEach
    void twoInstallationsAndTheWorld() throws IOException {
        try {
            internet = scope.own(new TestInternet());
            networks = open("tone");
            neighbours = open("ttwo");
            slot = acquire(networks);
            otherSandbox = acquire(networks);
            otherInstallation = acquire(neighbours);
            guest = scope.own(new TestGuest(slot));
            host = scope.own(new ServerSocket(0, 50));
            Thread.ofVirtual().start(this::answer);
        } catch (IOException | RuntimeException e) {
            scope.close();
            throw e;
        }
    }

    @AfterEach
    void end() {
        scope.close();
    }

    private Networks open(String name) {
        return scope.own(Networks.open(
                NetworkConfiguration.standard(name + Id.Ids.randomCharacters(8), home, internet.resolver(), 0)));
    }

    private Slot acquire(Networks from) {
        Slot acquired = from.acquire(Deadline.after(Duration.ofSeconds(20)));
        scope.defer("slot", () -> from.release(acquired));
        return acquired;
    }

    private void answer() {
        while (!host.isClosed()) {
            try (Socket socket = host.accept();
                    OutputStream out = socket.getOutputStream()) {
                out.write("host\n".getBytes(StandardCharsets.UTF_8));
            } catch (IOException e) {
                // Closed at the end of the test.
            }
        }
    }

    private Map<String, String> probe(String... targets) {
        return Perl.probe(guest.namespace(), List.of(targets));
    }

    private static String tcp(Inet4Address address, int port) {
        return "tcp|" + SlotLayout.text(address) + "|" + port;
    }

    @Test
    void aGuestReachesPublicAddressesAndItsResolverAndNothingElse() throws IOException {
        TestGuest sibling = scope.own(new TestGuest(otherSandbox));
        TestGuest stranger = scope.own(new TestGuest(otherInstallation));
        scope.own(Perl.serve(sibling.namespace(), "tcp:0.0.0.0:80"));
        scope.own(Perl.serve(stranger.namespace(), "tcp:0.0.0.0:80"));
        String seenAs = SlotLayout.text(internet.hostAddress());

        assertThat(probe(
                        tcp(internet.publicAddress(), 80),
                        "udp|" + SlotLayout.text(internet.publicAddress()) + "|99",
                        "udp|169.254.0.22|53",
                        "tcp|169.254.0.22|53",
                        "udp|" + SlotLayout.text(internet.resolver()) + "|53"))
                .containsExactlyInAnyOrderEntriesOf(Map.of(
                        tcp(internet.publicAddress(), 80),
                        "answer " + seenAs,
                        "udp|" + SlotLayout.text(internet.publicAddress()) + "|99",
                        "answer re probe",
                        "udp|169.254.0.22|53",
                        "answer re probe",
                        "tcp|169.254.0.22|53",
                        "answer " + seenAs,
                        "udp|" + SlotLayout.text(internet.resolver()) + "|53",
                        "answer re probe"));

        int port = host.getLocalPort();
        List<String> forbidden = new ArrayList<>(List.of(
                tcp(internet.resolver(), 80),
                tcp(internet.hostAddress(), port),
                tcp(otherSandbox.hostAddress(), 80),
                tcp(otherInstallation.hostAddress(), 80),
                tcp(slot.hostAddress(), 80),
                "tcp|169.254.0.22|" + port,
                "tcp|169.254.0.22|80",
                "tcp|169.254.169.254|80",
                "tcp|10.0.0.1|80",
                "tcp|172.16.0.1|80",
                "tcp|192.168.0.1|80",
                "tcp|100.64.0.1|80",
                "tcp|127.0.0.2|" + port,
                "tcp|198.18.0.1|80",
                "tcp|192.0.0.192|80",
                "udp|224.0.0.251|5353",
                "udp|10.0.0.1|53",
                "tcp|" + internet.hostAddress6() + "|" + port));
        for (Slot each : List.of(slot, otherSandbox, otherInstallation)) {
            Ipv4Range veth = NetworkConfiguration.VETH_RANGE;
            forbidden.add(tcp(veth.address(2L * each.index()), port));
            forbidden.add(tcp(veth.address(2L * each.index() + 1), 80));
        }
        Command.of("ip", "addr", "show", "scope", "global")
                .run()
                .lines()
                .map(String::strip)
                .filter(line -> line.startsWith("inet "))
                .map(line -> line.split("[ /]", -1)[1])
                .limit(10)
                .forEach(address -> forbidden.add("tcp|" + address + "|" + port));
        forbidden.removeIf("tcp|127.0.0.2|%d".formatted(port)::equals);
        assertThat(probe(forbidden.toArray(String[]::new)).values())
                .allMatch(result -> result.equals("silence") || result.equals("unreachable"));
    }

    @Test
    void theHostReachesAGuestAtItsAddressAndNobodyElseDoes() throws Exception {
        scope.own(Perl.serve(guest.namespace(), "tcp:169.254.0.21:49983"));
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(slot.hostAddress(), 49_983), 2000);
            assertThat(socket.getInputStream().readAllBytes()).isNotEmpty();
        }
        // The world knows the way to the guest, and is not let through.
        Command.of(
                        "ip",
                        "-n",
                        internet.namespace(),
                        "route",
                        "add",
                        SlotLayout.text(slot.hostAddress()),
                        "via",
                        SlotLayout.text(internet.hostAddress()))
                .run();
        assertThat(Perl.probe(internet.namespace(), List.of(tcp(slot.hostAddress(), 49_983)))
                        .values())
                .containsExactly("silence");
    }

    @Test
    void aGuestCannotSpeakUnderAnotherAddress() throws Exception {
        String script = """
                use IO::Socket::INET;
                my $s = IO::Socket::INET->new(Proto => 'udp', LocalAddr => $ARGV[0], PeerAddr => $ARGV[1], PeerPort => 99)
                    or die $!;
                $s->send($ARGV[2]);
                """;
        String world = SlotLayout.text(internet.publicAddress());
        for (String spoofed : List.of("198.51.100.7", "10.99.99.99", SlotLayout.text(otherSandbox.hostAddress()))) {
            Command.of("ip", "-n", guest.namespace(), "addr", "add", spoofed + "/32", "dev", "eth0")
                    .run();
            Perl.run(guest.namespace(), script, spoofed, world, "from " + spoofed);
        }
        Perl.run(guest.namespace(), script, "169.254.0.21", world, "from itself");
        Awaitility.await().until(() -> internet.server().log().contains("udp from itself"));
        assertThat(internet.server().log())
                .filteredOn(line -> line.startsWith("udp from"))
                .hasSize(1);
    }

    @Test
    void theRulesOnTheHostHoldWithoutThoseInTheNamespace() {
        Command.of("nsenter", "--net=/run/netns/" + slot.namespace(), "nft", "flush", "ruleset")
                .run();
        String veth = SlotLayout.text(NetworkConfiguration.VETH_RANGE.address(2L * slot.index()));
        int port = host.getLocalPort();
        assertThat(Perl.probe(
                                slot.namespace(),
                                List.of(
                                        "tcp|" + veth + "|" + port,
                                        tcp(internet.hostAddress(), port),
                                        tcp(otherSandbox.hostAddress(), 80),
                                        tcp(otherInstallation.hostAddress(), 80),
                                        "tcp|169.254.169.254|80",
                                        tcp(internet.resolver(), 80)))
                        .values())
                .containsOnly("silence");
        // Behind the namespace's own address, and spoofed ones, nothing gets out either.
        Command.of(
                        "ip",
                        "-n",
                        slot.namespace(),
                        "addr",
                        "add",
                        SlotLayout.text(otherSandbox.hostAddress()) + "/32",
                        "dev",
                        "uplink")
                .run();
        Perl.run(
                slot.namespace(),
                """
                use IO::Socket::INET;
                IO::Socket::INET->new(Proto => 'udp', LocalAddr => $ARGV[0], PeerAddr => $ARGV[1], PeerPort => 99)
                    ->send('from a neighbour');
                """,
                SlotLayout.text(otherSandbox.hostAddress()),
                SlotLayout.text(internet.publicAddress()));
        assertThat(Perl.probe(slot.namespace(), List.of("udp|" + SlotLayout.text(internet.resolver()) + "|53")))
                .isNotEmpty();
        assertThat(internet.server().log()).doesNotContain("udp from a neighbour");
    }

    @Test
    void theWorldDoesNotReachTheNamespaceEither() throws Exception {
        Command.of("nsenter", "--net=/run/netns/" + slot.namespace(), "nft", "flush", "ruleset")
                .run();
        String address = SlotLayout.text(slot.hostAddress());
        Command.of("ip", "-n", slot.namespace(), "addr", "add", address + "/32", "dev", "lo")
                .run();
        scope.own(Perl.serve(slot.namespace(), "tcp:0.0.0.0:80"));
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(slot.hostAddress(), 80), 2000);
        }
        Command.of(
                        "ip",
                        "-n",
                        internet.namespace(),
                        "route",
                        "add",
                        address,
                        "via",
                        SlotLayout.text(internet.hostAddress()))
                .run();
        assertThat(Perl.probe(internet.namespace(), List.of(tcp(slot.hostAddress(), 80)))
                        .values())
                .containsExactly("silence");
    }

    @Test
    void aResolverOnTheHostItselfIsReachedAtItsPortOnly() throws Exception {
        Networks own = scope.own(Networks.open(
                NetworkConfiguration.standard("tdns" + Id.Ids.randomCharacters(8), home, internet.hostAddress(), 0)));
        TestGuest asking = scope.own(new TestGuest(acquire(own)));
        try (ServerSocket resolver = new ServerSocket(53, 5, internet.hostAddress())) {
            Thread.ofVirtual().start(() -> {
                try (Socket socket = resolver.accept()) {
                    socket.getOutputStream().write("resolved\n".getBytes(StandardCharsets.UTF_8));
                } catch (IOException e) {
                    // Nobody asked: the assertion below says so.
                }
            });
            String other = tcp(internet.hostAddress(), host.getLocalPort());
            assertThat(Perl.probe(asking.namespace(), List.of("tcp|169.254.0.22|53", other)))
                    .containsEntry("tcp|169.254.0.22|53", "answer resolved")
                    .containsEntry(other, "silence");
        }
    }

    @Test
    void aConnectionFromBeforeAMoveToAnotherSlotIsResetAtOnce() throws Exception {
        String script = """
                use IO::Socket::INET; $| = 1; $SIG{PIPE} = 'IGNORE';
                my $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => 80) or die $!;
                print "connected\\n";
                <STDIN>;
                syswrite($s, "still there?");
                my $n = sysread($s, my $data, 100);
                $n = sysread($s, $data, 100) while $n;
                print defined $n ? "end\\n" : "$!\\n";
                """;
        String silent = """
                use IO::Socket::INET; $| = 1;
                my $l = IO::Socket::INET->new(LocalPort => 81, Listen => 5, ReuseAddr => 1) or die $!;
                print "ready\\n";
                my $c = $l->accept; sleep 20;
                """;
        Process server =
                new ProcessBuilder("nsenter", "--net=/run/netns/" + internet.namespace(), "perl", "-e", silent).start();
        Process client = null;
        try {
            assertThat(line(server)).isEqualTo("ready");
            client = new ProcessBuilder(
                            "nsenter",
                            "--net=/run/netns/" + guest.namespace(),
                            "perl",
                            "-e",
                            script.replace("PeerPort => 80", "PeerPort => 81"),
                            SlotLayout.text(internet.publicAddress()))
                    .redirectErrorStream(true)
                    .start();
            BufferedReader said =
                    new BufferedReader(new InputStreamReader(client.getInputStream(), StandardCharsets.UTF_8));
            assertThat(said.readLine()).isEqualTo("connected");
            Command.of("ip", "-n", slot.namespace(), "link", "del", "dev", "tap0")
                    .run();
            guest.attach(otherSandbox);
            // Nobody out there can answer any more: the reset has to come from the slot.
            Command.of("ip", "-n", internet.namespace(), "link", "set", "dev", "world", "down")
                    .run();
            client.getOutputStream().write('\n');
            client.getOutputStream().flush();
            assertThat(client.waitFor(5, TimeUnit.SECONDS)).isTrue();
            assertThat(said.readLine()).isEqualTo("Connection reset by peer");
        } finally {
            server.destroyForcibly().waitFor();
            if (client != null) {
                client.destroyForcibly().waitFor();
            }
        }
    }

    private static String line(Process process) throws IOException {
        return String.valueOf(
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8)).readLine());
    }
}
