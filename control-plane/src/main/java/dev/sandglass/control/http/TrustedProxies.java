package dev.sandglass.control.http;

import java.net.Inet6Address;
import java.net.InetAddress;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Whose X-Forwarded headers are believed. Each proxy appends the address it was called from, so the list is read from its
 * end, and what stands before the first address that is no trusted proxy may be anybody's invention.
 *
 * @param addresses IP addresses as {@link InetAddress#getHostAddress} writes them
 */
public record TrustedProxies(Set<String> addresses) {
    private static final int HOPS_MAX = 16;
    private static final int NETWORK_BYTES = 8; // of IPv6: one subscriber has a /64 or more

    public TrustedProxies {
        addresses = Set.copyOf(addresses);
    }

    boolean contains(InetAddress address) {
        return addresses.contains(address.getHostAddress());
    }

    /** Where the request began, for the one who connected and the values of X-Forwarded-For. */
    InetAddress origin(InetAddress peer, List<String> forwardedFor) {
        InetAddress origin = peer;
        List<String> hops = forwardedFor.stream()
                .flatMap(value -> Arrays.stream(value.split(",")))
                .toList()
                .reversed();
        for (String hop : hops.subList(0, Math.min(hops.size(), HOPS_MAX))) {
            Optional<InetAddress> before = contains(origin) ? parse(hop.strip()) : Optional.empty();
            if (before.isEmpty()) {
                return origin;
            }
            origin = before.get();
        }
        return origin;
    }

    /** With a port or without, as proxies write it. */
    private static Optional<InetAddress> parse(String hop) {
        String literal = hop;
        if (hop.startsWith("[")) {
            literal = hop.substring(1).replaceFirst("\\].*", "");
        } else if (hop.indexOf(':') == hop.lastIndexOf(':')) {
            literal = hop.replaceFirst(":.*", "");
        }
        try {
            return Optional.of(InetAddress.ofLiteral(literal));
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }

    /** Whom to count an address with: IPv4 by itself, IPv6 with its whole /64. */
    static String network(InetAddress address) {
        if (!(address instanceof Inet6Address)) {
            return address.getHostAddress();
        }
        byte[] bytes = address.getAddress();
        Arrays.fill(bytes, NETWORK_BYTES, bytes.length, (byte) 0);
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < NETWORK_BYTES; i += 2) {
            text.append(String.format("%x:", (bytes[i] & 0xff) << 8 | (bytes[i + 1] & 0xff)));
        }
        return text.append(":/64").toString();
    }
}
