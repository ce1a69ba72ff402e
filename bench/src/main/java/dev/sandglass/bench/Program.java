package dev.sandglass.bench;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Runs another program to its end. */
final class Program {
    private static final int OUTPUT_BYTES_MAX = 1 << 20;

    private Program() {}

    /** @param output stdout and stderr together, at most 1 MiB of it */
    record Result(int exitCode, String output, Duration elapsed) {
        String lastLine() {
            return output.strip().lines().reduce((first, second) -> second).orElse("exit code " + exitCode);
        }
    }

    /** Empty when there is no such program or it did not end in time; it is killed then. */
    static Optional<Result> run(Duration timeout, String... argv) {
        return run(timeout, List.of(argv));
    }

    static Optional<Result> run(Duration timeout, List<String> argv) {
        long begin = System.nanoTime();
        Process process;
        try {
            process = new ProcessBuilder(argv)
                    .redirectErrorStream(true)
                    .redirectInput(ProcessBuilder.Redirect.from(new java.io.File("/dev/null")))
                    .start();
        } catch (IOException e) {
            return Optional.empty();
        }
        // A reader of its own: waiting for the output's end would wait for children that keep it open.
        CompletableFuture<String> output = new CompletableFuture<>();
        Thread.ofVirtual().start(() -> output.complete(drain(process)));
        try {
            if (!process.waitFor(timeout.toMillis(), TimeUnit.MILLISECONDS)) {
                process.destroyForcibly();
                return Optional.empty();
            }
            Duration elapsed = Duration.ofNanos(System.nanoTime() - begin);
            String text =
                    output.completeOnTimeout("", 200, TimeUnit.MILLISECONDS).join();
            return Optional.of(new Result(process.exitValue(), text, elapsed));
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
            return Optional.empty();
        }
    }

    private static String drain(Process process) {
        try {
            byte[] kept = process.getInputStream().readNBytes(OUTPUT_BYTES_MAX);
            long _ = process.getInputStream().transferTo(java.io.OutputStream.nullOutputStream());
            return new String(kept, StandardCharsets.UTF_8);
        } catch (IOException e) {
            return "";
        }
    }
}
