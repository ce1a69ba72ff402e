package dev.sandglass.bench;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Memory of the processes that belong to machines: those with a machine's name on their command line, which are its VMM
 * and whatever watches over it. Needs root.
 */
final class VmMemory {
    private static final Pattern PSS = Pattern.compile("(?m)^Pss:\\s+(\\d+) kB");

    private VmMemory() {}

    /** Sum of the proportional set sizes; 0 when none of the processes is on this machine or may be looked at. */
    static long proportionalBytes(Collection<String> machines) {
        return proportionalBytes(Path.of("/proc"), machines);
    }

    static long proportionalBytes(Path proc, Collection<String> machines) {
        long sum = 0;
        try (DirectoryStream<Path> processes = Files.newDirectoryStream(proc, "[0-9]*")) {
            for (Path process : processes) {
                String commandLine = read(process.resolve("cmdline"));
                if (machines.stream().anyMatch(commandLine::contains)) {
                    sum += pss(read(process.resolve("smaps_rollup")));
                }
            }
        } catch (IOException e) {
            return 0;
        }
        return sum;
    }

    static long pss(String rollup) {
        Matcher matcher = PSS.matcher(rollup);
        return matcher.find() ? Long.parseLong(matcher.group(1)) * 1024 : 0;
    }

    /** Empty for a process that has ended meanwhile. */
    private static String read(Path file) {
        try {
            return new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
        } catch (IOException e) {
            return "";
        }
    }
}
