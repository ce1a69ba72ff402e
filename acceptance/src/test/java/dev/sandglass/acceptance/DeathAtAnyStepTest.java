package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.host.v1.SandboxInfo;
import dev.sandglass.contract.host.v1.SandboxStatus;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * The host agent dies before and after every step of every operation, with a sandbox in which an {@link Oracle} runs.
 * Each start first finds what the death before left: every sandbox that was acknowledged is there, running, paused, or
 * stopped if its VM was ended; not a byte of it is wrong; nothing is left of anything else. Then it dies in turn.
 */
@Order(41)
@ExtendWith(Shared.class)
@SuppressWarnings("NullAway.Init")
class DeathAtAnyStepTest {
    private static final Duration AT_REST = Duration.ofSeconds(40);
    private static final Duration DIES = Duration.ofSeconds(40);

    /** What the agent is doing when it dies. */
    private enum Doing {
        CREATE,
        PAUSE,
        RESUME,
        BOOT,
        SNAPSHOT,
        SNAPSHOT_OF_PAUSED,
        REMOVE_SNAPSHOT,
        STOP,
        DESTROY,
        FILL
    }

    private record Round(Doing doing, String point) {}

    private final List<String> problems = new ArrayList<>();
    private Installation agent;
    private Host host;
    /** Has the oracle running in it; new keepers are made from it. */
    private String origin;
    /** Every sandbox that was acknowledged, with the states it may be in now. */
    private final Map<String, Set<SandboxStatus>> acknowledged = new LinkedHashMap<>();
    /** Rounds of its oracle that were seen. */
    private int seen;

    private @Nullable String keeper;
    private @Nullable String creating;
    private @Nullable String taking;

    // ---- The rounds

    /** Before a step is after the one before it: unless there is time, one of the two is tried. */
    private static Stream<String> points(String prefix) {
        List<String> steps =
                steps().stream().filter(step -> step.startsWith(prefix)).toList();
        return steps.stream()
                .flatMap(step -> Boolean.getBoolean("acceptance.full") || step.equals(steps.getFirst())
                        ? Stream.of("before:" + step, "after:" + step)
                        : Stream.of("after:" + step));
    }

    private static List<String> steps() {
        try {
            return Stream.of(Class.forName("dev.sandglass.host.agent.Step").getEnumConstants())
                    .map(String::valueOf)
                    .toList();
        } catch (ClassNotFoundException e) {
            throw new AssertionError("the agent's steps have moved", e);
        }
    }

    private static Deque<Round> rounds(Doing doing, String... prefixes) {
        return Stream.of(prefixes)
                .flatMap(DeathAtAnyStepTest::points)
                .map(point -> new Round(doing, point))
                .filter(DeathAtAnyStepTest::isReached)
                .collect(Collectors.toCollection(ArrayDeque::new));
    }

    private static boolean isReached(Round round) {
        boolean boots = round.doing == Doing.BOOT;
        if (round.point.endsWith("MACHINE_BOOT")
                ? !boots
                : boots && round.point.matches(".*MACHINE_(PREPARE|RESTORE)")) {
            return false;
        }
        return round.point.endsWith("_WARM") == (round.doing == Doing.FILL)
                && round.point.endsWith("_REMOVE") == (round.doing == Doing.REMOVE_SNAPSHOT);
    }

