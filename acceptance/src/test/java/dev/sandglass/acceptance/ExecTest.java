package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.acceptance.Sandbox.Exec;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;

/** Commands in one sandbox, whole answers and streams. */
@Order(11)
@ExtendWith(Shared.class)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@SuppressWarnings("NullAway.Init")
class ExecTest {
    private Sandbox sandbox;

    @BeforeAll
    void create(Installation server) {
        sandbox = server.api().create();
    }

    @AfterAll
    void delete() {
        sandbox.delete();
    }

    @Test
    void anAnswerHasEveryField() {
        JsonNode answer = sandbox.sh("echo out; echo err >&2; exit 3").json();
        assertThat(answer.path("sandbox_id").asString("")).isEqualTo(sandbox.id());
        assertThat(answer.path("exec_id").asString("")).matches("ex[0-9a-z]{20}");
        assertThat(answer.path("cmd").asString("")).isEqualTo("sh");
        assertThat(answer.path("stdout").asString("")).isEqualTo("out\n");
        assertThat(answer.path("stderr").asString("")).isEqualTo("err\n");
        assertThat(answer.path("exit_code").asInt(-1)).isEqualTo(3);
        assertThat(answer.has("signal")).isFalse();
        assertThat(answer.path("timed_out").asBoolean(true)).isFalse();
        assertThat(answer.path("truncated").asBoolean(true)).isFalse();
        assertThat(answer.path("duration_ms").asLong(-1)).isBetween(0L, 20_000L);
        assertThat(answer.path("encoding").asString("")).isEqualTo("utf-8");
    }

    @Test
    void argumentsAreNotAShellLine() {
        assertThat(sandbox.exec("printf", "%s|", "a b", "$HOME", "'\"", "*", "").require())
                .isEqualTo("a b|$HOME|'\"|*||");
    }

    @Test
    void directoryEnvironmentAndUserAreThoseAskedFor() {
        Exec exec = sandbox.sh(
                "pwd; printenv A_B; id -un",
                Map.of("cwd", "/usr/share", "env", Map.of("A_B", "ü=1"), "user", "nobody"));
        assertThat(exec.require()).isEqualTo("/usr/share\nü=1\nnobody");
        assertThat(sandbox.sh("id -un").require()).isEqualTo("root");
    }

