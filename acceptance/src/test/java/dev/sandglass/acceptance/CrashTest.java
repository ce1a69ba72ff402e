package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;

/** The server dies while sandboxes run. */
@Order(30)
@ExtendWith(Shared.class)
class CrashTest {
    /** The promise is 5 s on a machine with nothing else to do; this is for one that is busy. The figure is printed. */
    private static final Duration BACK = Duration.ofSeconds(Boolean.getBoolean("acceptance.full") ? 5 : 15);

    private static final int LINES = 1500;

    @Test
    void fiveSandboxesAndAStreamSurviveAKill(Installation server) throws Exception {
        List<Sandbox> sandboxes =
                Parallel.each(List.of(1, 2, 3, 4, 5), n -> server.api().create());
        try {
            List<String> pids = Parallel.each(
                    sandboxes,
                    sandbox ->
                            sandbox.sh("sleep 1000 >/dev/null 2>&1 & echo $!").require());
            List<Integer> vms = server.vms().stream().map(Proc::pid).sorted().toList();
            String execId;
            String head;
            long seen;
            try (ExecSocket stream =
                    ExecSocket.open(server.api(), sandboxes.getFirst().id())) {
                stream.send(Map.of(
                        "type",
                        "start",
                        "cmd",
                        "sh",
                        "args",
                        List.of(
                                "-c",
                                "i=0; while [ $i -lt " + LINES
                                        + " ]; do echo line $i; i=$((i+1)); sleep 0.005; done")));
                execId = stream.until("start").path("exec_id").asString("");
                stream.untilOutput("line 20\n");
                server.killAllNow();
                head = stream.stdout();
                seen = stream.lastSeq();
                JsonNode last = stream.next();
                while (ExecSocket.type(last).equals("stdout")) {
                    head = stream.stdout();
                    seen = stream.lastSeq();
                    last = stream.next();
                }
                assertThat(ExecSocket.type(last)).isEqualTo("closed");
            }
            server.start();
            Duration back = server.sinceStart();
            System.out.printf("ready again %d ms after the start of the process, with 5 VMs%n", back.toMillis());
            assertThat(back).isLessThan(BACK);

            assertThat(server.vms().stream().map(Proc::pid).sorted().toList())
                    .as("the same VM processes")
                    .isEqualTo(vms);
            for (int i = 0; i < sandboxes.size(); i++) {
                assertThat(sandboxes.get(i).status()).isEqualTo("running");
                assertThat(sandboxes.get(i).exec("kill", "-0", pids.get(i)).exitCode())
                        .as("its process still runs")
                        .isZero();
            }
            try (ExecSocket again =
                    ExecSocket.open(server.api(), sandboxes.getFirst().id())) {
                again.send(Map.of("type", "attach", "exec_id", execId, "after_seq", seen));
                assertThat(again.until("exit").path("exit_code").asInt(-1)).isZero();
                StringBuilder all = new StringBuilder();
                for (int i = 0; i < LINES; i++) {
                    all.append("line ").append(i).append('\n');
                }
                assertThat(head + again.stdout()).isEqualTo(all.toString());
            }
        } finally {
            ensureRunning(server);
            sandboxes.forEach(Sandbox::delete);
        }
    }

    @Test
    void aVmThatDiedWhileNoServerRanIsStopped(Installation server) {
        Sandbox sandbox = server.api().create();
        try {
            int vm = server.vm(sandbox.id()).pid();
            server.killAllNow();
            Shell.of("kill", "-9", Integer.toString(vm)).run().require();
            server.start();
            VmDeathTest.assertStopped(sandbox);
        } finally {
            ensureRunning(server);
            sandbox.delete();
        }
    }

    @Test
    void aTermSignalEndsTheServerAndNotTheSandboxes(Installation server) {
        Sandbox sandbox = server.api().create();
        try {
            String pid = sandbox.sh("sleep 1000 >/dev/null 2>&1 & echo $!").require();
            assertThat(server.stop()).isIn(0, 130, 143);
            if (server.companions().isEmpty()) { // as `up`, which talks with people
                assertThat(server.logText())
                        .as("it says what goes on and how to end it")
                        .contains("sandglass down");
            }
            assertThat(server.vm(sandbox.id()).alive()).isTrue();
            server.start();
            assertThat(sandbox.exec("kill", "-0", pid).exitCode()).isZero();
        } finally {
            ensureRunning(server);
            sandbox.delete();
        }
    }

    @Test
    void downPausesWhatRunsAndItGoesOnAfterTheNextStart(Installation server) {
        List<Sandbox> sandboxes =
                Parallel.each(List.of(1, 2, 3), n -> server.api().create());
        try {
            List<String> pids = Parallel.each(
                    sandboxes,
                    sandbox ->
                            sandbox.sh("sleep 1000 >/dev/null 2>&1 & echo $!").require());
            Shell.Result down = server.cli("down").within(Installation.START).run();
            assertThat(down.exitCode()).as(down.everything()).isZero();
            assertThat(down.stdout()).contains("3 sandboxes paused", "sandglass resume");
            assertThat(server.vms()).isEmpty();
            server.start();
            for (int i = 0; i < sandboxes.size(); i++) {
                assertThat(sandboxes.get(i).status()).isEqualTo("paused");
                server.cli("resume", sandboxes.get(i).id()).run().require();
                assertThat(sandboxes.get(i).exec("kill", "-0", pids.get(i)).exitCode())
                        .isZero();
            }
        } finally {
            ensureRunning(server);
            sandboxes.forEach(Sandbox::delete);
        }
    }

    @Test
    @Timeout(400)
    void creationsUnderWayAtAKillLeaveNothing(Installation server) throws InterruptedException {
        Footprint before = server.footprint();
        List<Thread> callers = new ArrayList<>();
        for (int i = 0; i < 6; i++) {
            callers.add(Thread.startVirtualThread(() -> {
                try {
                    server.api().post("/v1/sandboxes", Map.of());
                } catch (RuntimeException e) {
                    // The server is killed under it.
                }
            }));
        }
        Installation.pause(Duration.ofMillis(700));
        server.killAllNow();
        server.start();
        for (Thread caller : callers) {
            assertThat(caller.join(Api.ANSWER)).isTrue();
        }
        FailpointTest.assertSettled(server);
        server.cli("rm", "--all").run().require();
        server.assertNothingBeyond(before);
    }

    private static void ensureRunning(Installation server) {
        if (!server.isRunning()) {
            server.start();
        }
    }
}
