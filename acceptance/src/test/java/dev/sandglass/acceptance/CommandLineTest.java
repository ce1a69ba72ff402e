package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.acceptance.Shell.Result;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** The command line against a real server. */
@Order(14)
@ExtendWith(Shared.class)
class CommandLineTest {
    @Test
    void theFirstCommandOfTheReadmePrints42AndLeavesNothing(Installation server) {
        Result run = server.cli("run", "--", "python3", "-c", "print(6*7)").run();
        assertThat(run.stdout()).isEqualTo("42\n");
        assertThat(run.stderr()).isEmpty();
        assertThat(run.exitCode()).isZero();
        assertThat(server.api().get("/v1/sandboxes").require(200).json()).isEmpty();
        System.out.printf(
                "run of a python in a new sandbox: %d ms%n", run.elapsed().toMillis());
    }

    @Test
    void exitCodesPassThrough(Installation server) {
        assertThat(server.cli("run", "--", "sh", "-c", "exit 7").run().exitCode())
                .isEqualTo(7);
        assertThat(server.cli("run", "--", "no-such-command").run().exitCode()).isEqualTo(127);
        assertThat(server.cli("run", "--", "sh", "-c", "kill -9 $$").run().exitCode())
                .isEqualTo(137);
        assertThat(server.cli("run", "--timeout", "1s", "--", "sleep", "30")
                        .run()
                        .exitCode())
                .isEqualTo(124);
    }

    @Test
    void stdinAndBothOutputsPassThrough(Installation server) {
        byte[] bytes = new byte[200_000];
        new Random(1).nextBytes(bytes);
        Result cat = server.cli("run", "--", "sh", "-c", "cat; echo done >&2")
                .stdin(bytes)
                .run();
        assertThat(cat.stdoutBytes()).isEqualTo(bytes);
        assertThat(cat.stderr()).isEqualTo("done\n");
    }

