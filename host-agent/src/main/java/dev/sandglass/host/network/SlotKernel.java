package dev.sandglass.host.network;

import dev.sandglass.host.linux.Command;
import dev.sandglass.host.linux.CommandFailed;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.DeadlineExceeded;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/** Makes and removes what a slot consists of in the kernel: two commands for one slot, one for the end of many. */
final class SlotKernel {
    private static final Path NAMESPACES = Path.of("/run/netns");

    /** One directory per interface of this namespace, unlike /sys, which may show another one's. */
    private static final Path INTERFACES = Path.of("/proc/sys/net/ipv4/conf");

    private static final Path IPV6 = Path.of("/proc/sys/net/ipv6/conf");
    private static final Path FORWARDING = Path.of("/proc/sys/net/ipv4/ip_forward");

    /** $1 lines for ip, stdin rules for nft; IPv6 goes first, so that no interface ever has an address of it. */
    private static final String INSIDE = """
            if [ -d /proc/sys/net/ipv6 ]; then
                echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
                echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
            fi
            echo 1 >/proc/sys/net/ipv4/ip_forward
            nft -f -
            printf '%s\\n' "$1" | ip -batch -
            """;

    private static final Duration REMOVAL = Duration.ofSeconds(10);
    private static final long RETRY_MILLIS = 20;

    private final SlotLayout layout;

    SlotKernel(SlotLayout layout) {
        this.layout = layout;
    }

    /** Guests' packets pass through the host; this stays on, since others may have come to rely on it. */
    static void ensureForwarding() {
        try {
            if (!Files.readString(FORWARDING).strip().equals("1")) {
                Files.writeString(FORWARDING, "1");
            }
        } catch (IOException e) {
            throw new UncheckedIOException("switch IPv4 forwarding on", e);
        }
    }

    /** What an earlier agent left of it goes first. */
    void create(Slot slot) {
        remove(List.of(slot.namespace()));
        createHostSide(slot, layout.hostCommands(slot));
        disableIpv6(slot);
        createInside(slot, layout.namespaceCommands(slot));
    }

    void createHostSide(Slot slot, List<String> commands) {
        Command.of("ip", "-batch", "-").stdin(lines(commands)).run();
    }

    void disableIpv6(Slot slot) {
        Path setting = IPV6.resolve(slot.namespace()).resolve("disable_ipv6");
        try {
            if (Files.exists(setting)) {
                Files.writeString(setting, "1");
            }
        } catch (IOException e) {
            throw new UncheckedIOException("switch IPv6 off on " + slot.namespace(), e);
        }
    }

    void createInside(Slot slot, List<String> commands) {
        Command.of(
                        "nsenter",
                        "--net=" + NAMESPACES.resolve(slot.namespace()),
                        "sh",
                        "-ec",
                        INSIDE,
                        "sandglass",
                        String.join("\n", commands))
                .stdin(layout.namespaceRules(slot))
                .run();
    }

    /** Namespaces and host-side interfaces have the same names. Idempotent, also for what is half made. */
    static void remove(Collection<String> names) {
        Deadline deadline = Deadline.after(REMOVAL);
        for (List<String> commands = removal(names); !commands.isEmpty(); commands = removal(names)) {
            try {
                Command.of("ip", "-force", "-batch", "-").stdin(lines(commands)).run();
            } catch (CommandFailed e) {
                if (deadline.expired()) {
                    throw e;
                }
                // Somebody else removes it at the same time, or it is busy: look again.
                pause();
            }
            deadline.check("remove " + names);
        }
    }

    /** The pair goes first and by name: with the namespace it would go too, but some time later. */
    private static List<String> removal(Collection<String> names) {
        List<String> commands = new ArrayList<>();
        for (String name : names) {
            if (Files.exists(INTERFACES.resolve(name))) {
                commands.add("link del dev " + name);
            }
            if (Files.exists(NAMESPACES.resolve(name))) {
                commands.add("netns del " + name);
            }
        }
        return commands;
    }

    /** Names of all namespaces and interfaces on the host that start with {@code prefix}. */
    static Set<String> named(String prefix) {
        Set<String> names = new TreeSet<>();
        for (Path directory : List.of(NAMESPACES, INTERFACES)) {
            try (Stream<Path> entries = Files.list(directory)) {
                entries.map(entry -> String.valueOf(entry.getFileName()))
                        .filter(name -> name.startsWith(prefix))
                        .forEach(names::add);
            } catch (NoSuchFileException e) {
                // No namespace was ever made here.
            } catch (IOException e) {
                throw new UncheckedIOException("list " + directory, e);
            }
        }
        return names;
    }

    private static String lines(List<String> commands) {
        return String.join("\n", commands) + "\n";
    }

    private static void pause() {
        try {
            Thread.sleep(RETRY_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new DeadlineExceeded("interrupted while removing a network");
        }
    }
}
