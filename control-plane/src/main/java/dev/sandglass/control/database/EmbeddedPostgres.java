package dev.sandglass.control.database;

import dev.sandglass.contract.Id;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.SecretFile;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.BindException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A PostgreSQL server of our own, its data under one directory and kept across restarts. It listens on a loopback port
 * that was free and is kept, asks for a generated password, runs under an unprivileged uid when we are root, and is told to stop
 * (SIGINT: "fast") by the kernel when this process dies. For that the server is the child of a thread that lives as
 * long as it does: the kernel watches the thread, not the process. The thread starts a server that ends by itself again.
 *
 * <p>One process at a time may use the directory, held by a lock. Closed by whoever started it, after all connections.
 */
public final class EmbeddedPostgres implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(EmbeddedPostgres.class);
    private static final String USER = "sandglass";
    private static final Duration READY_TIMEOUT = Duration.ofSeconds(60); // crash recovery on a slow disk
    private static final Duration PREDECESSOR_TIMEOUT = Duration.ofSeconds(60);
    private static final Duration INITDB_TIMEOUT = Duration.ofMinutes(2);

    private final FileLock lock;
    private final Keeper keeper;
    private final DatabaseAddress address;

    private EmbeddedPostgres(FileLock lock, Keeper keeper, DatabaseAddress address) {
        this.lock = lock;
        this.keeper = keeper;
        this.address = address;
    }

    /** Starts the server whose data are in {@code directory}, making them first where there are none. */
    public static EmbeddedPostgres start(Path directory, Progress progress) {
        FileLock lock = lock(directory);
        try {
            Path binaries = PostgresBinaries.ensure(directory.resolve("programs"), progress);
            Path data = directory.resolve("data-" + PostgresBinaries.MAJOR_VERSION);
            PostgresAccount account = PostgresAccount.choose();
            String password = SecretFile.ensure(directory.resolve("password"), () -> Id.Ids.randomCharacters(40));
            if (!Files.exists(data)) {
                progress.step("creating the database");
                initialize(directory, binaries, data, account, password);
            }
            awaitPredecessor(data);
            account.give(data); // it may have been another one's, before a move or a change of rights
            progress.step("starting the database");
            int port = port(directory);
            Keeper keeper = Keeper.start(command(account, directory, binaries, data, port), directory.resolve("log"));
            DatabaseAddress address =
                    new DatabaseAddress("jdbc:postgresql://127.0.0.1:" + port + "/postgres", USER, password);
            try {
                awaitReady(keeper.server(), address, directory.resolve("log"));
            } catch (RuntimeException e) {
                keeper.close();
                throw e;
            }
            keeper.keep();
            return new EmbeddedPostgres(lock, keeper, address);
        } catch (RuntimeException e) {
            release(lock);
            throw e;
        } catch (IOException e) {
            release(lock);
            throw new UncheckedIOException("start the embedded PostgreSQL in " + directory, e);
        }
    }

    public DatabaseAddress address() {
        return address;
    }

    /** Of the server, for the one who wants to see what becomes of it. */
    long pid() {
        return keeper.server().pid();
    }

    @Override
    public void close() {
        keeper.close();
        release(lock);
    }

    private static FileLock lock(Path directory) {
        try {
            Files.createDirectories(directory);
            Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-xr-x"));
            FileChannel channel =
                    FileChannel.open(directory.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            try {
                FileLock lock = channel.tryLock();
                if (lock != null) {
                    return lock;
                }
            } catch (OverlappingFileLockException e) {
                // this very process has it open
            }
            channel.close();
        } catch (IOException e) {
            throw new UncheckedIOException("use " + directory + " for the database", e);
        }
        throw new IllegalStateException("The database in " + directory
                + " is in use by another Sandglass: stop that one, or give this one a SANDGLASS_HOME of its own.");
    }

    private static void release(FileLock lock) {
        try {
            lock.acquiredBy().close();
        } catch (IOException e) {
            log.warn("the lock of the database was not released", e);
        }
    }

    /** Made under another name and renamed, so that a half-made one is never taken for data. */
    private static void initialize(Path directory, Path binaries, Path data, PostgresAccount account, String password)
            throws IOException {
        Path fresh = directory.resolve("initializing");
        if (Files.exists(fresh)) {
            PostgresBinaries.delete(fresh);
        }
        Files.createDirectory(
                fresh, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        account.give(fresh);
        Path passwordFile = directory.resolve("initdb-password");
        SecretFile.write(passwordFile, password);
        account.give(passwordFile);
        Process initdb = account.command(
                        directory,
                        List.of(
                                binaries + "/bin/initdb",
                                "--pgdata=" + fresh,
                                "--username=" + USER,
                                "--pwfile=" + passwordFile,
                                "--auth=scram-sha-256",
                                "--encoding=UTF8",
                                "--locale=C.UTF-8",
                                "--data-checksums"))
                .redirectErrorStream(true)
                .start();
        String said = awaitOutput(initdb, INITDB_TIMEOUT);
        Files.delete(passwordFile);
        if (initdb.exitValue() != 0) {
            throw new IllegalStateException("initdb failed: " + said.strip());
        }
        Files.move(fresh, data);
    }

    private static String awaitOutput(Process process, Duration timeout) {
        CompletableFuture<String> output = CompletableFuture.supplyAsync(
                () -> {
                    try {
                        return new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
                    } catch (IOException e) {
                        return "";
                    }
                },
                Thread::startVirtualThread);
        try {
            if (!process.waitFor(timeout.toMillis(), TimeUnit.MILLISECONDS)) {
                process.destroyForcibly();
                throw new IllegalStateException("initdb did not end within " + timeout.toSeconds() + " s");
            }
            return output.get(5, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            process.destroyForcibly();
            throw new IllegalStateException("interrupted", e);
        } catch (TimeoutException | ExecutionException e) {
            return "";
        }
    }

    /**
     * After a kill -9 the old server may still be shutting down: until it has gone its data are its own. A stale file
     * whose pid belongs to another program by now is PostgreSQL's to tell, which it does by its shared memory.
     */
    private static void awaitPredecessor(Path data) throws IOException {
        Path pidFile = data.resolve("postmaster.pid");
        long deadline = System.nanoTime() + PREDECESSOR_TIMEOUT.toNanos();
        while (Files.exists(pidFile)) {
            Optional<ProcessHandle> predecessor = runningServer(pidFile);
            if (predecessor.isEmpty()) {
                return;
            }
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException("An earlier PostgreSQL (pid "
                        + predecessor.get().pid() + ") still uses " + data + ": end it with SIGINT.");
            }
            sleep(Duration.ofMillis(20));
        }
    }

    private static Optional<ProcessHandle> runningServer(Path pidFile) throws IOException {
        List<String> lines = Files.readAllLines(pidFile);
        if (lines.isEmpty() || !lines.getFirst().strip().matches("[0-9]{1,9}")) {
            return Optional.empty();
        }
        long pid = Long.parseLong(lines.getFirst().strip());
        return ProcessHandle.of(pid).filter(ProcessHandle::isAlive).filter(handle -> isPostgres(pid));
    }

    private static boolean isPostgres(long pid) {
        try {
            return Files.readString(Path.of("/proc/" + pid + "/comm")).strip().equals("postgres");
        } catch (IOException e) {
            return false;
        }
    }

    /** The one it had before where that is free: another control plane may have been told of it. */
    private static int port(Path directory) throws IOException {
        Path kept = directory.resolve("port");
        int last = 0;
        if (Files.exists(kept)) {
            String text = Files.readString(kept).strip();
            last = text.matches("[0-9]{1,5}") ? Integer.parseInt(text) : 0;
        }
        int port;
        try {
            port = freePort(last);
        } catch (BindException e) {
            port = freePort(0);
        }
        Files.writeString(kept, port + "\n");
        return port;
    }

    private static int freePort(int wanted) throws IOException {
        try (ServerSocket socket = new ServerSocket(wanted, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    static ProcessBuilder command(PostgresAccount account, Path directory, Path binaries, Path data, int port) {
        List<String> argv = new ArrayList<>(List.of(binaries + "/bin/postgres", "-D", data.toString()));
        for (String setting : List.of(
                "listen_addresses=127.0.0.1",
                "port=" + port,
                "unix_socket_directories=",
                "max_connections=100",
                "shared_buffers=64MB",
                "fsync=on",
                "full_page_writes=on",
                "synchronous_commit=on",
                "dynamic_shared_memory_type=mmap",
                "logging_collector=off",
                "log_destination=stderr",
                "log_min_messages=warning",
                "log_min_error_statement=panic", // a failed statement may carry a hash or a token
                "timezone=UTC")) {
            argv.add("-c");
            argv.add(setting);
        }
        return account.command(directory, argv).redirectErrorStream(true);
    }

    static void awaitReady(Process server, DatabaseAddress address, Path logFile) throws IOException {
        long deadline = System.nanoTime() + READY_TIMEOUT.toNanos();
        while (true) {
            try (var connection = DriverManager.getConnection(address.jdbcUrl(), address.user(), address.password())) {
                if (connection.isValid(5)) {
                    return;
                }
            } catch (SQLException e) {
                log.atTrace().setCause(e).log("PostgreSQL is not ready yet");
            }
            if (!server.isAlive()) {
                throw new IllegalStateException("PostgreSQL ended at its start: " + tail(logFile));
            }
            if (System.nanoTime() > deadline) {
                throw new IllegalStateException(
                        "PostgreSQL is not ready after " + READY_TIMEOUT.toSeconds() + " s: " + tail(logFile));
            }
            sleep(Duration.ofMillis(10));
        }
    }

    private static String tail(Path file) throws IOException {
        List<String> lines = Files.readAllLines(file);
        return String.join(" / ", lines.subList(Math.max(0, lines.size() - 5), lines.size()));
    }

    private static void sleep(Duration duration) {
        try {
            Thread.sleep(duration);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }
}
