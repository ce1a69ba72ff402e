package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;

/** What the kernel says of the processes that run guests. */
@Order(20)
@ExtendWith(Shared.class)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@SuppressWarnings("NullAway.Init")
class ConfinementTest {
    private Installation server;
    private Sandbox first;
    private Sandbox second;

    @BeforeAll
    void create(Installation server) {
        this.server = server;
        first = server.api().create();
        second = server.api().create();
    }

    @AfterAll
    void delete() {
        first.delete();
        second.delete();
    }

    private List<Proc> both() {
        return List.of(server.vm(first.id()), server.vm(second.id()));
    }

    @Test
    void eachVmHasAnUnprivilegedUserOfItsOwn() {
        for (Proc vm : both()) {
            String[] uids = vm.status("Uid").split("\\s+", -1);
            assertThat(uids).as("real, effective, saved, file system").containsOnly(uids[0]);
            assertThat(vm.uid()).isGreaterThan(1000);
            assertThat(vm.status("Gid").split("\\s+", -1)).doesNotContain("0");
            assertThat(vm.status("Groups")).isEmpty();
            assertThat(Shell.of("getent", "passwd", Integer.toString(vm.uid()))
                            .run()
                            .exitCode())
                    .as("nobody else is that user")
                    .isEqualTo(2);
        }
        assertThat(server.vm(first.id()).uid())
                .isNotEqualTo(server.vm(second.id()).uid());
        List<Proc> vms = both();
        List<Integer> uids = vms.stream().map(Proc::uid).toList();
        for (Proc other : Proc.all()) {
            if (other.alive() && vms.stream().noneMatch(vm -> vm.pid() == other.pid())) {
                assertThat(uids).as(other.shown()).doesNotContain(other.uid());
            }
        }
    }

    @Test
    void thatUserOwnsNoFile() throws Exception {
        for (Proc vm : both()) {
            for (Path root : List.of(server.home(), Path.of("/run"), Path.of("/dev/shm"))) {
                String owned = Shell.of("find", root.toString(), "-xdev", "-uid", Integer.toString(vm.uid()))
                        .run()
                        .stdout();
                // Its own folder inside its machine's, for its socket, is all there may be.
                assertThat(owned.lines().filter(path -> !path.contains("/machines/")))
                        .isEmpty();
            }
        }
    }

    @Test
    void itHasNoCapabilityAndCannotGainOne() {
        for (Proc vm : both()) {
            for (String set : List.of("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")) {
                assertThat(vm.status(set)).as(set).isEqualTo("0000000000000000");
            }
            assertThat(vm.status("NoNewPrivs")).isEqualTo("1");
        }
    }

    @Test
    void itsSystemCallsAreFiltered() {
        for (Proc vm : both()) {
            assertThat(vm.status("Seccomp")).isEqualTo("2");
            List<String> argv = vm.cmdline();
            assertThat(argv.get(argv.indexOf("-sandbox") + 1))
                    .startsWith("on")
                    .contains("spawn=deny", "elevateprivileges=deny", "obsolete=deny", "resourcecontrol=deny");
            for (Path task : tasks(vm)) {
                assertThat(Proc.value(Installation.read(task.resolve("status")), "Seccomp"))
                        .as("of every thread")
                        .isEqualTo("2");
            }
        }
    }

    private static List<Path> tasks(Proc process) {
        return Footprint.named(process.path("task"), "").stream()
                .map(process.path("task")::resolve)
                .toList();
    }

    @Test
    void itLivesInNamespacesOfItsOwn() {
        Proc self = new Proc((int) ProcessHandle.current().pid());
        for (String kind : List.of("net", "mnt")) {
            assertThat(Stream.concat(both().stream(), Stream.of(self))
                            .map(process -> process.link("ns/" + kind))
                            .collect(Collectors.toSet()))
                    .as(kind)
                    .hasSize(3);
        }
        for (Proc vm : both()) {
            assertThat(Footprint.named(vm.path("root/dev"), ""))
                    .isSubsetOf("net", "null", "kvm", "zero", "urandom", "random");
        }
    }