    @Test
    void stdinIsPassedOnAndEnds() {
        assertThat(sandbox.exec(Map.of("cmd", "sha256sum", "stdin", "hello")).stdout())
                .startsWith("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        assertThat(sandbox.exec(Map.of("cmd", "cat")).stdout()).as("no stdin").isEmpty();
    }

    @Test
    void anUnknownCommandIs127WithAReason() {
        Exec exec = sandbox.exec("no-such-command");
        assertThat(exec.exitCode()).isEqualTo(127);
        assertThat(exec.stderr()).contains("no-such-command");
    }

    @Test
    void aTimeoutKillsTheWholeGroupAndKeepsWhatWasPrinted() {
        Exec exec = sandbox.sh("echo begun; sleep 311 & sleep 312", Map.of("timeout_sec", 1));
        assertThat(exec.json().path("timed_out").asBoolean(false)).isTrue();
        assertThat(exec.exitCode()).isEqualTo(-1);
        assertThat(exec.stdout()).isEqualTo("begun\n");
        assertThat(sandbox.sh("ps ax -o args | grep -c '^sleep 31[12]'")
                        .stdout()
                        .strip())
                .isEqualTo("0");
    }

    @Test
    void aSignalIsReported() {
        Exec exec = sandbox.sh("kill -TERM $$");
        assertThat(exec.json().has("signal")).as(exec.json().toString()).isTrue();
        assertThat(exec.exitCode()).isNotZero();
    }

    @Test
    void bytesThatAreNoTextComeAsBase64() {
        Exec exec = sandbox.sh("printf '\\377\\000\\376'; echo plain >&2");
        assertThat(exec.json().path("encoding").asString("")).isEqualTo("base64");
        assertThat(Base64.getDecoder().decode(exec.stdout())).containsExactly(0xff, 0x00, 0xfe);
        assertThat(new String(Base64.getDecoder().decode(exec.stderr()), StandardCharsets.UTF_8))
                .isEqualTo("plain\n");
    }

    @Test
    void outputBeyondEightMebibytesIsCut() {
        Exec exec = sandbox.sh("head -c 9000000 /dev/zero | tr '\\0' x", Map.of("timeout_sec", 60));
        assertThat(exec.exitCode()).isZero();
        assertThat(exec.json().path("truncated").asBoolean(false)).isTrue();
        assertThat(exec.stdout()).hasSize(8 << 20).matches(text -> text.chars().allMatch(c -> c == 'x'));
        assertThat(sandbox.exec("echo", "next").require()).isEqualTo("next");
    }

    @Test
    void aChildInTheBackgroundDoesNotHoldTheAnswer() {
        long began = System.nanoTime();
        Exec exec = sandbox.sh("sleep 321 & echo $!");
        assertThat(Duration.ofNanos(System.nanoTime() - began)).isLessThan(Duration.ofSeconds(5));
        String pid = exec.require();
        assertThat(sandbox.exec("kill", pid).exitCode()).as("it goes on").isZero();
    }

    @Test
    void manyCommandsRunAtOnce() {
        List<String> outputs = Parallel.each(
                List.of(1, 2, 3, 4, 5, 6, 7, 8),
                n -> sandbox.sh("echo " + n + "; sleep 0.2").require());
        assertThat(outputs).containsExactly("1", "2", "3", "4", "5", "6", "7", "8");
    }

    // --- streams

    @Test
    void aStreamHasStartOutputAndExit() throws Exception {
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of("type", "start", "cmd", "sh", "args", List.of("-c", "echo out; echo err >&2; exit 5")));
            JsonNode start = stream.next();
            assertThat(ExecSocket.type(start)).isEqualTo("start");
            assertThat(start.path("exec_id").asString("")).matches("ex[0-9a-z]{20}");
            assertThat(start.path("pid").asInt(0)).isPositive();
            JsonNode exit = stream.until("exit");
            assertThat(exit.path("exit_code").asInt(-1)).isEqualTo(5);
            assertThat(stream.stdout()).isEqualTo("out\n");
            assertThat(stream.stderr()).isEqualTo("err\n");
            assertThat(ExecSocket.type(stream.next())).isEqualTo("closed");
        }
    }

    @Test
    void stdinOfAStreamIsHalfClosed() throws Exception {
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of("type", "start", "cmd", "wc", "args", List.of("-c")));
            stream.send(Map.of("type", "stdin", "data", "häh"));
            stream.send(Map.of("type", "stdin", "data", "AP8=", "encoding", "base64"));
            stream.send(Map.of("type", "stdin_close"));
            stream.until("exit");
            assertThat(stream.stdout().strip()).isEqualTo("6");
        }
    }

    @Test
    void aTerminalHasASizeEchoesAndTakesSignals() throws Exception {
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of(
                    "type", "start", "cmd", "bash", "args", List.of("--norc"), "pty", Map.of("cols", 81, "rows", 23)));
            stream.send(Map.of("type", "stdin", "data", "stty size; tty\n"));
            stream.untilOutput("23 81");
            stream.untilOutput("/dev/pts/");
            stream.send(Map.of("type", "resize", "cols", 100, "rows", 40));
            stream.send(Map.of("type", "stdin", "data", "stty size\n"));
            stream.untilOutput("40 100");
            stream.send(Map.of("type", "stdin", "data", "sleep 300\n"));
            Installation.pause(Duration.ofMillis(300));
            stream.send(Map.of("type", "stdin", "data", "\u0003"));
            stream.send(Map.of("type", "stdin", "data", "echo interrupted=$?\n"));
            stream.untilOutput("interrupted=130");
            stream.send(Map.of("type", "stdin", "data", "exit 9\n"));
            assertThat(stream.until("exit").path("exit_code").asInt(-1)).isEqualTo(9);
        }
    }

    @Test
    void aSignalReachesTheCommand() throws Exception {
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of(
                    "type",
                    "start",
                    "cmd",
                    "sh",
                    "args",
                    List.of("-c", "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.1; done")));
            stream.untilOutput("ready");
            stream.send(Map.of("type", "signal", "signal", "SIGINT"));
            assertThat(stream.until("exit").path("exit_code").asInt(-1)).isEqualTo(7);
            assertThat(stream.stdout()).contains("caught");
        }
    }

    @Test
    void aLostConnectionLosesNoByte() throws Exception {
        String execId;
        long seen;
        String head;
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of(
                    "type",
                    "start",
                    "cmd",
                    "sh",
                    "args",
                    List.of("-c", "i=0; while [ $i -lt 60 ]; do echo line-$i-ü; i=$((i+1)); sleep 0.02; done")));
            execId = stream.next().path("exec_id").asString("");
            stream.untilOutput("line-5-");
            seen = stream.lastSeq();
            head = stream.stdout();
        }
        try (ExecSocket again = ExecSocket.open(sandbox.api(), sandbox.id())) {
            again.send(Map.of("type", "attach", "exec_id", execId, "after_seq", seen));
            assertThat(again.until("exit").path("exit_code").asInt(-1)).isZero();
            StringBuilder all = new StringBuilder();
            for (int i = 0; i < 60; i++) {
                all.append("line-").append(i).append("-ü\n");
            }
            assertThat(head + again.stdout()).isEqualTo(all.toString());
        }
    }

    @Test
    void charactersAreNotTornApart() throws Exception {
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of(
                    "type",
                    "start",
                    "cmd",
                    "python3",
                    "args",
                    List.of(
                            "-c",
                            "import os,time\nfor b in '€ü𝄞'.encode()*20: os.write(1,bytes([b])); time.sleep(0.002)")));
            stream.until("exit");
            assertThat(stream.stdout()).isEqualTo("€ü𝄞".repeat(20)).doesNotContain("\uFFFD");
        }
    }

    @Test
    void aSlowReaderGetsEverything() throws Exception {
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of("type", "start", "cmd", "seq", "args", List.of("1", "700000")));
            stream.next();
            Installation.pause(Duration.ofSeconds(2));
            assertThat(stream.until("exit").path("exit_code").asInt(-1)).isZero();
            byte[] all = stream.stdoutBytes();
            assertThat(all).hasSize(4_788_895);
            assertThat(new String(all, all.length - 14, 14, StandardCharsets.US_ASCII))
                    .isEqualTo("699999\n700000\n");
        }
    }

    @Test
    void whatHasEndedIsListedAndReplayedFromAnyByteOn() throws Exception {
        String exec = sandbox.sh("printf '12\\0003€\\37745'; exit 6")
                .json()
                .path("exec_id")
                .asString("");
        JsonNode listed = listed(exec);
        assertThat(listed.path("running").asBoolean(true)).isFalse();
        assertThat(listed.path("exit_code").asInt(-1)).isEqualTo(6);
        assertThat(listed.path("argv").path(0).asString("")).isEqualTo("sh");
        byte[] all = {'1', '2', 0, '3', (byte) 0xe2, (byte) 0x82, (byte) 0xac, (byte) 0xff, '4', '5'};
        for (int after : List.of(0, 1, 5, 6, 8, 10)) {
            try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
                stream.send(Map.of("type", "attach", "exec_id", exec, "after_seq", after));
                assertThat(stream.until("exit").path("exit_code").asInt(-1)).isEqualTo(6);
                assertThat(stream.stdoutBytes())
                        .as("after " + after)
                        .isEqualTo(Arrays.copyOfRange(all, after, all.length));
            }
        }
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of("type", "attach", "exec_id", exec, "after_seq", 11));
            assertThat(stream.next().path("code").asString("")).isEqualTo("invalid_request");
        }
    }

    private JsonNode listed(String exec) {
        for (JsonNode one :
                sandbox.api().get(sandbox.path() + "/execs").require(200).json()) {
            if (one.path("exec_id").asString("").equals(exec)) {
                return one;
            }
        }
        throw new AssertionError(exec + " is not listed");
    }

    @Test
    void whoAttachesTakesOver() throws Exception {
        try (ExecSocket first = ExecSocket.open(sandbox.api(), sandbox.id());
                ExecSocket second = ExecSocket.open(sandbox.api(), sandbox.id())) {
            first.send(Map.of("type", "start", "cmd", "sh", "args", List.of("-c", "read x; echo got $x")));
            String exec = first.until("start").path("exec_id").asString("");
            second.send(Map.of("type", "attach", "exec_id", exec));
            assertThat(second.until("start").path("exec_id").asString("")).isEqualTo(exec);
            JsonNode told = first.next();
            assertThat(told.path("type").asString("")).isEqualTo("error");
            assertThat(told.path("code").asString("")).isEqualTo("conflict");
            second.send(Map.of("type", "stdin", "data", "it\n"));
            assertThat(second.until("exit").path("exit_code").asInt(-1)).isZero();
            assertThat(second.stdout()).isEqualTo("got it\n");
        }
    }

    @Test
    void muchInputGoesThroughACommandThatAnswersMeanwhile() throws Exception {
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of("type", "start", "cmd", "cat"));
            stream.until("start");
            String line = "0123456789abcde\n".repeat(2048); // 32 KiB
            Thread typing = Thread.startVirtualThread(() -> {
                for (int i = 0; i < 64; i++) {
                    stream.send(Map.of("type", "stdin", "data", line));
                }
                stream.send(Map.of("type", "stdin_close"));
            });
            assertThat(stream.until("exit").path("exit_code").asInt(-1)).isZero();
            typing.join();
            assertThat(stream.stdout()).isEqualTo(line.repeat(64));
        }
    }

    @Test
    void stopGetsThroughToWhatDoesNotReadItsInput() throws Exception {
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of("type", "start", "cmd", "sleep", "args", List.of("361")));
            stream.until("start");
            for (int i = 0; i < 20; i++) {
                stream.send(Map.of("type", "stdin", "data", "x".repeat(25_000)));
            }
            stream.send(Map.of("type", "stop"));
            assertThat(stream.until("exit").path("signal").asInt(0)).isEqualTo(9);
        }
    }

    @Test
    void runningCommandsAreListedAndKilled() throws Exception {
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of("type", "start", "cmd", "sleep", "args", List.of("333")));
            String execId = stream.until("start").path("exec_id").asString("");
            assertThat(sandbox.api().get(sandbox.path() + "/execs").require(200).text())
                    .contains(execId);
            sandbox.api().delete(sandbox.path() + "/execs/" + execId).require(204);
            JsonNode exit = stream.until("exit");
            assertThat(exit.has("signal")).as(exit.toString()).isTrue();
        }
    }

    @Test
    void stopKillsTheGroup() throws Exception {
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of(
                    "type", "start", "cmd", "sh", "args", List.of("-c", "trap '' TERM INT; sleep 341 & sleep 341")));
            stream.until("start");
            stream.send(Map.of("type", "stop"));
            stream.until("exit");
            assertThat(sandbox.sh("ps ax -o args | grep -c '^sleep 341'")
                            .stdout()
                            .strip())
                    .isEqualTo("0");
        }
    }

    @Test
    void aTimeoutEndsAStream() throws Exception {
        try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
            stream.send(Map.of("type", "start", "cmd", "sleep", "args", List.of("351"), "timeout_sec", 1));
            assertThat(stream.until("exit").path("timed_out").asBoolean(false)).isTrue();
        }
    }

    @Test
    void nonsenseOnAStreamIsAnError() throws Exception {
        for (Map<String, ?> first : List.of(
                Map.of("type", "stdin", "data", "x"),
                Map.of("type", "start"),
                Map.of("type", "attach", "exec_id", "ex" + "0".repeat(20)),
                Map.of("type", "nonsense"))) {
            try (ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id())) {
                stream.send(first);
                JsonNode answer = stream.next();
                assertThat(ExecSocket.type(answer)).as(first + " → " + answer).isEqualTo("error");
                assertThat(answer.path("code").asString("")).isNotEmpty();
                assertThat(answer.path("message").asString("")).isNotEmpty();
            }
        }
    }
}
