package dev.sandglass.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.sandglass.cli.Programs.Outcome;
import dev.sandglass.cli.Programs.Started;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The script itself, in a clone of nothing but itself, with a JDK and a Maven that only say what they are asked. */
final class ScriptTest {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    private final Map<String, String> environment = new HashMap<>();

    @BeforeEach
    void makeClone() throws IOException {
        Path script = Path.of("..", "sandglass").toAbsolutePath().normalize();
        Files.copy(script, directory.resolve("sandglass"));
        executable("sandglass");
        Files.createDirectories(directory.resolve("cli/src/main/java"));
        write("pom.xml", "");
        write("cli/pom.xml", "");
        write("cli/src/main/java/Main.java", "");
        jdk("jdk", "25.0.3");
        write("bin/mvn", """
                #!/bin/sh
                echo built >>"$COUNTER"
                [ -z "${MVN_FAILS-}" ] || { echo "[ERROR] Main.java:[1,1] no such thing"; exit 1; }
                sleep 0.2
                mkdir -p "$CLONE/cli/target/lib"
                echo jar >"$CLONE/cli/target/sandglass.jar"
                """);
        executable("bin/mvn");
        environment.put("PATH", directory.resolve("bin") + ":/usr/bin:/bin");
        environment.put("JAVA_HOME", directory.resolve("jdk").toString());
        environment.put("COUNTER", directory.resolve("counter").toString());
        environment.put("CLONE", directory.toString());
        environment.put("HOME", directory.toString());
    }

    private void jdk(String name, String version) throws IOException {
        write(name + "/release", "IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"" + version + "\"\n");
        write(name + "/bin/java", "#!/bin/sh\necho \"java $*\"\n");
        write(name + "/bin/javac", "#!/bin/sh\n");
        executable(name + "/bin/java");
        executable(name + "/bin/javac");
    }

    private void write(String file, String text) throws IOException {
        Path path = directory.resolve(file);
        Files.createDirectories(java.util.Objects.requireNonNull(path.getParent()));
        Files.writeString(path, text);
    }

    private void executable(String file) throws IOException {
        Files.setPosixFilePermissions(directory.resolve(file), PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    private Outcome sandglass(String... arguments) throws Exception {
        return start(arguments).await();
    }

    private Started start(String... arguments) throws IOException {
        List<String> argv =
                new java.util.ArrayList<>(List.of(directory.resolve("sandglass").toString()));
        argv.addAll(List.of(arguments));
        return Programs.start(directory, environment, argv);
    }

    private int builds() throws IOException {
        Path counter = directory.resolve("counter");
        return Files.exists(counter) ? Files.readAllLines(counter).size() : 0;
    }

    @Test
    void buildsOnceAndThenOnlyWhatIsStale() throws Exception {
        Outcome first = sandglass("ps", "-q");
        assertThat(first.exitCode()).as(first.output()).isZero();
        assertThat(first.output()).contains("Building Sandglass").contains("dev.sandglass.cli.Main ps -q");
        assertThat(sandglass("ps").output()).doesNotContain("Building");
        assertThat(builds()).isEqualTo(1);

        Files.setLastModifiedTime(
                directory.resolve("cli/src/main/java/Main.java"),
                FileTime.from(Instant.now().plusSeconds(1)));
        assertThat(sandglass("ps").output()).contains("Building");
        assertThat(builds()).isEqualTo(2);
    }

    @Test
    void aFileThatIsRemovedIsNoticed() throws Exception {
        sandglass("ps");
        Files.delete(directory.resolve("cli/src/main/java/Main.java"));
        sandglass("ps");
        assertThat(builds()).isEqualTo(2);
    }

    @Test
    void twoAtOnceBuildOnce() throws Exception {
        Started first = start("ps");
        Started second = start("ps");
        assertThat(first.await().exitCode()).isZero();
        assertThat(second.await().exitCode()).isZero();
        assertThat(builds()).isEqualTo(1);
    }

    @Test
    void aFailedBuildShowsItsErrorsAndIsTriedAgain() throws Exception {
        environment.put("MVN_FAILS", "1");
        Outcome failed = sandglass("ps");
        assertThat(failed.exitCode()).isEqualTo(1);
        assertThat(failed.output()).contains("no such thing", "the build failed", "build.log");
        environment.remove("MVN_FAILS");
        assertThat(sandglass("ps").exitCode()).isZero();
    }

    @Test
    void aBuildDoesNotTouchWhatARunningServerUses() throws Exception {
        sandglass("ps");
        write("jdk/bin/java", "#!/bin/sh\nexec sleep 30\n");
        Started server = start("up");
        try {
            Path used = directory.resolve("build/app.1/sandglass.jar");
            Files.setLastModifiedTime(
                    directory.resolve("pom.xml"), FileTime.from(Instant.now().plusSeconds(1)));
            write("jdk/bin/java", "#!/bin/sh\necho \"java $*\"\n");
            Thread.sleep(300); // the server's start has to take its lock first
            sandglass("ps");
            assertThat(used).exists();
        } finally {
            server.process().destroy();
        }
        server.process().waitFor();
        Files.setLastModifiedTime(
                directory.resolve("pom.xml"), FileTime.from(Instant.now().plusSeconds(60)));
        sandglass("ps");
        assertThat(directory.resolve("build/app.1")).doesNotExist();
    }

    @Test
    void aWrongJdkIsNamedWithTheWayToARightOne() throws Exception {
        assumeTrue(Programs.isRoot(), "needs root");
        jdk("jdk", "17.0.1");
        // No other JDK in sight, and nobody who could install one.
        List<String> command = Programs.after(
                "mount -t tmpfs none /usr/lib/jvm; chmod 755 " + directory,
                List.of(
                        "setpriv",
                        "--reuid=65534",
                        "--regid=65534",
                        "--clear-groups",
                        directory.resolve("sandglass").toString(),
                        "ps"));
        Outcome outcome = Programs.run(directory, environment, command);
        assertThat(outcome.output())
                .contains("a JDK 25 or newer is needed and was not found")
                .contains("JAVA_HOME=" + directory.resolve("jdk") + ": Java 17, too old")
                .containsAnyOf("apt-get install openjdk-25-jdk-headless", "unpack it under /usr/lib/jvm");
        assertThat(outcome.exitCode()).isEqualTo(1);
        assertThat(builds()).isZero();
    }

    @Test
    void aJreIsNotEnough() throws Exception {
        assumeTrue(Programs.isRoot(), "needs root");
        Files.delete(directory.resolve("jdk/bin/javac"));
        List<String> command = Programs.after(
                "mount -t tmpfs none /usr/lib/jvm; chmod 755 " + directory,
                List.of(
                        "setpriv",
                        "--reuid=65534",
                        "--regid=65534",
                        "--clear-groups",
                        directory.resolve("sandglass").toString(),
                        "ps"));
        Outcome outcome = Programs.run(directory, environment, command);
        assertThat(outcome.output()).contains("Java 25 without a compiler (a JRE)");
    }
}