    @Test
    void itHoldsOnlyDescriptorsItNeeds() {
        for (Proc vm : both()) {
            for (String fd : Footprint.named(vm.path("fd"), "")) {
                String target = vm.link("fd/" + fd);
                assertThat(target)
                        .as("descriptor " + fd)
                        .matches("/dev/(null|net/tun|kvm)|anon_inode:.*|socket:.*|pipe:.*|/memfd:.*|/proc/\\d+/.*|"
                                + server.home()
                                + "/(machines|sandboxes|templates|images)/.*| ?\\(deleted\\)|/.* \\(deleted\\)");
            }
            assertThat(vm.descriptors()).isLessThan(64);
        }
    }

    /** Another one's disk or the template opened for writing would be a way across. */
    @Test
    void itMayWriteOnlyItsOwnDisk() throws IOException {
        for (Sandbox sandbox : List.of(first, second)) {
            Proc vm = server.vm(sandbox.id());
            for (String fd : Footprint.named(vm.path("fd"), "")) {
                String target = vm.link("fd/" + fd);
                String flags = Proc.value(vm.read("fdinfo/" + fd), "flags");
                boolean writable = !flags.isEmpty() && (Integer.parseInt(flags, 8) & 3) != 0;
                if (writable && target.startsWith(server.home().toString())) {
                    assertThat(target)
                            .containsAnyOf("/sandboxes/" + sandbox.id(), "/machines/" + server.machine(sandbox.id()));
                }
            }
            assertThat(Files.exists(vm.path("exe"))).isTrue();
        }
    }

    @Test
    void itsResourcesAreLimited() {
        for (Sandbox sandbox : List.of(first, second)) {
            List<Path> groups = Footprint.cgroupDirectories(server.id()).stream()
                    .filter(group -> group.endsWith(server.machine(sandbox.id())))
                    .toList();
            String pid = Integer.toString(server.vm(sandbox.id()).pid());
            assertThat(groups)
                    .isNotEmpty()
                    .allSatisfy(group -> assertThat(Installation.read(group.resolve("cgroup.procs"))
                                    .lines())
                            .as(group.toString())
                            .contains(pid));
            assertThat(limit(groups, "memory.limit_in_bytes", "memory.max")).isBetween(512L << 20, 2048L << 20);
            assertThat(limit(groups, "pids.max", "pids.max")).isBetween(1L, 1000L);
            assertThat(limit(groups, "cpu.cfs_quota_us", "cpu.max")).isPositive();
        }
    }

    private static long limit(List<Path> groups, String v1, String v2) {
        return groups.stream()
                .flatMap(group -> Stream.of(group.resolve(v1), group.resolve(v2)))
                .filter(Files::exists)
                .map(file -> Installation.read(file).strip().split(" ", 2)[0])
                .mapToLong(text -> text.equals("max") ? Long.MAX_VALUE : Long.parseLong(text))
                .findFirst()
                .orElse(-1);
    }

    @Test
    void secretsOfTheInstallationAreItsOwnersOnly() {
        Shell.Result readable = Shell.of(
                        "find",
                        server.home().toString(),
                        "(",
                        "-name",
                        "client.json",
                        "-o",
                        "-name",
                        "agent-token",
                        "-o",
                        "-name",
                        "ledger.json",
                        "-o",
                        "-path",
                        "*/templates/*",
                        ")",
                        "-type",
                        "f",
                        "-perm",
                        "/077",
                        "-not",
                        "-path",
                        "*/templates/*")
                .run();
        assertThat(readable.stdout()).isEmpty();
        assertThat(Shell.of("find", server.home().toString(), "-name", "client.json", "-perm", "600")
                        .run()
                        .stdout())
                .isNotBlank();
    }

    @Test
    void clonesShareNoRandomness() {
        String script = "cat /proc/sys/kernel/random/uuid; head -c 16 /dev/urandom | od -An -tx1; date +%s";
        List<String> outputs = Parallel.each(
                List.of(first, second), sandbox -> sandbox.sh(script).require());
        List<String> one = outputs.get(0).lines().toList();
        List<String> other = outputs.get(1).lines().toList();
        assertThat(one.get(0)).isNotEqualTo(other.get(0));
        assertThat(one.get(1)).isNotEqualTo(other.get(1));
        long now = System.currentTimeMillis() / 1000;
        assertThat(Long.parseLong(one.get(2))).isBetween(now - 3, now + 3);
    }
}
