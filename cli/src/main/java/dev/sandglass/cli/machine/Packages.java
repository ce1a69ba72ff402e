package dev.sandglass.cli.machine;

import dev.sandglass.contract.Progress;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;

/** The system packages of {@code packages.txt}: which are missing here, and getting them. */
public final class Packages {
    /** A command's name or a file's path, and the Debian package it comes from. */
    record Need(String what, String debianPackage, String neededBy) {}

    /** Where commands are, also for users whose PATH leaves out those for administrators. */
    private static final List<Path> ADMINISTRATOR_PATH = List.of(Path.of("/usr/sbin"), Path.of("/sbin"));

    private static final int TAIL = 12;

    private final List<Path> path;

    public Packages(Map<String, String> environment) {
        this.path = Stream.concat(
                        Stream.of(environment
                                        .getOrDefault("PATH", "/usr/bin:/bin")
                                        .split(":", -1))
                                .filter(part -> !part.isEmpty())
                                .map(Path::of),
                        ADMINISTRATOR_PATH.stream())
                .toList();
    }

    /** Names of Debian packages, each once, in the order of the file. */
    public List<String> missing() {
        return needs().stream()
                .filter(need -> need.neededBy().equals("up"))
                .filter(need -> !isPresent(need.what()))
                .map(Need::debianPackage)
                .distinct()
                .toList();
    }

    public boolean isPresent(String commandOrFile) {
        return commandOrFile.startsWith("/")
                ? Files.exists(Path.of(commandOrFile))
                : path.stream().anyMatch(directory -> Files.isExecutable(directory.resolve(commandOrFile)));
    }

    /** Whether apt is how this machine gets its packages. */
    public boolean hasApt() {
        return isPresent("apt-get");
    }

    /** What a person would type to get them. */
    public String remedy(List<String> packages) {
        return hasApt()
                ? "sudo apt-get install --no-install-recommends " + String.join(" ", packages)
                : "install what provides these Debian packages: " + String.join(" ", packages);
    }

    /** Installs by apt, as root; an {@link IOException} has apt's last words. */
    public void install(List<String> packages, Progress progress) throws IOException, InterruptedException {
        progress.step("Fetching package lists");
        run(progress, List.of("apt-get", "update", "-q"));
        progress.step("Installing " + String.join(", ", packages));
        List<String> argv = new ArrayList<>(
                List.of("apt-get", "install", "-y", "-q", "--no-install-recommends", "-o", "APT::Status-Fd=1"));
        argv.addAll(packages);
        run(progress, argv);
    }

    private static void run(Progress progress, List<String> argv) throws IOException, InterruptedException {
        ProcessBuilder builder = new ProcessBuilder(argv).redirectErrorStream(true);
        builder.environment().put("DEBIAN_FRONTEND", "noninteractive");
        Process process = builder.start();
        process.getOutputStream().close();
        Deque<String> tail = new ArrayDeque<>();
        try (BufferedReader lines = process.inputReader(StandardCharsets.UTF_8)) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                if (!reportStatus(line, progress)) {
                    tail.addLast(line);
                    if (tail.size() > TAIL) {
                        tail.removeFirst();
                    }
                }
            }
        }
        if (process.waitFor() != 0) {
            throw new IOException("`" + String.join(" ", argv) + "` failed:\n" + String.join("\n", tail)
                    + "\nPut that right and try again");
        }
    }

    /** Lines of APT::Status-Fd: {@code dlstatus:N:percent:text} while fetching, {@code pmstatus:…} while installing. */
    private static boolean reportStatus(String line, Progress progress) {
        boolean fetching = line.startsWith("dlstatus:");
        if (!fetching && !line.startsWith("pmstatus:")) {
            return false;
        }
        String[] fields = line.split(":", 4);
        try {
            double percent = Double.parseDouble(fields[2]);
            progress.advance(Math.round(fetching ? percent / 2 : 50 + percent / 2), 100, "%");
        } catch (NumberFormatException | ArrayIndexOutOfBoundsException e) {
            // Another form of line: not worth a failure.
        }
        return true;
    }

    static List<Need> needs() {
        try (InputStream file = Objects.requireNonNull(Packages.class.getResourceAsStream("packages.txt"));
                BufferedReader lines = new BufferedReader(new InputStreamReader(file, StandardCharsets.UTF_8))) {
            return lines.lines()
                    .filter(line -> !line.isBlank() && !line.startsWith("#"))
                    .map(line -> line.split("\\s+", -1))
                    .map(words -> new Need(words[0], words[1], words[2]))
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
