package dev.sandglass.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The peer: podman with runc, without network, on a root directory that holds nothing but {@code true}, {@code sleep} and
 * their libraries. Its containers are removed by {@link #close}; removing one is never part of a time.
 */
final class Podman implements AutoCloseable {
    private static final Duration TIMEOUT = Duration.ofSeconds(30);
    private static final Pattern LIBRARY = Pattern.compile("(?:=> )?(/\\S+) \\(0x");
    /** By default podman raises limits to what it thinks root may have; a root without that capability cannot. */
    private static final List<String> LIMITS = List.of("nofile=1024:1024", "nproc=1024:1024");

    private static final int LIFETIME_SECONDS = 900;

    private final String prefix;
    private final List<String> run;
    private int number;

    private Podman(String prefix, Path root) {
        this.prefix = prefix;
        List<String> argv = new ArrayList<>(List.of("podman", "run", "--runtime", "runc", "--network=none"));
        LIMITS.forEach(limit -> argv.addAll(List.of("--ulimit", limit)));
        argv.addAll(List.of("--rootfs", root.toString()));
        this.run = List.copyOf(argv);
    }

    /** Podman could not be used; the message says why. */
    static final class Missing extends Exception {
        private static final long serialVersionUID = 1;

        Missing(String message) {
            super(message);
        }
    }

    /**
     * A container that idles, for exec, is running when this returns.
     *
     * @param directory an empty one, for the containers' root; the caller removes it
     * @param prefix of the containers' names
     */
    static Podman start(Path directory, String prefix) throws Missing {
        for (String program : List.of("podman", "runc")) {
            if (Program.run(TIMEOUT, program, "--version").isEmpty()) {
                throw new Missing(program + " is not installed (apt-get install podman runc)");
            }
        }
        try {
            fill(directory);
        } catch (IOException e) {
            throw new Missing("its root directory could not be made: " + e);
        }
        Podman podman = new Podman(prefix, directory);
        try {
            podman.startIdle();
            return podman;
        } catch (Missing e) {
            podman.close();
            throw e;
        }
    }

    private void startIdle() throws Missing {
        List<String> argv = new ArrayList<>(run);
        argv.addAll(2, List.of("--detach", "--name", idle()));
        argv.addAll(List.of("/bin/sleep", Integer.toString(LIFETIME_SECONDS)));
        required(argv);
    }

    /** Start to end of a new container that runs {@code true}. */
    Duration run() throws Missing {
        String name = prefix + "-" + ++number;
        List<String> argv = new ArrayList<>(run);
        argv.addAll(2, List.of("--name", name));
        argv.add("/bin/true");
        Duration elapsed = required(argv);
        required(List.of("podman", "rm", name));
        return elapsed;
    }

    /** {@code true} in the container that idles. */
    Duration exec() throws Missing {
        return required(List.of("podman", "exec", idle(), "/bin/true"));
    }

    private static Duration required(List<String> argv) throws Missing {
        Program.Result result = Program.run(TIMEOUT, argv)
                .orElseThrow(() -> new Missing("`" + String.join(" ", argv) + "` did not end in time"));
        if (result.exitCode() != 0) {
            throw new Missing("`" + argv.get(0) + " " + argv.get(1) + "` failed: " + result.lastLine());
        }
        return result.elapsed();
    }

    private String idle() {
        return prefix + "-idle";
    }

    @Override
    public void close() {
        List<String> argv = new ArrayList<>(List.of("podman", "rm", "--force", "--ignore", "--time", "0", idle()));
        if (number > 0) {
            argv.add(prefix + "-" + number); // the one that an interruption may have left
        }
        Optional<Program.Result> _ = Program.run(TIMEOUT, argv);
    }

    private static void fill(Path root) throws IOException {
        for (String name : List.of("proc", "sys", "dev", "etc", "run", "tmp")) {
            Files.createDirectories(root.resolve(name));
        }
        for (String program : List.of("/bin/true", "/bin/sleep")) {
            copy(root, program);
            String libraries = Program.run(TIMEOUT, "ldd", program)
                    .map(Program.Result::output)
                    .orElse("");
            for (Matcher matcher = LIBRARY.matcher(libraries); matcher.find(); ) {
                copy(root, matcher.group(1));
            }
        }
    }

    private static void copy(Path root, String file) throws IOException {
        Path target = root.resolve(file.substring(1));
        Files.createDirectories(target.resolveSibling("."));
        Files.copy(Path.of(file).toRealPath(), target, StandardCopyOption.REPLACE_EXISTING);
    }
}
