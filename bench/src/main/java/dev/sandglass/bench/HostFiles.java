package dev.sandglass.bench;

import dev.sandglass.cli.server.Home;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * What the server keeps on this machine's disk, as far as a benchmark looks at it. Needs root.
 *
 * @param home the server's SANDGLASS_HOME
 */
record HostFiles(Path home) {
    private static final Pattern MACHINE = Pattern.compile("\"(vm[0-9a-z]{20})\"");
    private static final Pattern GUEST_TOKEN = Pattern.compile("\"guestToken\"\\s*:\\s*\"([0-9a-f]{64})\"");
    private static final int TROUBLES_MAX = 20;

    /** Allocated blocks of everything that is a sandbox's, hard links as if they were its alone. */
    long allocatedBytes(String sandbox) {
        try (Stream<Path> files = Files.walk(directory(sandbox))) {
            return files.mapToLong(file -> Linux.statx(file).allocatedBytes()).sum();
        } catch (IOException | LinuxException e) {
            throw new BenchFailure("The files of " + sandbox + " cannot be seen: " + e.getMessage());
        }
    }

    /** By which a running sandbox's processes are found. Empty for one that does not run or cannot be seen. */
    Optional<String> machine(String sandbox) {
        return findInLedger(sandbox, MACHINE);
    }

    /** What the guest of a running sandbox accepts, in hexadecimal digits. */
    Optional<String> guestToken(String sandbox) {
        return findInLedger(sandbox, GUEST_TOKEN);
    }

    private Optional<String> findInLedger(String sandbox, Pattern wanted) {
        try {
            Matcher matcher = wanted.matcher(Files.readString(directory(sandbox).resolve("ledger.json")));
            return matcher.find() ? Optional.of(matcher.group(1)) : Optional.empty();
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    /** The process that serves the API. */
    Optional<Long> serverPid() {
        try {
            return new Home(home).findRunning(Home.Role.CONTROL_PLANE).map(Home.Running::pid);
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    private Path directory(String sandbox) {
        return home.resolve("sandboxes").resolve(sandbox);
    }

    /** Where the log ends now. */
    long logLength() {
        try {
            return Files.size(log());
        } catch (IOException e) {
            return 0;
        }
    }

    /** Warnings and errors that were logged since it was so long. */
    List<String> troublesSince(long logLength) {
        try (FileChannel log = FileChannel.open(log())) {
            log.position(Math.min(logLength, log.size()));
            BufferedReader lines = new BufferedReader(Channels.newReader(log, StandardCharsets.UTF_8));
            return lines.lines()
                    .filter(line -> line.matches("\\S+ (WARN|ERROR) .*"))
                    .limit(TROUBLES_MAX)
                    .toList();
        } catch (IOException | UncheckedIOException e) {
            return List.of();
        }
    }

    private Path log() {
        return home.resolve("log/sandglass.log");
    }
}
