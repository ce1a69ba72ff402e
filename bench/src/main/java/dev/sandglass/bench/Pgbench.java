package dev.sandglass.bench;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * The peer: {@code pgbench -S} on the very PostgreSQL server that the measured server uses, in a database of its own that
 * {@link #close} removes.
 */
final class Pgbench implements AutoCloseable {
    private static final Pattern TPS = Pattern.compile("(?m)^tps = ([0-9.]+)");
    private static final Duration INITIALISE = Duration.ofMinutes(1);
    private static final int PORT_LINE = 3; // of postmaster.pid, the first being 0
    private static final String USER = "sandglass";
    private static final String SCALE = "10"; // a million rows, 150 MB: more than is cached by the server alone

    private final String program;
    private final int port;
    private final String password;
    private final String database;

    private Pgbench(String program, int port, String password, String database) {
        this.program = program;
        this.port = port;
        this.password = password;
        this.database = database;
    }

    /** It could not be used; the message says why. */
    static final class Missing extends Exception {
        private static final long serialVersionUID = 1;

        Missing(String message) {
            super(message);
        }
    }

    /**
     * With its tables filled.
     *
     * @param home of the server
     * @param database a name that is not taken
     */
    static Pgbench start(Path home, String database) throws Missing {
        String program = find().orElseThrow(() -> new Missing("pgbench is not installed (apt-get install postgresql)"));
        int port;
        String password;
        try (Stream<Path> files = Files.list(home.resolve("postgresql"))) {
            Path data = files.filter(file -> file.getFileName().toString().startsWith("data-"))
                    .findFirst()
                    .orElseThrow(() -> new Missing("the server's database is not its embedded one"));
            port = Integer.parseInt(Files.readAllLines(data.resolve("postmaster.pid"))
                    .get(PORT_LINE)
                    .strip());
            password = Files.readString(home.resolve("postgresql/password")).strip();
        } catch (IOException | UncheckedIOException e) {
            throw new Missing("the server's embedded database was not found: " + e);
        }
        Pgbench pgbench = new Pgbench(program, port, password, database);
        pgbench.sql("create database " + database);
        try {
            pgbench.run(INITIALISE, List.of("-i", "-q", "-s", SCALE));
            return pgbench;
        } catch (Missing e) {
            pgbench.close();
            throw e;
        }
    }

    private static Optional<String> find() {
        List<File> candidates = new ArrayList<>();
        for (String directory :
                Optional.ofNullable(System.getenv("PATH")).orElse("").split(File.pathSeparator, -1)) {
            candidates.add(new File(directory, "pgbench"));
        }
        File[] versions =
                Optional.ofNullable(new File("/usr/lib/postgresql").listFiles()).orElse(new File[0]);
        Arrays.sort(versions);
        Arrays.stream(versions).forEach(version -> candidates.add(new File(version, "bin/pgbench")));
        return candidates.stream().filter(File::canExecute).map(File::getPath).findFirst();
    }

    /** Transactions per second. */
    double transactionsPerSecond(int clients, int threads, Duration time) throws Missing {
        String output = run(
                time.plusSeconds(60),
                List.of(
                        "-S",
                        "-n",
                        "-c",
                        Integer.toString(clients),
                        "-j",
                        Integer.toString(threads),
                        "-T",
                        Long.toString(time.toSeconds())));
        Matcher tps = TPS.matcher(output);
        if (!tps.find()) {
            throw new Missing("pgbench did not say how fast it was: " + output.strip());
        }
        return Double.parseDouble(tps.group(1));
    }

    private String run(Duration timeout, List<String> options) throws Missing {
        List<String> argv = new ArrayList<>(List.of(program, "-h", "127.0.0.1", "-p", "" + port, "-U", USER));
        argv.addAll(options);
        argv.add(database);
        ProcessBuilder builder = new ProcessBuilder(argv)
                .redirectErrorStream(true)
                .redirectInput(ProcessBuilder.Redirect.from(new File("/dev/null")));
        builder.environment().put("PGPASSWORD", password);
        try {
            Process process = builder.start();
            byte[] output = process.getInputStream().readAllBytes();
            String text = new String(output, StandardCharsets.UTF_8);
            if (!process.waitFor(timeout.toMillis(), TimeUnit.MILLISECONDS) || process.exitValue() != 0) {
                process.destroyForcibly();
                throw new Missing("pgbench failed: " + text.strip());
            }
            return text;
        } catch (IOException e) {
            throw new Missing("pgbench could not be run: " + e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchFailure("interrupted");
        }
    }

    private void sql(String statement) throws Missing {
        try (Connection connection = DriverManager.getConnection(
                        "jdbc:postgresql://127.0.0.1:" + port + "/postgres", USER, password);
                var work = connection.createStatement()) {
            work.execute(statement);
        } catch (SQLException e) {
            throw new Missing("the server's database refuses: " + e.getMessage());
        }
    }

    @Override
    public void close() {
        try {
            sql("drop database if exists " + database + " with (force)");
        } catch (Missing e) {
            throw new BenchFailure("The database " + database + " of pgbench is left: " + e.getMessage());
        }
    }
}
