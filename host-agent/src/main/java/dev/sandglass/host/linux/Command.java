package dev.sandglass.host.linux;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * A short command: argv only, never a shell. Both its outputs are drained while it runs and are bounded, and it is
 * killed with its descendants when its time is up. Immutable; {@link #run} may be called from any thread and blocks it.
 */
public final class Command {
    /** More output than this from a short command is a mistake, and half of it would be misread. */
    private static final int OUTPUT_BYTES_MAX = 1 << 20;

    private static final int STDERR_TAIL_BYTES = 8 << 10;
    private static final Duration TIMEOUT = Duration.ofSeconds(30);

    /** How long outputs may stay open after the command itself has ended (a child of it may hold them). */
    private static final Duration DRAIN = Duration.ofMillis(500);

    private final List<String> argv;
    private final String stdin;
    private final Duration timeout;
    private final Optional<Map<String, String>> environment;

    private Command(List<String> argv, String stdin, Duration timeout, Optional<Map<String, String>> environment) {
        this.argv = argv;
        this.stdin = stdin;
        this.timeout = timeout;
        this.environment = environment;
    }

    public static Command of(String... argv) {
        return of(List.of(argv));
    }

    public static Command of(List<String> argv) {
        return new Command(List.copyOf(argv), "", TIMEOUT, Optional.empty());
    }

    /** Text for its stdin; without it stdin is empty. */
    public Command stdin(String text) {
        return new Command(argv, text, timeout, environment);
    }

    /** 30 seconds unless set. */
    public Command timeout(Duration limit) {
        return new Command(argv, stdin, limit, environment);
    }

    /** The whole environment it gets; without this, ours with messages in English. */
    public Command environment(Map<String, String> variables) {
        return new Command(argv, stdin, timeout, Optional.of(Map.copyOf(variables)));
    }

    /**
     * Runs it and waits for its end.
     *
     * @return its stdout
     * @throws CommandFailed unless it exits with 0 in time
     */
    public String run() {
        long started = System.nanoTime();
        Deadline deadline = Deadline.after(timeout);
        Process process = start(started);
        Output stdout = Output.drain(process.getInputStream(), OUTPUT_BYTES_MAX, argv.getFirst() + "-stdout");
        Output stderr = Output.drain(process.getErrorStream(), STDERR_TAIL_BYTES, argv.getFirst() + "-stderr");
        try {
            Thread writer = feed(process);
            boolean ended = process.waitFor(deadline.remaining().toNanos(), TimeUnit.NANOSECONDS);
            if (!ended) {
                throw failed(CommandFailed.KILLED, "not done in " + timeout + "; " + stderr.text(), started);
            }
            writer.join(DRAIN);
            stdout.await(DRAIN);
            stderr.await(DRAIN);
            if (process.exitValue() != 0) {
                throw failed(process.exitValue(), stderr.text(), started);
            }
            if (stdout.overflown()) {
                throw failed(CommandFailed.KILLED, "wrote more than " + OUTPUT_BYTES_MAX + " bytes", started);
            }
            return stdout.text();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw failed(CommandFailed.KILLED, "interrupted", started);
        } finally {
            end(process);
        }
    }

    private Process start(long started) {
        try {
            ProcessBuilder builder = new ProcessBuilder(argv);
            environment.ifPresent(variables -> {
                builder.environment().clear();
                builder.environment().putAll(variables);
            });
            builder.environment().putIfAbsent("LC_ALL", "C");
            return builder.start();
        } catch (IOException e) {
            throw failed(CommandFailed.NOT_STARTED, String.valueOf(e.getMessage()), started);
        }
    }

    /** On a thread of its own, since a command that does not read would hold us past the deadline. */
    private Thread feed(Process process) {
        return Thread.ofPlatform().daemon().name(argv.getFirst() + "-stdin").start(() -> {
            try (OutputStream pipe = process.getOutputStream()) {
                pipe.write(stdin.getBytes(StandardCharsets.UTF_8));
            } catch (IOException ignored) {
                // It ended without reading everything; its exit status tells whether that is an error.
            }
        });
    }

    private static void end(Process process) {
        if (process.isAlive()) {
            List<ProcessHandle> descendants = process.descendants().toList();
            process.destroyForcibly();
            descendants.forEach(ProcessHandle::destroyForcibly);
        }
        for (AutoCloseable pipe : List.of(process.getInputStream(), process.getErrorStream())) {
            try {
                pipe.close();
            } catch (Exception ignored) {
                // Nothing is lost: it was read to its end or given up.
            }
        }
    }

    private CommandFailed failed(int exit, String stderr, long started) {
        return new CommandFailed(argv, exit, stderr, Duration.ofNanos(System.nanoTime() - started));
    }

    /** The last {@code keep} bytes of a stream, read by a thread of its own. */
    private static final class Output {
        private final int keep;
        private byte[] kept = new byte[0];
        private boolean overflown;
        private Thread thread = Thread.currentThread();

        private Output(int keep) {
            this.keep = keep;
        }

        static Output drain(InputStream stream, int keep, String threadName) {
            Output output = new Output(keep);
            output.thread = Thread.ofPlatform().daemon().name(threadName).start(() -> output.readAll(stream));
            return output;
        }

        private void readAll(InputStream stream) {
            byte[] chunk = new byte[16 << 10];
            try (stream) {
                for (int n = stream.read(chunk); n >= 0; n = stream.read(chunk)) {
                    append(chunk, n);
                }
            } catch (IOException ignored) {
                // Closed under us: the command was given up.
            }
        }

        private synchronized void append(byte[] chunk, int length) {
            byte[] joined = Arrays.copyOf(kept, kept.length + length);
            System.arraycopy(chunk, 0, joined, kept.length, length);
            overflown |= joined.length > keep;
            kept = joined.length > keep ? Arrays.copyOfRange(joined, joined.length - keep, joined.length) : joined;
        }

        void await(Duration limit) throws InterruptedException {
            thread.join(limit);
        }

        synchronized boolean overflown() {
            return overflown;
        }

        synchronized String text() {
            return new String(kept, StandardCharsets.UTF_8);
        }
    }
}
