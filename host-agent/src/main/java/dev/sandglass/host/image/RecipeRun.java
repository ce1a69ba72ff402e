package dev.sandglass.host.image;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/**
 * A long command whose stdout is read line by line while it runs. It and everything it starts live in a PID namespace
 * that ends with the thread that waits for it: killed builders leave no process behind.
 */
final class RecipeRun {
    private static final int STDERR_LINES = 30;
    private static final int STDERR_LINE_CHARACTERS = 500;

    /** Proxies are the machine's business; everything else of our environment may be secret. */
    private static final List<String> KEPT = List.of(
            "http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "TMPDIR");

    private final List<String> argv;
    private final Duration timeout;

    private RecipeRun(List<String> argv, Duration timeout) {
        this.argv = argv;
        this.timeout = timeout;
    }

    static RecipeRun of(List<String> argv, Duration timeout) {
        return new RecipeRun(argv, timeout);
    }

    /** It exited with something else than 0; {@link #reason} is for people, the message has all of stderr's end. */
    static final class RecipeFailed extends Exception {
        private static final long serialVersionUID = 1;
        private final String reason;

        RecipeFailed(String reason, String stderr) {
            super(reason + " " + stderr);
            this.reason = reason;
        }

        String reason() {
            return reason;
        }
    }

    /** Blocks. On a platform thread of its own, since the child's life is tied to the thread that started it. */
    void run(Consumer<String> line) throws RecipeFailed {
        CompletableFuture<Void> done = new CompletableFuture<>();
        Thread thread = Thread.ofPlatform().daemon().name("recipe").start(() -> {
            try {
                runHere(line);
                done.complete(null);
            } catch (RecipeFailed | IOException | InterruptedException | RuntimeException e) {
                done.completeExceptionally(e);
            }
        });
        try {
            done.get();
        } catch (InterruptedException e) {
            thread.interrupt();
            Thread.currentThread().interrupt();
            throw new RecipeFailed(name() + " was interrupted.", "");
        } catch (ExecutionException e) {
            throw e.getCause() instanceof RecipeFailed failed
                    ? failed
                    : new RecipeFailed(name() + " could not be run.", String.valueOf(e.getCause()));
        }
    }

    private void runHere(Consumer<String> line) throws RecipeFailed, IOException, InterruptedException {
        List<String> confined = new ArrayList<>(List.of(
                "setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"));
        confined.addAll(argv);
        ProcessBuilder builder =
                new ProcessBuilder(confined).directory(Path.of("/").toFile());
        Map<String, String> environment = builder.environment();
        environment.keySet().retainAll(KEPT);
        environment.putAll(Map.of(
                "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME", "/root",
                "LC_ALL", "C.UTF-8",
                "DEBIAN_FRONTEND", "noninteractive"));
        Process process = builder.start();
        try {
            process.getOutputStream().close();
            ArrayDeque<String> stderr = new ArrayDeque<>();
            Thread errors = Thread.ofPlatform().daemon().name("recipe-stderr").start(() -> keepTail(process, stderr));
            Thread output = Thread.ofPlatform().daemon().name("recipe-stdout").start(() -> eachLine(process, line));
            boolean ended = process.waitFor(timeout.toMillis(), TimeUnit.MILLISECONDS);
            if (!ended) {
                throw new RecipeFailed(name() + " was not done in " + timeout.toMinutes() + " minutes.", tail(stderr));
            }
            output.join(1000);
            errors.join(1000);
            if (process.exitValue() != 0) {
                throw new RecipeFailed(name() + " failed: " + lastLine(stderr), tail(stderr));
            }
        } finally {
            process.destroyForcibly();
        }
    }

    private String name() {
        return argv.stream()
                .filter(word -> !word.equals("sh"))
                .findFirst()
                .map(word -> String.valueOf(Path.of(word).getFileName()))
                .orElse("");
    }

    private static void eachLine(Process process, Consumer<String> line) {
        try (BufferedReader reader =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String next = reader.readLine(); next != null; next = reader.readLine()) {
                line.accept(next);
            }
        } catch (IOException ignored) {
            // The process was given up.
        }
    }

    private static void keepTail(Process process, ArrayDeque<String> lines) {
        try (BufferedReader reader =
                new BufferedReader(new InputStreamReader(process.getErrorStream(), StandardCharsets.UTF_8))) {
            for (String next = reader.readLine(); next != null; next = reader.readLine()) {
                synchronized (lines) {
                    lines.add(
                            next.length() > STDERR_LINE_CHARACTERS ? next.substring(0, STDERR_LINE_CHARACTERS) : next);
                    if (lines.size() > STDERR_LINES) {
                        lines.remove();
                    }
                }
            }
        } catch (IOException ignored) {
            // The process was given up.
        }
    }

    private static String tail(ArrayDeque<String> lines) {
        synchronized (lines) {
            return lines.stream().collect(Collectors.joining("\n"));
        }
    }

    /** Of an error, if there is one: tools end with less telling lines. */
    private static String lastLine(ArrayDeque<String> lines) {
        synchronized (lines) {
            return lines.stream()
                    .filter(line -> line.startsWith("E: "))
                    .reduce((first, second) -> second)
                    .or(() -> lines.stream().reduce((first, second) -> second))
                    .orElse("it said nothing.");
        }
    }
}
