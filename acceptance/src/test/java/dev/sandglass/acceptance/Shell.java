package dev.sandglass.acceptance;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** One short command, bounded in time; its process group dies with the deadline. */
@SuppressWarnings("ArrayRecordComponent") // nobody compares them
record Shell(List<String> argv, Map<String, String> environment, byte[] stdin, Duration timeout) {
    @SuppressWarnings("ArrayRecordComponent")
    record Result(int exitCode, byte[] stdoutBytes, String stderr, Duration elapsed) {
        String stdout() {
            return new String(stdoutBytes, StandardCharsets.UTF_8);
        }

        /** Stdout of a command that must have succeeded. */
        String require() {
            if (exitCode != 0) {
                throw new AssertionError("exit code " + exitCode + "\nstdout: " + stdout() + "\nstderr: " + stderr);
            }
            return stdout();
        }

        String everything() {
            return stdout() + stderr;
        }
    }

    static Shell of(String... argv) {
        return new Shell(List.of(argv), Map.of(), new byte[0], Duration.ofSeconds(60));
    }

    Shell argv(String... other) {
        return new Shell(List.of(other), environment, stdin, timeout);
    }

    Shell with(Map<String, String> more) {
        Map<String, String> all = new HashMap<>(environment);
        all.putAll(more);
        return new Shell(argv, all, stdin, timeout);
    }

    Shell stdin(String text) {
        return stdin(text.getBytes(StandardCharsets.UTF_8));
    }

    Shell stdin(byte[] bytes) {
        return new Shell(argv, environment, bytes, timeout);
    }

    Shell within(Duration limit) {
        return new Shell(argv, environment, stdin, limit);
    }

    /** Not waited for; the caller ends it. */
    Process start() {
        try {
            ProcessBuilder builder = new ProcessBuilder(argv);
            Map<String, String> clean = builder.environment();
            clean.keySet()
                    .removeIf(name -> name.startsWith("SANDGLASS_")
                            || name.startsWith("CP_")
                            || name.startsWith("OAUTH_")
                            || name.equals("DATABASE_URL")
                            || name.equals("JWT_SECRET"));
            clean.putAll(environment);
            return builder.directory(Path.of("/").toFile()).start();
        } catch (IOException e) {
            throw new UncheckedIOException("start " + argv, e);
        }
    }

    Result run() {
        long began = System.nanoTime();
        Process process = start();
        CompletableFuture<byte[]> out = drain(process.getInputStream());
        CompletableFuture<byte[]> err = drain(process.getErrorStream());
        Thread.startVirtualThread(() -> feed(process));
        try {
            boolean ended = process.waitFor(timeout.toMillis(), TimeUnit.MILLISECONDS);
            if (!ended) {
                killTree(process.toHandle());
            }
            byte[] stdout = out.get(10, TimeUnit.SECONDS);
            String stderr = new String(err.get(10, TimeUnit.SECONDS), StandardCharsets.UTF_8);
            if (!ended) {
                throw new AssertionError(argv + " took longer than " + timeout.toSeconds() + " s\nstdout: "
                        + new String(stdout, StandardCharsets.UTF_8) + "\nstderr: " + stderr);
            }
            return new Result(process.exitValue(), stdout, stderr, Duration.ofNanos(System.nanoTime() - began));
        } catch (TimeoutException e) {
            throw new AssertionError(argv + " left somebody who holds its output open", e);
        } catch (ExecutionException e) {
            throw new AssertionError(argv + ": output cannot be read", e);
        } catch (InterruptedException e) {
            killTree(process.toHandle());
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted while waiting for " + argv, e);
        }
    }

    static void killTree(ProcessHandle process) {
        List<ProcessHandle> all = new ArrayList<>(process.descendants().toList());
        all.add(process);
        all.forEach(ProcessHandle::destroyForcibly);
    }

    private void feed(Process process) {
        try (OutputStream in = process.getOutputStream()) {
            in.write(stdin);
        } catch (IOException e) {
            // It does not read.
        }
    }

    private static CompletableFuture<byte[]> drain(InputStream stream) {
        CompletableFuture<byte[]> all = new CompletableFuture<>();
        Thread.startVirtualThread(() -> {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            try (stream) {
                stream.transferTo(bytes);
            } catch (IOException e) {
                // Killed: what was read until then.
            }
            all.complete(bytes.toByteArray());
        });
        return all;
    }
}