    /** One operation after the other in turn, so that what one left is looked at while another is to die. */
    private static List<Round> all() {
        boolean full = Boolean.getBoolean("acceptance.full");
        List<Deque<Round>> queues = new ArrayList<>();
        queues.add(rounds(Doing.PAUSE, "MEMORY_", "PAUSE_"));
        queues.add(rounds(Doing.CREATE, "CREATE_", "MACHINE_"));
        queues.add(rounds(Doing.SNAPSHOT, "SNAPSHOT_"));
        queues.add(rounds(Doing.DESTROY, "DESTROY_", "RELEASE_"));
        queues.add(rounds(Doing.RESUME, "RESUME_"));
        queues.add(rounds(Doing.REMOVE_SNAPSHOT, "SNAPSHOT_REMOVE"));
        queues.add(rounds(Doing.STOP, "STOP_"));
        queues.add(rounds(Doing.BOOT, "MACHINE_BOOT", "BOOT_"));
        queues.add(rounds(Doing.FILL, "MACHINE_WARM"));
        if (full) { // the same steps on other ways
            queues.add(rounds(Doing.PAUSE, "RELEASE_"));
            queues.add(rounds(Doing.RESUME, "MACHINE_"));
            queues.add(rounds(Doing.BOOT, "MACHINE_"));
            queues.add(rounds(Doing.SNAPSHOT_OF_PAUSED, "SNAPSHOT_L", "SNAPSHOT_P"));
        }
        List<Round> all = new ArrayList<>();
        while (queues.stream().anyMatch(queue -> !queue.isEmpty())) {
            queues.stream().filter(queue -> !queue.isEmpty()).forEach(queue -> all.add(queue.remove()));
        }
        return all;
    }

    /** {@code -Dacceptance.slice=2/4}: the second of four parts, where a run of all at once would be too long. */
    static <T> List<T> slice(List<T> all) {
        String[] part = System.getProperty("acceptance.slice", "1/1").split("/", 2);
        int number = Integer.parseInt(part[0]);
        int parts = Integer.parseInt(part[1]);
        return all.subList(all.size() * (number - 1) / parts, all.size() * number / parts);
    }

    @Test
    void everyStepIsTried() {
        Set<String> tried = all().stream()
                .map(round -> round.point.split(":", 2)[1])
                .collect(Collectors.toCollection(TreeSet::new));
        // Freezing happens once per shape and is tried by a test of its own.
        assertThat(steps().stream().filter(step -> !step.startsWith("FREEZE_"))).allMatch(tried::contains);
    }

    @Test
    @Timeout(2000)
    void aDeathAtAnyStepLosesNothing(Installation shared) {
        try (Installation started = Host.agent("steps").withTemplatesOf(shared)) {
            agent = started;
            agent.start();
            Footprint idle = agent.footprint();
            connect();
            String first = host.create();
            Oracle.start(host.guest(first));
            origin = Host.newSnapshotId();
            var _ = host.snapshot(first, origin, false);
            host.destroy(first);
            for (Round round : slice(all())) {
                long began = System.nanoTime();
                check(round);
                System.out.printf("%s %s: %d ms%n", round.doing, round.point, (System.nanoTime() - began) / 1_000_000);
            }
            restart("the last look");
            verify();
            host.destroyAll();
            host.deleteSnapshot(origin);
            host.close();
            agent.assertNothingBeyond(idle);
            assertThat(problems).isEmpty();
        }
    }

    private void check(Round round) {
        try {
            if (!start(round)) {
                return;
            }
            try {
                if (round.doing != Doing.FILL) { // then there is a machine that is nobody's yet
                    verify();
                    begin(round.doing);
                }
            } catch (StatusRuntimeException e) {
                if (!diesSoon()) {
                    throw e;
                }
            }
            agent.awaitEnd(DIES);
        } catch (AssertionError | RuntimeException e) {
            problems.add(round.doing + " " + round.point + ": " + e);
            e.printStackTrace(System.out);
            startOver();
        }
    }

    /** So that one problem is told once. */
    private void startOver() {
        restart("after a problem");
        host.destroyAll();
        acknowledged.clear();
        keeper = null;
        creating = null;
        taking = null;
    }

    /** A call that fails because the agent has died comes back before it is seen to be dead. */
    private boolean diesSoon() {
        for (int i = 0; i < 100 && agent.isRunning(); i++) {
            Installation.pause(Duration.ofMillis(20));
        }
        return !agent.isRunning();
    }

    /** Whether it runs; else it has died where it should while it started. */
    private boolean start(Round round) {
        launch(round);
        if (agent.isReadyBeforeItEnds(Installation.START)) {
            connect();
            return true;
        }
        // It died while it recovered from the death before: that must be made good as well.
        restart("after a death while it started");
        verify();
        if (round.doing == Doing.FILL) {
            return false;
        }
        launch(round);
        agent.awaitReady(Installation.START);
        connect();
        return true;
    }

