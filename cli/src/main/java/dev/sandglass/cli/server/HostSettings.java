package dev.sandglass.cli.server;

import dev.sandglass.contract.Installation;
import dev.sandglass.control.ConfigurationKeys;
import dev.sandglass.host.agent.HostAgentConfiguration;
import dev.sandglass.host.agent.HostAgentConfiguration.Accelerator;
import java.net.Inet4Address;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/** The host agent's part of the settings. */
record HostSettings(
        Optional<Accelerator> accelerator,
        Optional<Inet4Address> dns,
        int slotPool,
        int warmPool,
        int diskReserveMb,
        int memoryReserveMb,
        int memoryOvercommit,
        int rootDiskGb,
        int templatesMax,
        InetSocketAddress listen,
        Optional<InetSocketAddress> registry) {
    static final List<ConfigurationKeys.Key> KEYS = List.of(
            new ConfigurationKeys.Key(
                    "SANDGLASS_ACCELERATOR", "kvm, tcg or auto (default auto: KVM where it really works)"),
            new ConfigurationKeys.Key(
                    "SANDGLASS_DNS", "IPv4 address of the resolver that guests use (default: the host's first)"),
            new ConfigurationKeys.Key("SANDGLASS_SLOT_POOL", "network slots prepared ahead (default 4)"),
            new ConfigurationKeys.Key(
                    "SANDGLASS_WARM_POOL", "clones kept ready of each template that is asked for often (default 4)"),
            new ConfigurationKeys.Key(
                    "SANDGLASS_DISK_RESERVE_MB", "free disk below which no sandbox is created (default 1024)"),
            new ConfigurationKeys.Key(
                    "SANDGLASS_MEMORY_RESERVE_MB", "available memory below which no sandbox is created (default 512)"),
            new ConfigurationKeys.Key("SANDGLASS_ROOT_DISK_GB", "virtual size of a sandbox's disk (default 8)"),
            new ConfigurationKeys.Key("SANDGLASS_TEMPLATES_MAX", "frozen shapes kept per host (default 8)"),
            new ConfigurationKeys.Key(
                    "SANDGLASS_AGENT_ADDR", "where an agent of its own serves (default 127.0.0.1:8100)"));

    static HostSettings read(Map<String, String> variables, List<String> problems) {
        var reader = new Reader(variables, problems);
        return new HostSettings(
                reader.value("SANDGLASS_ACCELERATOR", HostSettings::accelerator, "kvm, tcg or auto")
                        .orElse(Optional.empty()),
                reader.value("SANDGLASS_DNS", Inet4Address::ofLiteral, "an IPv4 address"),
                reader.number("SANDGLASS_SLOT_POOL", 0, 256, 4),
                reader.number("SANDGLASS_WARM_POOL", 0, 64, 4),
                reader.number("SANDGLASS_DISK_RESERVE_MB", 0, 1 << 30, 1024),
                reader.number("SANDGLASS_MEMORY_RESERVE_MB", 0, 1 << 30, 512),
                reader.number("SANDGLASS_MEMORY_OVERCOMMIT", 1, 100, 10),
                reader.number("SANDGLASS_ROOT_DISK_GB", 1, 2048, 8),
                reader.number("SANDGLASS_TEMPLATES_MAX", 1, 1000, 8),
                reader.value("SANDGLASS_AGENT_ADDR", HostSettings::address, "an address like 127.0.0.1:8100")
                        .orElseGet(() -> address("127.0.0.1:8100")),
                reader.value("SANDGLASS_REGISTRY_ADDR", HostSettings::address, "an address like 127.0.0.1:8001"));
    }

    HostAgentConfiguration configuration(Home home, Installation installation) {
        return new HostAgentConfiguration(
                home.path(),
                installation.id(),
                installation.agentToken(),
                home.path().resolve("images"),
                accelerator,
                dns,
                slotPool,
                warmPool,
                (long) diskReserveMb << 20,
                memoryReserveMb,
                memoryOvercommit,
                (long) rootDiskGb << 30,
                templatesMax);
    }

    private static Optional<Accelerator> accelerator(String text) {
        return text.equals("auto") ? Optional.empty() : Optional.of(Accelerator.valueOf(text.toUpperCase(Locale.ROOT)));
    }

    @SuppressWarnings("AddressSelection") // a name that has several: any of them will do
    static InetSocketAddress address(String text) {
        int colon = text.lastIndexOf(':');
        String host = text.substring(0, colon).replaceAll("^\\[|]$", "");
        int port = Integer.parseInt(text.substring(colon + 1));
        return host.isEmpty() ? new InetSocketAddress(port) : new InetSocketAddress(host, port);
    }

    private record Reader(Map<String, String> variables, List<String> problems) {
        <T> Optional<T> value(String name, Function<String, T> parse, String expected) {
            String text = variables.getOrDefault(name, "").strip();
            if (text.isEmpty()) {
                return Optional.empty();
            }
            try {
                return Optional.of(parse.apply(text));
            } catch (RuntimeException e) {
                problems.add(name + " is not " + expected);
                return Optional.empty();
            }
        }

        int number(String name, int min, int max, int fallback) {
            return value(
                            name,
                            text -> {
                                int number = Integer.parseInt(text);
                                if (number < min || number > max) {
                                    throw new IllegalArgumentException();
                                }
                                return number;
                            },
                            "a number from " + min + " to " + max)
                    .orElse(fallback);
        }
    }
}
