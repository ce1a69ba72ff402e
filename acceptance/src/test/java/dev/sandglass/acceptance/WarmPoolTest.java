package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.Status;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Machines that are kept ready: whose they become, and that nothing is left of them when they are not wanted. */
@Order(45)
@ExtendWith(Shared.class)
class WarmPoolTest {
    private static final int SIZE = 2;
    private static final int RESERVE_MB = 512;
    private static final Duration FILLED = Duration.ofSeconds(40);

    /** Names of machines that no sandbox has and that are clones: besides, one waits for a disk and a state. */
    private static Set<String> pooled(Installation agent, Host host) {
        Set<String> taken = host.list().keySet().stream().map(agent::machine).collect(Collectors.toSet());
        return agent.footprint().of(Footprint.MACHINES).stream()
                .map(folder -> folder.substring("machines/".length()))
                .filter(name -> !taken.contains(name))
                .filter(name -> Files.exists(agent.home().resolve("machines/" + name + "/state")))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private static Set<String> awaitFilled(Installation agent, Host host, int size) {
        Awaitility.await()
                .atMost(FILLED)
                .pollInterval(Duration.ofMillis(100))
                .untilAsserted(() -> assertThat(pooled(agent, host)).hasSize(size));
        Set<String> names = pooled(agent, host);
        awaitStopped();
        return names;
    }

    /** A folder is there before its machine has been warmed. */
    private static void awaitStopped() {
        Installation.pause(Duration.ofSeconds(3));
    }

    @Test
    void createsTakeWhatIsReadyAndTheRestIsGoneWhenItIsNotWanted(Installation shared) {
        try (Installation agent =
                Host.agent("pool").withTemplatesOf(shared).with("SANDGLASS_WARM_POOL", Integer.toString(SIZE))) {
            agent.start();
            Set<String> before;
            try (Host host = Host.of(agent)) {
                Set<String> ready = awaitFilled(agent, host, SIZE);
                String one = host.create();
                String two = host.create();
                assertThat(ready).contains(agent.machine(one)).contains(agent.machine(two));
                String script = "hostname; cat /proc/sys/kernel/random/uuid; "
                        + "python3 -c 'import uuid, os; print(uuid.uuid4(), os.urandom(16).hex())'";
                List<String> first = host.sh(one, script).lines().toList();
                List<String> second = host.sh(two, script).lines().toList();
                assertThat(first.getFirst()).isEqualTo(one);
                assertThat(second.getFirst()).isEqualTo(two);
                for (int line = 0; line < first.size(); line++) {
                    assertThat(first.get(line)).isNotEqualTo(second.get(line));
                }
                before = awaitFilled(agent, host, SIZE);
                assertThat(before).doesNotContainAnyElementsOf(ready);

                // A snapshot that is asked for often is kept ready too, until it is deleted.
                String snapshot = Host.newSnapshotId();
                var _ = host.sh(one, "echo mine >/root/file; sync");
                var _ = host.snapshot(one, snapshot, false);
                host.destroy(host.create(Host.newId(), snapshot, 0));
                host.destroy(host.create(Host.newId(), snapshot, 0));
                Set<String> both = awaitFilled(agent, host, 2 * SIZE);
                String clone = host.create(Host.newId(), snapshot, 0);
                assertThat(both).contains(agent.machine(clone));
                assertThat(host.sh(clone, "cat /root/file; hostname")).isEqualTo("mine\n" + clone);
                host.deleteSnapshot(snapshot);
                assertThat(Host.refusal(() -> host.create(Host.newId(), snapshot, 0)))
                        .isEqualTo(Status.Code.NOT_FOUND);
                before = awaitFilled(agent, host, SIZE);
                // One from the pool is paused and resumed like any other.
                host.pause(clone);
                var _ = host.resume(clone);
                assertThat(host.sh(clone, "cat /root/file")).isEqualTo("mine");
            }
            agent.killNow();
            agent.start();
            try (Host host = Host.of(agent)) {
                assertThat(host.list()).hasSize(3);
                Set<String> anew = awaitFilled(agent, host, SIZE);
                assertThat(anew).as("made by the next agent").doesNotContainAnyElementsOf(before);
                assertThat(agent.vms()).hasSize(3 + SIZE + 1);
                host.destroyAll();
            }
            agent.stop();
            assertThat(agent.vms()).as("a pool ends with its agent").isEmpty();
            assertThat(agent.footprint().of(Footprint.MACHINES)).isEmpty();

            // What is only kept ready goes where memory is short, and comes back.
            Path meminfo = agent.home().resolve("meminfo");
            available(meminfo, 8192);
            agent.with("SANDGLASS_MEMORY_RESERVE_MB", Integer.toString(RESERVE_MB))
                    .start("-Dsandglass.meminfo=" + meminfo);
            try (Host host = Host.of(agent)) {
                awaitFilled(agent, host, SIZE);
                available(meminfo, RESERVE_MB + 200); // enough for a sandbox, too little to keep some ready
                awaitOnly(agent, host, 0);
                String one = host.create();
                String two = host.create();
                assertThat(host.sh(one, "hostname")).isEqualTo(one);
                assertThat(host.sh(two, "hostname")).isEqualTo(two);
                awaitOnly(agent, host, 2);
                available(meminfo, RESERVE_MB);
                assertThat(Host.refusal(host::create)).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
                available(meminfo, 8192);
                Set<String> again = awaitFilled(agent, host, SIZE);
                assertThat(again).contains(agent.machine(host.create()));
                host.destroyAll();
            }
        }
    }

    /** As many VMs as there are sandboxes, and nothing else of a machine. */
    private static void awaitOnly(Installation agent, Host host, int sandboxes) {
        Awaitility.await().atMost(FILLED).pollInterval(Duration.ofMillis(100)).untilAsserted(() -> {
            assertThat(pooled(agent, host)).isEmpty();
            assertThat(agent.vms()).hasSize(sandboxes);
            assertThat(agent.footprint().of(Footprint.CGROUPS))
                    .filteredOn(group -> group.matches(".*/vm[0-9a-z]{20}"))
                    .allMatch(group ->
                            host.list().keySet().stream().anyMatch(id -> group.endsWith("/" + agent.machine(id))));
        });
    }

    /** What the agent takes for /proc/meminfo. */
    private static void available(Path meminfo, int megabytes) {
        Path next = meminfo.resolveSibling("meminfo.next");
        try {
            Files.writeString(
                    next, "MemTotal: %d kB%nMemAvailable: %d kB%n".formatted(16 << 20, (long) megabytes * 1024));
            Files.move(next, meminfo, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            throw new UncheckedIOException("write " + meminfo, e);
        }
    }
}