    private void launch(Round round) {
        if (agent.isRunning()) {
            agent.killNow();
        }
        agent.note("failpoint " + round.point);
        agent.with("SANDGLASS_WARM_POOL", round.doing == Doing.FILL ? "1" : "0");
        agent.launch("-Dsandglass.failpoint=" + round.point);
    }

    private void restart(String why) {
        if (agent.isRunning()) {
            agent.killNow();
        }
        agent.note(why);
        agent.with("SANDGLASS_WARM_POOL", "0");
        agent.start();
        connect();
    }

    private void connect() {
        if (host != null) {
            host.close();
        }
        host = Host.of(agent);
    }

    // ---- What it does when it dies

    private void begin(Doing doing) {
        String subject = keeper();
        switch (doing) {
            case FILL -> throw new IllegalStateException("the agent does that by itself");
            case CREATE -> {
                creating = Host.newId();
                var _ = host.create(creating, "base", 0);
            }
            case PAUSE -> {
                may(subject, SandboxStatus.RUNNING, SandboxStatus.PAUSED);
                host.pause(subject);
            }
            case RESUME -> {
                host.pause(subject);
                may(subject, SandboxStatus.RUNNING, SandboxStatus.PAUSED);
                var _ = host.resume(subject);
            }
            case BOOT -> {
                host.pause(subject);
                may(subject, SandboxStatus.RUNNING, SandboxStatus.PAUSED, SandboxStatus.STOPPED);
                var _ = host.resume(subject, 0, true);
            }
            case SNAPSHOT -> {
                taking = Host.newSnapshotId();
                var _ = host.snapshot(subject, taking, false);
            }
            case SNAPSHOT_OF_PAUSED -> {
                may(subject, SandboxStatus.RUNNING, SandboxStatus.PAUSED);
                taking = Host.newSnapshotId();
                var _ = host.snapshot(subject, taking, true);
            }
            case REMOVE_SNAPSHOT -> {
                taking = Host.newSnapshotId();
                var _ = host.snapshot(subject, taking, false);
                host.deleteSnapshot(taking);
            }
            case STOP -> {
                may(subject, SandboxStatus.RUNNING, SandboxStatus.STOPPED);
                Shell.of("kill", "-9", Integer.toString(agent.vm(subject).pid()))
                        .run()
                        .require();
            }
            case DESTROY -> {
                may(subject, SandboxStatus.RUNNING, SandboxStatus.SANDBOX_STATUS_UNSPECIFIED);
                host.destroy(subject);
            }
        }
    }

    private void may(String id, SandboxStatus first, SandboxStatus... others) {
        acknowledged.put(id, EnumSet.of(first, others));
    }

    /** A running sandbox whose oracle is right. */
    private String keeper() {
        String known = keeper;
        if (known == null) {
            String id = Host.newId();
            creating = id;
            var _ = host.create(id, origin, 0);
            creating = null;
            may(id, SandboxStatus.RUNNING);
            known = id;
            keeper = id;
            seen = Oracle.check(host.guest(id));
        }
        return known;
    }

    // ---- What must be true afterwards

    private void verify() {
        Map<String, SandboxInfo> list = atRest();
        assertNothingElse(list);
        acknowledged.forEach(
                (id, allowed) -> assertThat(status(list, id)).as(id).isIn(allowed));
        String made = creating;
        creating = null;
        Set<String> known = new LinkedHashSet<>(acknowledged.keySet());
        if (made != null && list.containsKey(made)) {
            assertThat(status(list, made)).isEqualTo(SandboxStatus.RUNNING);
            assertThat(host.sh(made, "hostname")).isEqualTo(made);
            known.add(made);
            host.destroy(made);
        }
        assertThat(known).as("sandboxes that anybody asked for").containsAll(list.keySet());
        if (keeper != null) {
            verify(keeper, list);
        }
        verifySnapshot();
    }