    @Test
    void anInterruptDeletesTheSandbox(Installation server) throws Exception {
        // Not a shell with `sleep`: dash loses a SIGINT that comes between its vfork and the exec in the child.
        String waiting = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_DFL);"
                + " print('ready', flush=True); time.sleep(300)";
        for (String signal : List.of("-INT", "-TERM")) {
            Process run = server.cli("run", "--", "python3", "-c", waiting).start();
            try (var out = run.inputReader()) {
                assertThat(out.readLine()).isEqualTo("ready");
                Shell.of("kill", signal, Long.toString(run.pid())).run().require();
                assertThat(run.waitFor(20, TimeUnit.SECONDS)).as("it ends").isTrue();
                assertThat(run.exitValue()).isNotZero();
            } finally {
                Shell.killTree(run.toHandle());
            }
            Awaitility.await()
                    .atMost(Duration.ofSeconds(10))
                    .untilAsserted(() -> assertThat(server.api()
                                    .get("/v1/sandboxes")
                                    .require(200)
                                    .json())
                            .isEmpty());
        }
    }

    @Test
    void aSandboxIsMadeListedUsedAndRemoved(Installation server) {
        String id = server.cli("create", "--metadata", "of=cli").run().require().strip();
        try {
            assertThat(id).matches("sb[0-9a-z]{20}");
            JsonNode list = Json.parse(server.cli("ps", "--json").run().require());
            assertThat(list).hasSize(1);
            assertThat(list.get(0).path("id").asString("")).isEqualTo(id);
            assertThat(server.cli("ps").run().require()).contains(id, "running");
            assertThat(server.cli("exec", id.substring(0, 8), "--", "echo", "short id")
                            .run()
                            .require())
                    .isEqualTo("short id\n");
            assertThat(server.cli("exec", "-i", id, "--", "wc", "-c")
                            .stdin("12345")
                            .run()
                            .require()
                            .strip())
                    .isEqualTo("5");
            assertThat(server.cli(
                                    "exec",
                                    "-w",
                                    "/usr",
                                    "-e",
                                    "A=b",
                                    "-u",
                                    "nobody",
                                    id,
                                    "--",
                                    "sh",
                                    "-c",
                                    "pwd; echo $A; id -un")
                            .run()
                            .require())
                    .isEqualTo("/usr\nb\nnobody\n");
            JsonNode json = Json.parse(server.cli("exec", "--json", id, "--", "sh", "-c", "echo out; exit 4")
                    .run()
                    .stdout());
            assertThat(json.path("exit_code").asInt(-1)).isEqualTo(4);
            assertThat(json.path("stdout").asString("")).isEqualTo("out\n");
        } finally {
            server.cli("rm", "--all").run().require();
        }
        assertThat(Json.parse(server.cli("ps", "--json").run().require())).isEmpty();
    }

    @Test
    void aSandboxIsPausedResumedAndBootedAnew(Installation server) {
        String id = server.cli("create", "--timeout", "1h").run().require().strip();
        try {
            String pid = server.cli(
                            "exec",
                            id,
                            "--",
                            "sh",
                            "-c",
                            "echo kept >/root/file; sync; sleep 1000 >/dev/null 2>&1 & echo $!")
                    .run()
                    .require()
                    .strip();
            assertThat(server.cli("pause", id).run().require().strip()).isEqualTo(id);
            assertThat(server.cli("ps").run().require()).contains("paused", "60 min");
            assertRefused(server.cli("exec", id, "--", "true"), 125, "sandglass resume");
            JsonNode resumed = Json.parse(
                    server.cli("resume", "--json", id.substring(0, 10)).run().require());
            assertThat(resumed.path("status").asString("")).isEqualTo("running");
            server.cli("exec", id, "--", "kill", "-0", pid).run().require();

            server.cli("pause", id).run().require();
            server.cli("resume", "--cold", id).run().require();
            assertThat(server.cli("exec", id, "--", "cat", "/root/file").run().require())
                    .isEqualTo("kept\n");
            assertThat(server.cli("exec", id, "--", "kill", "-0", pid).run().exitCode())
                    .as("its memory was given up")
                    .isNotZero();
        } finally {
            server.cli("rm", "--all").run().require();
        }
    }

    @Test
    void snapshotsAreMadeClonedAndRemoved(Installation server) {
        String id = server.cli("create").run().require().strip();
        try {
            server.cli("exec", id, "--", "sh", "-c", "echo original >/root/file")
                    .run()
                    .require();
            assertThat(server.cli("snapshot", "create", id, "--name", "from-cli")
                            .run()
                            .require())
                    .isEqualTo("from-cli\n");
            assertThat(server.cli("run", "--from", "from-cli", "--", "cat", "/root/file")
                            .run()
                            .require())
                    .isEqualTo("original\n");
            assertThat(server.cli("snapshot", "list").run().require()).contains("from-cli", "512 MiB");
            assertRefused(server.cli("snapshot", "create", id, "--name", "from-cli"), 1, "--overwrite");
            server.cli("snapshot", "create", id, "--name", "from-cli", "--overwrite", "--pause")
                    .run()
                    .require();
            assertThat(Json.parse(server.cli("ps", "--json").run().require())
                            .get(0)
                            .path("status")
                            .asString(""))
                    .isEqualTo("paused");
        } finally {
            server.cli("rm", "--all").run().require();
            server.cli("snapshot", "rm", "from-cli").run().require();
        }
        assertThat(server.cli("snapshot", "list", "-q").run().require()).isEmpty();
    }

    @Test
    void filesAndFoldersAreCopiedBothWays(Installation server, @TempDir Path here) throws IOException {
        byte[] bytes = new byte[3_000_000];
        new Random(2).nextBytes(bytes);
        Path file = Files.write(here.resolve("data ü.bin"), bytes);
        Path folder = Files.createDirectories(here.resolve("folder/sub"));
        Files.writeString(folder.resolve("a"), "in a folder");
        Sandbox sandbox = server.api().create();
        try {
            server.cli("cp", file.toString(), sandbox.id() + ":/work/data.bin")
                    .run()
                    .require();
            assertThat(sandbox.sh("stat -c %s /work/data.bin").require()).isEqualTo("3000000");
            Path back = here.resolve("back.bin");
            server.cli("cp", sandbox.id() + ":/work/data.bin", back.toString())
                    .run()
                    .require();
            assertThat(Arrays.equals(Files.readAllBytes(back), bytes)).isTrue();

            server.cli("cp", here.resolve("folder").toString(), sandbox.id() + ":/work/folder")
                    .run()
                    .require();
            assertThat(sandbox.sh("cd /work && find . -name a -exec cat {} +").require())
                    .isEqualTo("in a folder");
            Path copied = here.resolve("copied");
            server.cli("cp", sandbox.id() + ":/work/folder", copied.toString())
                    .run()
                    .require();
            assertThat(Shell.of("find", copied.toString(), "-name", "a", "-exec", "cat", "{}", "+")
                            .run()
                            .require())
                    .isEqualTo("in a folder");
            assertThat(server.cli("cp", sandbox.id() + ":/none", back.toString())
                            .run()
                            .exitCode())
                    .isNotZero();
            assertThat(Files.size(back)).as("a failed copy leaves the old file").isEqualTo(3_000_000);
        } finally {
            sandbox.delete();
        }
    }

    @Test
    void aTerminalIsPassedThrough(Installation server) {
        Sandbox sandbox = server.api().create();
        try {
            // script gives the command a terminal of its own, and what it shows.
            String command = Repository.SCRIPT + " exec -it " + sandbox.id() + " -- bash --norc";
            Result session = server.cli()
                    .with(Map.of("TERM", "xterm"))
                    .argv("script", "-qec", command, "/dev/null")
                    .stdin("stty size; tty; echo $((40+2))-here; exit 3\n")
                    .run();
            assertThat(session.stdout()).contains("/dev/pts/").contains("42-here");
            assertThat(session.exitCode()).isEqualTo(3);
        } finally {
            sandbox.delete();
        }
    }

    @Test
    void aTerminalIsAskedForOnlyWhereThereIsOne(Installation server) {
        Result run = server.cli("run", "-t", "--", "true").run();
        assertThat(run.exitCode()).isEqualTo(125);
        assertThat(run.stderr()).contains("terminal");
    }

    @Test
    void errorsSayWhatToDo(Installation server) {
        assertRefused(server.cli("exec", "sb" + "0".repeat(20), "--", "true"), 125, "sandglass");
        assertRefused(server.cli("rm", "nothing"), 1, "nothing");
        assertRefused(server.cli("rm"), 2, "--all");
        assertRefused(server.cli("frobnicate"), 2, "frobnicate");
        assertRefused(server.cli("create", "--memory", "100"), null, "memory");
        assertRefused(server.cli("ps").with(Map.of("SANDGLASS_API_KEY", "sgk_wrong")), 1, "SANDGLASS_API_KEY");
        String nobody = "http://127.0.0.1:" + Installation.freePort();
        Shell stopped = server.cli("ps").with(Map.of("SANDGLASS_URL", nobody, "SANDGLASS_API_KEY", "sgk_x"));
        assertRefused(stopped, 1, "sandglass up");
        Shell run = server.cli("run", "--", "true").with(Map.of("SANDGLASS_URL", nobody, "SANDGLASS_API_KEY", "sgk_x"));
        assertRefused(run, 125, "sandglass up");
        Shell noHome = server.cli("ps").with(Map.of("SANDGLASS_HOME", "/nonexistent/home"));
        assertRefused(noHome, 1, "sandglass up");
    }

    private static void assertRefused(Shell command, @org.jspecify.annotations.Nullable Integer exitCode, String word) {
        Result result = command.run();
        if (exitCode == null) {
            assertThat(result.exitCode()).as(result.everything()).isNotZero();
        } else {
            assertThat(result.exitCode()).as(result.everything()).isEqualTo(exitCode);
        }
        assertThat(result.stderr())
                .contains(word)
                .doesNotContain("Exception", "\tat ")
                .hasLineCount(
                        (int) Math.min(4, Math.max(1, result.stderr().lines().count())));
    }

    @Test
    void doctorIsContentWithThisMachine(Installation server) {
        Result doctor = server.cli("doctor").run();
        assertThat(doctor.exitCode()).as(doctor.everything()).isZero();
        assertThat(doctor.stdout()).contains("/dev/net/tun");
    }
}
