package dev.sandglass.cli;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Runs programs as a person would see them: exit code and everything printed. */
final class Programs {
    private static final long LIMIT_SECONDS = 60;

    record Outcome(int exitCode, String output) {}

    private Programs() {}

    /** With exactly this environment and a PATH; nothing on stdin. */
    static Outcome run(Path directory, Map<String, String> environment, List<String> argv) throws Exception {
        return start(directory, environment, argv).await();
    }

    static Started start(Path directory, Map<String, String> environment, List<String> argv) throws IOException {
        ProcessBuilder builder =
                new ProcessBuilder(argv).directory(directory.toFile()).redirectErrorStream(true);
        builder.environment().clear();
        builder.environment().put("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        builder.environment().putAll(environment);
        Process process = builder.start();
        process.getOutputStream().close();
        return new Started(process);
    }

    record Started(Process process) {
        Outcome await() throws Exception {
            String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (!process.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new AssertionError("did not end: " + output);
            }
            return new Outcome(process.exitValue(), output);
        }
    }

    /** The command line of this build, in a JVM of its own. */
    static List<String> sandglass(String... arguments) {
        List<String> argv = new ArrayList<>(List.of(
                System.getProperty("java.home") + "/bin/java",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                "dev.sandglass.cli.Main"));
        argv.addAll(List.of(arguments));
        return argv;
    }

    /** {@code preparation} in a mount namespace of its own, then the command. */
    static List<String> after(String preparation, List<String> command) {
        List<String> argv =
                new ArrayList<>(List.of("unshare", "--mount", "sh", "-ec", preparation + "\nexec \"$@\"", "sh"));
        argv.addAll(command);
        return argv;
    }

    static boolean isRoot() {
        return "root".equals(System.getProperty("user.name"));
    }
}
