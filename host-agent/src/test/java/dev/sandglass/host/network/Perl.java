package dev.sandglass.host.network;

import dev.sandglass.host.linux.Command;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Small network programs that run in a namespace; Perl is on every Debian system. */
final class Perl {
    /** Arguments proto:address:port. TCP tells the caller's address, UDP sends back what came; both are logged. */
    private static final String SERVER = """
            use strict; use IO::Socket::INET; use IO::Select; $| = 1;
            my $select = IO::Select->new; my %udp;
            for (@ARGV) {
                my ($proto, $address, $port) = split /:/;
                my $socket = $proto eq 'udp'
                    ? IO::Socket::INET->new(Proto => 'udp', LocalAddr => $address, LocalPort => $port)
                    : IO::Socket::INET->new(LocalAddr => $address, LocalPort => $port, Listen => 50, ReuseAddr => 1);
                die "$_: $!" unless $socket;
                $udp{$socket} = 1 if $proto eq 'udp';
                $select->add($socket);
            }
            print "ready\\n";
            while (1) {
                for my $socket ($select->can_read) {
                    if ($udp{$socket}) {
                        $socket->recv(my $data, 512) // next;
                        print "udp $data\\n";
                        $socket->send("re $data");
                    } else {
                        my $client = $socket->accept or next;
                        print "tcp ", $client->peerhost, "\\n";
                        print $client $client->peerhost, "\\n";
                        close $client;
                    }
                }
            }
            """;

    /** Arguments proto|address|port; all at once; one line for each: an answer, refused, or silence. */
    private static final String PROBE = """
            use strict; use Socket qw(:all); use Errno qw(EINPROGRESS); use Fcntl; use IO::Handle; use IO::Select;
            my (%open, %result); my $select = IO::Select->new;
            for my $target (@ARGV) {
                my ($proto, $address, $port) = split /\\|/, $target;
                my $six = $address =~ /:/;
                my $to = $six ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $address))
                              : pack_sockaddr_in($port, inet_pton(AF_INET, $address));
                socket(my $socket, $six ? AF_INET6 : AF_INET, $proto eq 'udp' ? SOCK_DGRAM : SOCK_STREAM, 0) or die;
                fcntl($socket, F_SETFL, O_NONBLOCK);
                $result{$target} = 'silence';
                if (!connect($socket, $to) && $! != EINPROGRESS) { $result{$target} = 'unreachable'; next; }
                send($socket, "probe", 0) if $proto eq 'udp';
                $open{$socket} = $target;
                $select->add($socket);
            }
            my $end = time + 2;
            while ($select->count && time < $end) {
                for my $socket ($select->can_read(0.2)) {
                    my $n = sysread($socket, my $data, 512);
                    $result{$open{$socket}} = defined $n ? "answer $data" : "refused $!";
                    $result{$open{$socket}} =~ s/\\s+$//;
                    $select->remove($socket);
                }
            }
            print "$_=$result{$_}\\n" for @ARGV;
            """;

    private Perl() {}

    /** A running server and what it has seen. */
    record Server(Process process, List<String> seen) implements AutoCloseable {
        @Override
        public void close() {
            process.destroyForcibly().onExit().join();
        }

        List<String> log() {
            synchronized (seen) {
                return List.copyOf(seen);
            }
        }
    }

    static Server serve(String namespace, String... sockets) throws IOException {
        List<String> argv = new ArrayList<>(List.of("nsenter", "--net=/run/netns/" + namespace, "perl", "-e", SERVER));
        argv.addAll(List.of(sockets));
        Process process = new ProcessBuilder(argv).redirectErrorStream(true).start();
        BufferedReader output =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        String first = output.readLine();
        if (!"ready".equals(first)) {
            process.destroyForcibly();
            throw new IOException("server in " + namespace + ": " + first);
        }
        List<String> seen = new ArrayList<>();
        Thread.ofPlatform()
                .daemon()
                .start(() -> output.lines().forEach(line -> {
                    synchronized (seen) {
                        seen.add(line);
                    }
                }));
        return new Server(process, seen);
    }

    /** What each of {@code targets} (proto|address|port) did, seen from a namespace. */
    static Map<String, String> probe(String namespace, List<String> targets) {
        List<String> argv = new ArrayList<>(List.of("nsenter", "--net=/run/netns/" + namespace, "perl", "-e", PROBE));
        argv.addAll(targets);
        Map<String, String> results = new LinkedHashMap<>();
        Command.of(argv)
                .run()
                .lines()
                .forEach(line ->
                        results.put(line.substring(0, line.indexOf('=')), line.substring(line.indexOf('=') + 1)));
        return results;
    }

    static String run(String namespace, String script, String... arguments) {
        List<String> argv = new ArrayList<>(List.of("nsenter", "--net=/run/netns/" + namespace, "perl", "-e", script));
        argv.addAll(List.of(arguments));
        return Command.of(argv).run();
    }
}
