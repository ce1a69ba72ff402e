package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.host.v1.SandboxStatus;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.EnumMap;
import java.util.Map;
import java.util.Random;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** The VM is killed at some moment of a pause or a resume: its sandbox is stopped or paused or runs, and never stuck. */
@Order(46)
@ExtendWith(Shared.class)
class DeathOfPausedVmTest {
    private static final int ROUNDS = Boolean.getBoolean("acceptance.full") ? 100 : 30;
    private static final Duration AT_REST = Duration.ofSeconds(30);

    @Test
    @Timeout(600)
    void aVmThatEndsOnTheWayIsStoppedOrPausedAndNeverLost(Installation shared) {
        long seed = Long.getLong("acceptance.seed", System.nanoTime());
        System.out.println("seed " + seed + " (-Dacceptance.seed)");
        Random random = new Random(seed);
        Map<SandboxStatus, Integer> outcomes = new EnumMap<>(SandboxStatus.class);
        try (Installation agent = Host.agent("vm-death").withTemplatesOf(shared)) {
            agent.start();
            Footprint idle = agent.footprint();
            try (Host host = Host.of(agent)) {
                String first = host.create();
                Oracle.start(host.guest(first));
                String origin = Host.newSnapshotId();
                var _ = host.snapshot(first, origin, false);
                String id = first;
                int seen = Oracle.check(host.guest(id));
                for (int round = 0; round < ROUNDS; round++) {
                    boolean resuming = random.nextBoolean();
                    if (resuming) {
                        host.pause(id);
                    }
                    kill(agent, host, id, resuming, random.nextInt(resuming ? 400 : 250));
                    SandboxStatus status = atRest(host, id);
                    outcomes.merge(status, 1, Integer::sum);
                    if (status == SandboxStatus.PAUSED) {
                        assertThat(host.resume(id).getCold()).isFalse();
                        status = SandboxStatus.RUNNING;
                    } else if (status == SandboxStatus.STOPPED && round % 10 == 0) {
                        assertThat(host.resume(id, 0, false).getCold()).isTrue();
                        assertThat(Oracle.fileAfterTheEnd(host.guest(id))).isGreaterThanOrEqualTo(seen);
                    }
                    if (status == SandboxStatus.RUNNING) {
                        seen = Oracle.check(host.guest(id), seen);
                    } else {
                        host.destroy(id);
                        id = host.create(Host.newId(), origin, 0);
                        seen = Oracle.check(host.guest(id));
                    }
                }
                host.destroyAll();
                host.deleteSnapshot(origin);
            }
            agent.assertNothingBeyond(idle);
        }
        System.out.println("killed on the way: " + outcomes);
        assertThat(outcomes.keySet()).allMatch(Host.AT_REST::contains);
    }

    private static void kill(Installation agent, Host host, String id, boolean resuming, int afterMillis) {
        Thread operation = Thread.startVirtualThread(() -> {
            try {
                if (resuming) {
                    var _ = host.resume(id);
                } else {
                    host.pause(id);
                }
            } catch (StatusRuntimeException e) {
                // Its VM was killed under it.
            }
        });
        Installation.pause(Duration.ofMillis(afterMillis));
        // There is one sandbox: whatever QEMU there is is its.
        agent.vms()
                .forEach(
                        vm -> Shell.of("kill", "-9", Integer.toString(vm.pid())).run());
        try {
            assertThat(operation.join(AT_REST)).as("the operation ends").isTrue();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        }
    }

    private static SandboxStatus atRest(Host host, String id) {
        // Until a death is noticed a sandbox may still be said to run.
        Installation.pause(Duration.ofMillis(100));
        Awaitility.await()
                .atMost(AT_REST)
                .pollInterval(Duration.ofMillis(50))
                .until(() -> Host.AT_REST.contains(host.status(id)));
        return host.status(id);
    }
}
