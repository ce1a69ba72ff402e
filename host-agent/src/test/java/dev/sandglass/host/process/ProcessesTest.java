package dev.sandglass.host.process;

import static java.util.concurrent.TimeUnit.SECONDS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.Linux;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ProcessesTest {
    @TempDir
    Path root;

    private final Processes processes = Processes.open();
    private final List<DetachedProcess> started = new ArrayList<>();

    @AfterEach
    void end() {
        try {
            started.forEach(process -> process.killAndAwait(soon()));
        } finally {
            processes.close();
        }
    }

    private static Deadline soon() {
        return Deadline.after(Duration.ofSeconds(10));
    }

    private Path directory(String name) throws IOException {
        return Files.createDirectories(root.resolve(name));
    }

    private DetachedProcess start(String name, String... argv) throws IOException {
        DetachedProcess process =
                processes.start(new LaunchPlan(name, directory(name), List.of(argv), Optional.empty()), soon());
        started.add(process);
        return process;
    }

    private static ExitStatus end(DetachedProcess process) throws Exception {
        return process.exit().get(10, SECONDS);
    }

    @Test
    void theStatusOfAnEndIsKnown() throws Exception {
        assertThat(end(start("a", "true"))).isEqualTo(new ExitStatus.Exited(0));
        assertThat(end(start("b", "sh", "-c", "exit 3"))).isEqualTo(new ExitStatus.Exited(3));
        assertThat(end(start("c", "sh", "-c", "kill -SEGV $$"))).isEqualTo(new ExitStatus.Signalled(11));
        assertThat(end(start("d", "no-such-program-here"))).isEqualTo(new ExitStatus.Exited(127));
    }

    @Test
    void theRecordedProcessIsTheOneAtTheEndOfTheChain() throws Exception {
        DetachedProcess process = start("a", "unshare", "-m", "sh", "-ec", "exec setpriv --no-new-privs sleep 100");
        Awaitility.await()
                .untilAsserted(() -> assertThat(Files.readString(
                                Path.of("/proc", "" + process.identity().pid(), "cmdline")))
                        .isEqualTo("sleep\u0000100\u0000"));
        assertThat(process.identity().alive()).isTrue();
        assertThat(Processes.find(root.resolve("a"))).contains(process.identity());
        process.killAndAwait(soon());
        process.killAndAwait(soon());
        process.signal(Linux.SIGTERM);
        assertThat(end(process)).isEqualTo(new ExitStatus.Signalled(9));
        assertThat(process.identity().alive()).isFalse();
    }

    @Test
    void valuesAreNeverReadByAShell() throws Exception {
        String nasty = "$(touch " + root.resolve("owned") + ") `id` ; \" ' \\ *\n";
        Path odd = directory("it's a $HOME \"dir\"");
        DetachedProcess process =
                processes.start(new LaunchPlan("odd", odd, List.of("printf", "%s", nasty), Optional.empty()), soon());
        assertThat(end(process)).isEqualTo(new ExitStatus.Exited(0));
        assertThat(process.stderrTail()).isEqualTo(nasty);
        assertThat(root.resolve("owned")).doesNotExist();
    }

    @Test
    void itHasASessionOfItsOwnAndNothingOfOurs() throws Exception {
        DetachedProcess process = start("a", "sleep", "100");
        Path proc = Path.of("/proc", "" + process.identity().pid());
        Awaitility.await()
                .untilAsserted(
                        () -> assertThat(Files.readString(proc.resolve("comm"))).isEqualTo("sleep\n"));
        String[] stat = Files.readString(proc.resolve("stat")).split(" ", -1);
        String session = stat[5];
        String terminal = stat[6];
        assertThat(session)
                .isNotEqualTo(Files.readString(Path.of("/proc/self/stat")).split(" ", -1)[5]);
        assertThat(terminal).isEqualTo("0");
        assertThat(Files.readSymbolicLink(proc.resolve("cwd"))).isEqualTo(Path.of("/"));
        assertThat(Files.readSymbolicLink(proc.resolve("fd/0"))).isEqualTo(Path.of("/dev/null"));
        try (var files = Files.list(proc.resolve("fd"))) {
            assertThat(files).hasSize(3);
        }
        assertThat(Files.readString(proc.resolve("environ"))).doesNotContain("HOME=", "JAVA_HOME=");
    }

    @Test
    void anAgentThatComesLaterKnowsTheEndAndTheLastWords() throws Exception {
        Path directory = directory("a");
        ProcessIdentity living;
        try (Processes earlier = Processes.open()) {
            living = earlier.start(
                            new LaunchPlan(
                                    "a",
                                    directory,
                                    List.of("sh", "-c", "echo last words >&2; sleep 0.3; exit 7"),
                                    Optional.empty()),
                            soon())
                    .identity();
        }
        DetachedProcess adopted = processes.adopt(directory, living);
        assertThat(adopted.exit()).isNotDone();
        assertThat(end(adopted)).isEqualTo(new ExitStatus.Exited(7));
        DetachedProcess dead = processes.adopt(directory, living);
        assertThat(end(dead)).isEqualTo(new ExitStatus.Exited(7));
        assertThat(dead.stderrTail()).isEqualTo("last words\n");
    }

    @Test
    void anotherProcessWithTheNumberIsNotTheOneMeant() throws Exception {
        DetachedProcess living = start("a", "sleep", "100");
        ProcessIdentity impostor =
                new ProcessIdentity(living.identity().pid(), living.identity().startTicks() - 1);
        assertThat(impostor.alive()).isFalse();
        DetachedProcess adopted = processes.adopt(root.resolve("a"), impostor);
        assertThat(end(adopted)).isEqualTo(new ExitStatus.Unknown());
        adopted.killAndAwait(soon());
        assertThat(living.identity().alive()).isTrue();
    }

    @Test
    void anEndThatNobodySawIsUnknown() throws Exception {
        DetachedProcess process = start("a", "sleep", "100");
        String[] record = Files.readString(root.resolve("a/pid")).strip().split(" ", -1);
        Linux.kill(Integer.parseInt(record[2]), Linux.SIGKILL);
        process.killAndAwait(soon());
        assertThat(end(process)).isEqualTo(new ExitStatus.Unknown());
    }

    @Test
    void aSecondStartInTheSameDirectoryIsRefusedWhileTheFirstLives() throws Exception {
        DetachedProcess first = start("a", "sleep", "100");
        assertThatThrownBy(() -> start("a", "true")).isInstanceOf(IllegalStateException.class);
        assertThat(first.identity().alive()).isTrue();
        first.killAndAwait(soon());
        assertThat(end(start("a", "true"))).isEqualTo(new ExitStatus.Exited(0));
    }

    @Test
    void aStartThatCannotBeRecordedFailsAndRunsNothing() throws Exception {
        Path directory = directory("a");
        LaunchPlan plan = new LaunchPlan(
                "a",
                directory,
                List.of("touch", root.resolve("ran").toString()),
                Optional.of(new Cgroup("gone", List.of(root.resolve("no-such-group/cgroup.procs")))));
        assertThatThrownBy(() -> processes.start(plan, soon()))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("no-such-group");
        assertThat(root.resolve("ran")).doesNotExist();
    }

    @Test
    void whatItSaysIsBoundedWhenReadAndOnDisk() throws Exception {
        DetachedProcess process = start("a", "sh", "-c", "head -c 3000000 /dev/zero >&2; echo the end >&2");
        end(process);
        assertThat(process.stderrTail()).endsWith("the end\n").hasSize(8 << 10);
        new ProcessFiles(root.resolve("a")).boundStderr();
        assertThat(Linux.statx(root.resolve("a/stderr")).allocatedBytes()).isLessThan(512 << 10);
        assertThat(process.stderrTail()).endsWith("the end\n");
    }

    @Test
    void whatDependsOnAnEndMayBlockWithoutHoldingTheOthers() throws Exception {
        DetachedProcess first = start("a", "sleep", "100");
        DetachedProcess second = start("b", "sleep", "100");
        var blocked = first.exit().thenAccept(_ -> second.exit().join());
        first.signal(Linux.SIGKILL);
        Thread.sleep(50);
        second.signal(Linux.SIGKILL);
        blocked.get(5, SECONDS);
    }

    @Test
    void aProcessOutlivesTheJvmThatStartedIt() throws Exception {
        Path directory = directory("a");
        Process jvm = new ProcessBuilder(
                        ProcessHandle.current().info().command().orElseThrow(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-XX:TieredStopAtLevel=1",
                        "-cp",
                        System.getProperty("java.class.path"),
                        StartAndWait.class.getName(),
                        directory.toString())
                .inheritIO()
                .start();
        try {
            Awaitility.await()
                    .atMost(Duration.ofSeconds(20))
                    .until(() -> Processes.find(directory).isPresent());
        } finally {
            jvm.destroyForcibly().waitFor();
        }
        DetachedProcess adopted =
                processes.adopt(directory, Processes.find(directory).orElseThrow());
        started.add(adopted);
        Thread.sleep(100);
        assertThat(adopted.identity().alive()).isTrue();
        Files.writeString(directory.resolve("go"), "");
        assertThat(end(adopted)).isEqualTo(new ExitStatus.Exited(42));
        assertThat(adopted.stderrTail()).isEqualTo("survived\n");
    }

    /** The program of the JVM that is killed. */
    static final class StartAndWait {
        private StartAndWait() {}

        public static void main(String[] arguments) throws InterruptedException {
            Path directory = Path.of(arguments[0]);
            Processes.open()
                    .start(
                            new LaunchPlan(
                                    "survivor",
                                    directory,
                                    List.of(
                                            "sh",
                                            "-c",
                                            "i=0; while [ ! -e \"$1/go\" ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done;"
                                                    + " echo survived; exit 42",
                                            "survivor",
                                            directory.toString()),
                                    Optional.empty()),
                            Deadline.after(Duration.ofSeconds(10)));
            Thread.sleep(Duration.ofMinutes(1));
        }
    }

    @Test
    void manyAreWatchedByOneThread() throws Exception {
        long begin = System.nanoTime();
        int count = 20;
        for (int i = 0; i < count; i++) {
            start("p" + i, "sleep", "100");
        }
        long each = (System.nanoTime() - begin) / count / 1000;
        System.out.println("start of a detached process: " + each + " µs");
        assertThat(Thread.getAllStackTraces().keySet().stream()
                        .filter(thread -> thread.getName().equals("process-watch")))
                .hasSize(1);
        for (DetachedProcess process : started) {
            process.signal(Linux.SIGTERM);
        }
        for (DetachedProcess process : started) {
            assertThat(end(process)).isEqualTo(new ExitStatus.Signalled(Linux.SIGTERM));
        }
    }

    @Test
    void theStderrFileIsAppendedToSoThatBoundingItIsSafe() throws Exception {
        DetachedProcess process = start(
                "a",
                "sh",
                "-c",
                "echo one; while [ ! -e \"$0\" ]; do sleep 0.05; done; echo two",
                root.resolve("go").toString());
        Awaitility.await().until(() -> process.stderrTail().equals("one\n"));
        Files.write(root.resolve("a/stderr"), new byte[0], StandardOpenOption.TRUNCATE_EXISTING);
        Files.writeString(root.resolve("go"), "");
        end(process);
        assertThat(process.stderrTail()).isEqualTo("two\n");
    }
}
