package dev.sandglass.host.network;

import dev.sandglass.contract.Id;
import dev.sandglass.host.linux.Command;
import java.util.List;

/** A namespace behind a slot, as a guest would be: same addresses, same names, a veth in the place of the tap. */
final class TestGuest implements AutoCloseable {
    private final String namespace = "t" + Id.Ids.randomCharacters(8);

    TestGuest(Slot slot) {
        Command.of("ip", "netns", "add", namespace).run();
        attach(slot);
    }

    /** Also to another slot later: what a resumed guest sees. */
    void attach(Slot slot) {
        Command.of("ip", "-n", slot.namespace(), "-batch", "-")
                .stdin("""
                link del dev tap0
                link add tap0 address 06:00:a9:fe:00:16 type veth peer name eth0 address 06:00:a9:fe:00:15 netns %s
                addr add 169.254.0.22/30 dev tap0
                link set dev tap0 up
                """.formatted(namespace))
                .run();
        Command.of("ip", "-n", namespace, "-batch", "-").stdin("""
                link set dev lo up
                addr add 169.254.0.21/30 dev eth0
                addr add fd5a:ffff::2/64 dev eth0 nodad
                link set dev eth0 up
                route add default via 169.254.0.22
                route add fd00::/8 via fe80::1 dev eth0
                neigh add fe80::1 lladdr 06:00:a9:fe:00:16 dev eth0 nud permanent
                """).run();
    }

    String namespace() {
        return namespace;
    }

    @Override
    public void close() {
        SlotKernel.remove(List.of(namespace));
    }
}
