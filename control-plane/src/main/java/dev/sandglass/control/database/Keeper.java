package dev.sandglass.control.database;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The thread whose child the embedded server is. From {@link #keep} on it starts a server that has ended by itself again,
 * at the same port, for as long as it takes: after a kill -9 the old server's processes may hold its memory for a moment.
 */
final class Keeper implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Keeper.class);
    private static final Duration START_LIMIT = Duration.ofSeconds(30);
    private static final Duration STOP_LIMIT = Duration.ofSeconds(30);
    private static final Duration PAUSE_FIRST = Duration.ofMillis(100);
    private static final Duration PAUSE_MAX = Duration.ofSeconds(2);

    /** One that ran for so long has not failed to start. */
    private static final Duration STEADY = Duration.ofSeconds(10);

    private final ProcessBuilder command;
    private final Path logFile;
    private final CompletableFuture<Process> first = new CompletableFuture<>();

    /** Whether the server is to be started again: known once it has been ready, or is to end. */
    private final CompletableFuture<Boolean> kept = new CompletableFuture<>();

    private final Thread thread =
            Thread.ofPlatform().daemon().name("postgresql-keeper").unstarted(this::run);

    @GuardedBy("this")
    private @Nullable Process server;

    @GuardedBy("this")
    private boolean closed;

    private Keeper(ProcessBuilder command, Path logFile) {
        this.command = command;
        this.logFile = logFile;
    }

    /** Returns when the process exists. Its output goes to {@code logFile}. */
    static Keeper start(ProcessBuilder command, Path logFile) throws IOException {
        Keeper keeper = new Keeper(command.redirectOutput(logFile.toFile()), logFile);
        keeper.thread.start();
        try {
            Process _ = keeper.first.get(START_LIMIT.toMillis(), TimeUnit.MILLISECONDS);
            return keeper;
        } catch (ExecutionException e) {
            throw new IOException("start postgres", e.getCause());
        } catch (TimeoutException e) {
            keeper.close();
            throw new IOException("start postgres", e);
        } catch (InterruptedException e) {
            keeper.close();
            Thread.currentThread().interrupt();
            throw new IOException("start postgres", e);
        }
    }

    /** From now on it is started again when it ends. */
    void keep() {
        kept.complete(true);
    }

    /** The one that runs, or ran last. */
    synchronized Process server() {
        if (server == null) {
            throw new IllegalStateException("PostgreSQL was never started");
        }
        return server;
    }

    private void run() {
        Duration pause = PAUSE_FIRST;
        try {
            while (true) {
                long began = System.nanoTime();
                Optional<Process> started = launch();
                if (started.isEmpty()) {
                    return;
                }
                first.complete(started.get());
                int exit = started.get().waitFor();
                if (!kept.join() || isClosed()) {
                    return;
                }
                log.atError()
                        .addKeyValue("exit", exit)
                        .addKeyValue("log", logFile)
                        .log("PostgreSQL has ended and is started again");
                boolean steady = System.nanoTime() - began > STEADY.toNanos();
                pause = steady ? PAUSE_FIRST : min(pause.multipliedBy(2), PAUSE_MAX);
                Thread.sleep(pause);
                command.redirectOutput(ProcessBuilder.Redirect.appendTo(logFile.toFile()));
            }
        } catch (IOException e) {
            log.error("PostgreSQL cannot be started", e);
            first.completeExceptionally(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static Duration min(Duration one, Duration other) {
        return one.compareTo(other) < 0 ? one : other;
    }

    /** Empty when it is to end. */
    private synchronized Optional<Process> launch() throws IOException {
        if (closed) {
            return Optional.empty();
        }
        Process started = command.start();
        server = started;
        return Optional.of(started);
    }

    private synchronized boolean isClosed() {
        return closed;
    }

    /** Stops the server for good; returns when it has ended. */
    @Override
    public void close() {
        Optional<Process> last;
        synchronized (this) {
            closed = true;
            last = Optional.ofNullable(server);
        }
        kept.complete(false);
        try {
            if (last.isPresent()) {
                stop(last.get());
            }
            thread.join(PAUSE_MAX.plusSeconds(1));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void stop(Process server) throws InterruptedException {
        interrupt(server);
        if (!server.waitFor(STOP_LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
            log.warn("PostgreSQL did not stop within {} s and is killed", STOP_LIMIT.toSeconds());
            server.destroyForcibly().waitFor(STOP_LIMIT.toMillis(), TimeUnit.MILLISECONDS);
        }
    }

    /** SIGINT, "fast shutdown": Java itself can send only SIGTERM, which waits for every client to leave. */
    private static void interrupt(Process server) throws InterruptedException {
        if (!server.isAlive()) {
            return;
        }
        try {
            new ProcessBuilder("kill", "-INT", Long.toString(server.pid()))
                    .redirectErrorStream(true)
                    .start()
                    .waitFor(5, TimeUnit.SECONDS);
        } catch (IOException e) {
            server.destroy();
        }
    }
}
