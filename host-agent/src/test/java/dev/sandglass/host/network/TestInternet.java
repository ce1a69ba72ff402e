package dev.sandglass.host.network;

import dev.sandglass.contract.Id;
import dev.sandglass.contract.Scope;
import dev.sandglass.host.linux.Command;
import java.io.IOException;
import java.net.Inet4Address;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/**
 * A namespace that plays the world outside: a public address with a server on port 80, and a resolver at a private
 * address that answers on port 53, and on 80 to those who should not be able to ask.
 */
final class TestInternet implements AutoCloseable {
    private final Scope scope = Scope.open("internet of a test");
    private final String name = "t" + Id.Ids.randomCharacters(8);
    private final Ipv4Range link =
            Ipv4Range.parse("203.0.113." + 4 * ThreadLocalRandom.current().nextInt(1, 63) + "/30");
    private final Inet4Address resolver =
            Ipv4Range.parse("172.30.0.0/16").address(ThreadLocalRandom.current().nextInt(1, 65_535));
    private final Perl.Server server;

    TestInternet() throws IOException {
        try {
            server = build();
        } catch (IOException | RuntimeException e) {
            scope.close();
            throw e;
        }
    }

    private Perl.Server build() throws IOException {
        String host = SlotLayout.text(hostAddress());
        String there = SlotLayout.text(publicAddress());
        String dns = SlotLayout.text(resolver);
        scope.defer("namespace", () -> SlotKernel.remove(List.of(name)));
        Command.of("ip", "-batch", "-")
                .stdin("""
                netns add %1$s
                link add %1$s type veth peer name world netns %1$s
                addr add %2$s/30 dev %1$s
                addr add fd5a:%5$x::1/64 dev %1$s nodad
                link set dev %1$s up
                route add %4$s/32 via %3$s dev %1$s
                """.formatted(name, host, there, dns, link.base().getAddress()[3] & 0xff))
                .run();
        // ip(8) enters a namespace once, so its lines are a batch of their own.
        Command.of("ip", "-n", name, "-batch", "-")
                .stdin("""
                link set dev lo up
                addr add %2$s/30 dev world
                addr add %3$s/32 dev lo
                link set dev world up
                route add default via %1$s
                """.formatted(host, there, dns))
                .run();
        return scope.own(
                Perl.serve(name, "tcp:0.0.0.0:80", "tcp:" + dns + ":53", "udp:" + dns + ":53", "udp:" + there + ":99"));
    }

    String namespace() {
        return name;
    }

    Inet4Address hostAddress() {
        return link.address(1);
    }

    String hostAddress6() {
        return "fd5a:%x::1".formatted(link.base().getAddress()[3] & 0xff);
    }

    Inet4Address publicAddress() {
        return link.address(2);
    }

    Inet4Address resolver() {
        return resolver;
    }

    Perl.Server server() {
        return server;
    }

    @Override
    public void close() {
        scope.close();
    }
}
