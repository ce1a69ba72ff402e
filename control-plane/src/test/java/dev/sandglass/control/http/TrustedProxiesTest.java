package dev.sandglass.control.http;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.InetAddress;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

final class TrustedProxiesTest {
    private final TrustedProxies proxies = new TrustedProxies(Set.of("10.0.0.1", "10.0.0.2", "0:0:0:0:0:0:0:1"));

    private String origin(String peer, String... forwardedFor) {
        return proxies.origin(InetAddress.ofLiteral(peer), List.of(forwardedFor))
                .getHostAddress();
    }

    @Test
    void onlyATrustedProxyIsBelieved() {
        assertThat(origin("203.0.113.9", "198.51.100.1")).isEqualTo("203.0.113.9");
        assertThat(origin("10.0.0.1", "198.51.100.1")).isEqualTo("198.51.100.1");
        assertThat(origin("::1", "198.51.100.1")).isEqualTo("198.51.100.1");
        assertThat(origin("10.0.0.1")).isEqualTo("10.0.0.1");
    }

    @Test
    void whatStandsBeforeTheProxysOwnWordIsNotBelieved() {
        assertThat(origin("10.0.0.1", "1.1.1.1, 198.51.100.1")).isEqualTo("198.51.100.1");
        assertThat(origin("10.0.0.1", "1.1.1.1", "198.51.100.1")).isEqualTo("198.51.100.1");
        assertThat(origin("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2")).isEqualTo("198.51.100.1");
        assertThat(origin("10.0.0.1", "1.1.1.1,".repeat(2000) + "198.51.100.1")).isEqualTo("198.51.100.1");
    }

    @Test
    void nonsenseIsNobodysAddress() {
        for (String nonsense : List.of("", " ", ",", "unknown", "1.1.1.1, evil", "[", "[]", "]:", "1.2.3.4.5", "::g")) {
            assertThat(origin("10.0.0.1", nonsense)).as(nonsense).isEqualTo("10.0.0.1");
        }
    }

    @Test
    void portsDoNotMatter() {
        assertThat(origin("10.0.0.1", "198.51.100.1:4711")).isEqualTo("198.51.100.1");
        assertThat(origin("10.0.0.1", "[2001:db8::1]:4711")).isEqualTo("2001:db8:0:0:0:0:0:1");
        assertThat(origin("10.0.0.1", "2001:db8::1")).isEqualTo("2001:db8:0:0:0:0:0:1");
    }

    @Test
    void aWholeNetworkOfIpv6CountsAsOne() {
        assertThat(network("2001:db8:1:2::1")).isEqualTo(network("2001:db8:1:2:ffff::7"));
        assertThat(network("2001:db8:1:2::1")).isNotEqualTo(network("2001:db8:1:3::1"));
        assertThat(network("198.51.100.1")).isEqualTo(network("::ffff:198.51.100.1"));
        assertThat(network("198.51.100.1")).isNotEqualTo(network("198.51.100.2"));
    }

    private static String network(String address) {
        return TrustedProxies.network(InetAddress.ofLiteral(address));
    }
}
