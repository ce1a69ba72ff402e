package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import java.io.IOException;
import java.net.Inet4Address;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Finds the name server that guests are sent to: the host's own, but never one on loopback. */
final class Resolver {
    /** The second is where systemd-resolved keeps the servers it asks itself (systemd-resolved.service(8)). */
    private static final List<Path> FILES =
            List.of(Path.of("/etc/resolv.conf"), Path.of("/run/systemd/resolve/resolv.conf"));

    private static final Pattern LINE =
            Pattern.compile("\\s*nameserver\\s+(\\d{1,3}(?:\\.\\d{1,3}){3})\\s*(?:[#;].*)?");

    private Resolver() {}

    static Inet4Address ofHost() {
        return find(FILES)
                .orElseThrow(
                        () -> new PlatformException(
                                ErrorCode.INTERNAL_ERROR,
                                "This host names no IPv4 resolver that guests could use: set SANDGLASS_DNS to the address of one."));
    }

    static Optional<Inet4Address> find(List<Path> files) {
        return files.stream()
                .flatMap(Resolver::lines)
                .map(LINE::matcher)
                .filter(Matcher::matches)
                .map(matcher -> matcher.group(1))
                .flatMap(text -> address(text).stream())
                .filter(address -> !address.isLoopbackAddress() && !address.isAnyLocalAddress())
                .findFirst();
    }

    private static Stream<String> lines(Path file) {
        try {
            return Files.readAllLines(file).stream();
        } catch (IOException e) {
            return Stream.empty();
        }
    }

    private static Optional<Inet4Address> address(String text) {
        try {
            return Optional.of(Inet4Address.ofLiteral(text));
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }
}
