package dev.sandglass.host.network;

import java.net.Inet4Address;
import java.util.List;
import java.util.OptionalInt;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Names, addresses and rules of slots, as a pure function of configuration and index.
 *
 * <pre>
 * host                                    │ namespace
 *   s&lt;installation&gt;-&lt;i&gt; ───────────────── │ uplink                       tap0 ── guest
 *   vethRange + 2i                        │ vethRange + 2i + 1   169.254.0.22    169.254.0.21
 *   route hostRange + i ──────────────────│─▶ DNAT ──────────────────────────────▶
 *                                         │ ◀── SNAT to hostRange + i ◀───────────
 * </pre>
 */
final class SlotLayout {
    static final String GUEST = "169.254.0.21";
    static final String GATEWAY = "169.254.0.22";
    static final String GUEST_MAC = "06:00:a9:fe:00:15";

    /** The same everywhere, since a frozen guest remembers it. */
    private static final String GATEWAY_MAC = "06:00:a9:fe:00:16";

    private static final String TAP = "tap0";
    private static final String UPLINK = "uplink";

    private final NetworkConfiguration configuration;
    private final Pattern names;

    SlotLayout(NetworkConfiguration configuration) {
        this.configuration = configuration;
        this.names = Pattern.compile(prefix(configuration.shortInstallation()) + "(0|[1-9]\\d{0,4})");
    }

    /** Of namespaces and host-side interfaces: at most 15 characters with the index behind it. */
    static String prefix(String shortInstallation) {
        return "s" + shortInstallation + "-";
    }

    String prefix() {
        return prefix(configuration.shortInstallation());
    }

    Slot slot(int index) {
        if (index < 0 || index >= configuration.slots()) {
            throw new IllegalArgumentException("no slot " + index + " among " + configuration.slots());
        }
        return new Slot(
                index,
                prefix() + index,
                configuration.hostRange().address(index),
                TAP,
                configuration.uidBase() + index);
    }

    /** The slot whose namespace or interface this is; empty if it is not one of this installation. */
    OptionalInt index(String name) {
        Matcher matcher = names.matcher(name);
        if (!matcher.matches()) {
            return OptionalInt.empty();
        }
        int index = Integer.parseInt(matcher.group(1));
        return index < configuration.slots() ? OptionalInt.of(index) : OptionalInt.empty();
    }

    /** Lines for {@code ip -batch} on the host. */
    List<String> hostCommands(Slot slot) {
        String host = text(configuration.vethRange().address(2L * slot.index()));
        String inside = text(configuration.vethRange().address(2L * slot.index() + 1));
        String link = slot.namespace();
        return List.of(
                "netns add " + slot.namespace(),
                "link add " + link + " type veth peer name " + UPLINK + " netns " + slot.namespace(),
                "link set dev " + link + " addrgenmode none",
                "addr add " + host + "/31 dev " + link,
                "link set dev " + link + " up",
                "route add " + text(slot.hostAddress()) + "/32 via " + inside + " dev " + link + " src " + host);
    }

    /** Lines for {@code ip -batch} in the namespace. */
    List<String> namespaceCommands(Slot slot) {
        String host = text(configuration.vethRange().address(2L * slot.index()));
        String inside = text(configuration.vethRange().address(2L * slot.index() + 1));
        return List.of(
                "link set dev lo up",
                "addr add " + inside + "/31 dev " + UPLINK,
                "link set dev " + UPLINK + " up",
                "route add default via " + host + " dev " + UPLINK,
                "tuntap add dev " + TAP + " mode tap user " + slot.uid(),
                "link set dev " + TAP + " address " + GATEWAY_MAC,
                "addr add " + GATEWAY + "/30 dev " + TAP,
                "link set dev " + TAP + " up",
                "neigh replace " + GUEST + " lladdr " + GUEST_MAC + " dev " + TAP + " nud permanent");
    }

    /**
     * Rules in the namespace. Only the host itself, from its end of the veth pair, opens connections to the guest:
     * late packets for an earlier guest of this address find no way in. A connection that was open before a pause is
     * unknown here and gets a reset at once.
     */
    String namespaceRules(Slot slot) {
        return """
                table ip sandglass_nat {
                  chain prerouting {
                    type nat hook prerouting priority dstnat; policy accept;
                    iifname "uplink" ip saddr %1$s ip daddr %2$s dnat to 169.254.0.21
                    iifname "tap0" ip daddr 169.254.0.22 udp dport 53 dnat to %3$s
                    iifname "tap0" ip daddr 169.254.0.22 tcp dport 53 dnat to %3$s
                  }
                  chain postrouting {
                    type nat hook postrouting priority srcnat; policy accept;
                    oifname "uplink" snat to %2$s
                  }
                }
                table inet sandglass {
                  chain forward {
                    type filter hook forward priority filter; policy drop;
                    meta nfproto ipv6 drop
                    iifname "tap0" ip saddr != 169.254.0.21 drop
                    iifname "tap0" ct state new tcp flags & (fin | syn | rst | ack) != syn reject with tcp reset
                    ct state invalid drop
                    iifname "tap0" oifname "uplink" accept
                    iifname "uplink" oifname "tap0" ct state established,related accept
                    iifname "uplink" oifname "tap0" ct status dnat accept
                  }
                  chain input {
                    type filter hook input priority filter; policy drop;
                    iifname "tap0" ip saddr 169.254.0.21 icmp type echo-request accept
                  }
                  chain output {
                    type filter hook output priority filter; policy drop;
                    oifname "tap0" ip daddr 169.254.0.21 accept
                    meta l4proto icmp accept
                  }
                }
                """.formatted(
                        text(configuration.vethRange().address(2L * slot.index())),
                        text(slot.hostAddress()),
                        text(configuration.dns()));
    }

    static String text(Inet4Address address) {
        return String.valueOf(address.getHostAddress());
    }
}