    private static SandboxStatus status(Map<String, SandboxInfo> list, String id) {
        SandboxInfo info = list.get(id);
        return info == null ? SandboxStatus.SANDBOX_STATUS_UNSPECIFIED : info.getStatus();
    }

    private Map<String, SandboxInfo> atRest() {
        List<Map<String, SandboxInfo>> last = new ArrayList<>();
        Awaitility.await().atMost(AT_REST).pollInterval(Duration.ofMillis(50)).untilAsserted(() -> {
            Map<String, SandboxInfo> list = host.list();
            last.add(list);
            assertThat(list.values()).allMatch(info -> Host.AT_REST.contains(info.getStatus()));
        });
        return last.getLast();
    }

    private void assertNothingElse(Map<String, SandboxInfo> list) {
        Awaitility.await()
                .atMost(Duration.ofSeconds(10))
                .pollInterval(Duration.ofMillis(50))
                .untilAsserted(() -> {
                    Footprint now = agent.footprint();
                    Set<String> machines = list.values().stream()
                            .filter(info -> info.getStatus() == SandboxStatus.RUNNING)
                            .map(info -> "machines/" + agent.machine(info.getSandboxId()))
                            .collect(Collectors.toSet());
                    assertThat(now.sandboxes()).isEqualTo(list.keySet());
                    assertThat(now.of(Footprint.MACHINES)).isEqualTo(machines);
                    assertThat(agent.vms()).hasSize(machines.size());
                    assertThat(now.of(Footprint.CGROUPS))
                            .allMatch(group ->
                                    machines.contains("machines/" + group.substring(group.lastIndexOf('/') + 1)));
                    assertThat(now.of(Footprint.SNAPSHOTS))
                            .as("nothing half made")
                            .allMatch(folder -> folder.matches("snapshots/snp[0-9a-z]{20}"));
                });
    }

    private void verify(String id, Map<String, SandboxInfo> list) {
        switch (status(list, id)) {
            case RUNNING -> {
                if (acknowledged.getOrDefault(id, Set.of()).contains(SandboxStatus.STOPPED)
                        && host.sh(id, "test -e /run/oracle-count && echo yes || echo no")
                                .equals("no")) {
                    replaceAfterBoot(id);
                } else {
                    seen = Oracle.check(host.guest(id), seen);
                    may(id, SandboxStatus.RUNNING);
                }
            }
            case PAUSED -> {
                may(id, SandboxStatus.PAUSED, SandboxStatus.RUNNING);
                assertThat(host.resume(id).getCold()).isFalse();
                seen = Oracle.check(host.guest(id), seen);
                may(id, SandboxStatus.RUNNING);
            }
            case STOPPED -> {
                if (Boolean.getBoolean("acceptance.full")) {
                    assertThat(host.resume(id, 0, false).getCold()).isTrue();
                    replaceAfterBoot(id);
                } else {
                    replace(id);
                }
            }
            default -> {
                acknowledged.remove(id);
                keeper = null;
            }
        }
    }

    private void replaceAfterBoot(String id) {
        assertThat(Oracle.fileAfterTheEnd(host.guest(id))).isGreaterThanOrEqualTo(seen);
        replace(id);
    }

    private void replace(String id) {
        may(id, SandboxStatus.SANDBOX_STATUS_UNSPECIFIED, SandboxStatus.STOPPED, SandboxStatus.RUNNING);
        host.destroy(id);
        acknowledged.remove(id);
        keeper = null;
    }

    /** It exists whole or not at all. */
    private void verifySnapshot() {
        String id = taking;
        if (id == null) {
            return;
        }
        boolean there = agent.footprint().of(Footprint.SNAPSHOTS).contains("snapshots/" + id);
        String clone = Host.newId();
        creating = clone;
        if (there) {
            var _ = host.create(clone, id, 0);
            var _ = Oracle.check(host.guest(clone));
            host.destroy(clone);
        } else {
            assertThat(Host.refusal(() -> host.create(clone, id, 0))).isEqualTo(Status.Code.NOT_FOUND);
        }
        creating = null;
        host.deleteSnapshot(id);
        taking = null;
    }
}
