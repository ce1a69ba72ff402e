package dev.sandglass.host.network;

import dev.sandglass.host.linux.Command;
import dev.sandglass.host.linux.CommandFailed;
import java.util.ArrayList;
import java.util.List;

/**
 * The egress policy of one installation on the host: one nftables table of its own, replaced as a whole in one
 * transaction. It matches by the names of our interfaces, so it does not change with the slots.
 *
 * <p>It can drop but not overrule: a packet that it accepts may still be dropped by another table whose forward chain
 * drops by default (docker's, for one). {@link #obstacles} finds those.
 */
final class HostRules {
    /** Everything that is not the public internet (RFC 6890), multicast and the reserved class E included. */
    private static final List<String> NOT_PUBLIC = List.of(
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "224.0.0.0/4",
            "240.0.0.0/4");

    private final NetworkConfiguration configuration;

    HostRules(NetworkConfiguration configuration) {
        this.configuration = configuration;
    }

    static String tableOf(String shortInstallation) {
        return "sandglass_" + shortInstallation;
    }

    void apply() {
        Command.of("nft", "-f", "-").stdin(text()).run();
    }

    /** Idempotent. */
    static void remove(String shortInstallation) {
        String table = "table inet " + tableOf(shortInstallation);
        // Declared first, since deleting a table that is not there would be an error.
        Command.of("nft", "-f", "-").stdin(table + "\ndelete " + table + "\n").run();
    }

    String text() {
        List<String> blocked = new ArrayList<>(NOT_PUBLIC);
        blocked.add(configuration.hostRange().toString());
        blocked.add(configuration.vethRange().toString());
        return """
                table inet %1$s
                delete table inet %1$s
                table inet %1$s {
                  set blocked {
                    type ipv4_addr; flags interval; auto-merge;
                    elements = { %2$s }
                  }
                  chain forward {
                    type filter hook forward priority filter - 10; policy accept;
                    iifname "%3$s*" jump from_guest
                    oifname "%3$s*" jump to_guest
                  }
                  chain from_guest {
                    meta nfproto ipv6 drop
                    fib saddr . iif oif missing drop
                    ct state invalid drop
                    tcp flags syn tcp option maxseg size set rt mtu
                    ip daddr %4$s udp dport 53 accept
                    ip daddr %4$s tcp dport 53 accept
                    ip daddr @blocked drop
                    accept
                  }
                  chain to_guest {
                    ct state established,related accept
                    drop
                  }
                  chain input {
                    type filter hook input priority filter - 10; policy accept;
                    iifname "%3$s*" jump to_host
                  }
                  chain to_host {
                    meta nfproto ipv6 drop
                    fib saddr . iif oif missing drop
                    ct direction reply ct state established,related accept
                    ip daddr %4$s udp dport 53 accept
                    ip daddr %4$s tcp dport 53 accept
                    drop
                  }
                  chain postrouting {
                    type nat hook postrouting priority srcnat; policy accept;
                    ip saddr %5$s oifname != "%3$s*" masquerade
                  }
                }
                """.formatted(
                        tableOf(configuration.shortInstallation()),
                        String.join(", ", blocked),
                        SlotLayout.prefix(configuration.shortInstallation()),
                        SlotLayout.text(configuration.dns()),
                        configuration.hostRange());
    }

    /**
     * Chains of others that drop what is forwarded unless told otherwise, as {@code family table chain}; empty when
     * nft cannot tell. Guests then have no way out until their interfaces are allowed there.
     */
    static List<String> obstacles() {
        try {
            return parseObstacles(Command.of("nft", "list", "chains").run());
        } catch (CommandFailed e) {
            return List.of();
        }
    }

    static List<String> parseObstacles(String chains) {
        List<String> found = new ArrayList<>();
        String table = "";
        String chain = "";
        for (String line : chains.lines().map(String::strip).toList()) {
            if (line.startsWith("table ")) {
                table = line.substring("table ".length()).replace(" {", "");
            } else if (line.startsWith("chain ")) {
                chain = line.substring("chain ".length()).replace(" {", "");
            } else if (line.contains("hook forward") && line.contains("policy drop") && !table.startsWith("ip6 ")) {
                found.add(table + " " + chain);
            }
        }
        return found;
    }
}
