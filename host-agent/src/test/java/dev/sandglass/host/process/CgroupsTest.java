package dev.sandglass.host.process;

import static java.util.concurrent.TimeUnit.SECONDS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.sandglass.contract.Id;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileSystemStatus;
import dev.sandglass.host.linux.Linux;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CgroupsTest {
    private static final CgroupLimits LIMITS = new CgroupLimits(64L << 20, 150, 20);

    @TempDir
    Path root;

    private final String installation = "test" + Id.Ids.randomCharacters(8);
    private final Cgroups cgroups = Cgroups.detect(installation);

    @AfterEach
    void leaveNothing() {
        cgroups.existing().forEach(cgroups::remove);
        assertThat(cgroups.existing()).isEmpty();
    }

    private static String read(Cgroup group, String file) throws IOException {
        for (Path procs : group.procsFiles()) {
            if (Files.exists(procs.resolveSibling(file))) {
                return Files.readString(procs.resolveSibling(file)).strip();
            }
        }
        throw new IOException("no " + file + " in " + group);
    }

    @Test
    void limitsOfThisHostAreSetAndCanBeChanged() throws IOException {
        assumeTrue(cgroups.missingControllers().isEmpty());
        Cgroup group = cgroups.create("sb1", LIMITS);
        boolean v1 = Files.exists(Path.of("/sys/fs/cgroup/memory"));
        assertThat(read(group, v1 ? "memory.limit_in_bytes" : "memory.max")).isEqualTo("" + (64 << 20));
        assertThat(read(group, v1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max"))
                .isEqualTo(v1 ? "" + (64 << 20) : "0");
        assertThat(read(group, v1 ? "cpu.cfs_quota_us" : "cpu.max")).startsWith("150000");
        assertThat(read(group, "pids.max")).isEqualTo("20");
        cgroups.create("sb1", new CgroupLimits(32L << 20, 50, 10));
        assertThat(read(group, v1 ? "memory.limit_in_bytes" : "memory.max")).isEqualTo("" + (32 << 20));
        cgroups.create("sb1", new CgroupLimits(128L << 20, 50, 10));
        assertThat(read(group, v1 ? "memory.limit_in_bytes" : "memory.max")).isEqualTo("" + (128 << 20));
        cgroups.setBackground("sb1", true);
        assertThat(read(group, v1 ? "cpu.shares" : "cpu.weight")).isEqualTo(v1 ? "2" : "1");
        cgroups.setBackground("sb1", false);
        assertThat(read(group, v1 ? "cpu.shares" : "cpu.weight")).isEqualTo(v1 ? "1024" : "100");
        assertThat(cgroups.existing()).containsExactly("sb1");
    }

    @Test
    void aProcessLivesInItWithItsSupervisorAndRemovalKillsBoth() throws Exception {
        Cgroup group = cgroups.create("sb1", LIMITS);
        try (Processes processes = Processes.open()) {
            DetachedProcess process = processes.start(
                    new LaunchPlan(
                            "sb1",
                            root,
                            List.of("sh", "-c", "trap '' TERM HUP; sleep 100 & sleep 100"),
                            Optional.of(group)),
                    Deadline.after(Duration.ofSeconds(10)));
            for (Path procs : group.procsFiles()) {
                assertThat(Files.readAllLines(procs))
                        .contains("" + process.identity().pid());
            }
            cgroups.remove("sb1");
            process.exit().get(5, SECONDS);
            assertThat(process.identity().alive()).isFalse();
        }
        assertThat(cgroups.existing()).isEmpty();
        cgroups.remove("sb1");
    }

    @Test
    void theMemoryLimitHolds() throws Exception {
        assumeTrue(cgroups.missingControllers().isEmpty());
        Cgroup group = cgroups.create("sb1", new CgroupLimits(16L << 20, 100, 20));
        try (Processes processes = Processes.open()) {
            DetachedProcess hog = processes.start(
                    new LaunchPlan("hog", root, List.of("sh", "-c", "exec tail /dev/zero"), Optional.of(group)),
                    Deadline.after(Duration.ofSeconds(10)));
            assertThat(hog.exit().get(20, SECONDS)).isEqualTo(new ExitStatus.Signalled(Linux.SIGKILL));
        }
    }

    @Test
    void anotherInstallationsGroupsAreNotSeen() {
        Cgroups other = Cgroups.detect("other" + installation);
        try {
            other.create("sb1", LIMITS);
            cgroups.create("sb1", LIMITS);
            cgroups.remove("sb1");
            assertThat(other.existing()).containsExactly("sb1");
            assertThat(cgroups.existing()).isEmpty();
        } finally {
            other.remove("sb1");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "..", "a/b", "../x", "A", "a\n", "a b", "-a", "é"})
    void aNameCannotLeaveTheParent(String name) {
        assertThatThrownBy(() -> cgroups.create(name, LIMITS)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> cgroups.remove(name)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> Cgroups.detect(name)).isInstanceOf(IllegalArgumentException.class);
    }

    /** The files of a v2 hierarchy as plain ones: which are written, and with what. */
    @Test
    void aUnifiedHierarchyGetsItsControllersEnabledFromTheTop() throws IOException {
        Path mount = Files.createDirectory(root.resolve("cg roup"));
        Files.writeString(mount.resolve("cgroup.controllers"), "cpuset cpu io memory hugetlb pids\n");
        Files.writeString(mount.resolve("cgroup.subtree_control"), "memory pids\n");
        Cgroups unified = Cgroups.detect(
                installation,
                mountInfo("30 23 0:26 / " + mount.toString().replace(" ", "\\040")
                        + " rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"));
        Path group = mount.resolve("sandglass-" + installation).resolve("sb1");
        Files.createDirectories(group);
        Files.writeString(group.resolve("memory.swap.max"), "max");
        assertThat(unified.missingControllers()).isEmpty();
        Cgroup created = unified.create("sb1", LIMITS);
        assertThat(created.procsFiles()).containsExactly(group.resolve("cgroup.procs"));
        assertThat(mount.resolve("cgroup.subtree_control")).hasContent("+cpu");
        assertThat(group.resolveSibling("cgroup.subtree_control")).hasContent("+cpu +memory +pids");
        assertThat(group.resolve("memory.max")).hasContent("" + (64 << 20));
        assertThat(group.resolve("memory.swap.max")).hasContent("0");
        assertThat(group.resolve("cpu.max")).hasContent("150000 100000");
        assertThat(group.resolve("pids.max")).hasContent("20");
        assertThat(unified.existing()).containsExactly("sb1");
    }

    /** The real v2 file system, whatever controllers it has here. */
    @Test
    void groupsOfARealUnifiedHierarchyAreMadeFilledAndRemoved() throws Exception {
        Path mount = List.of(Path.of("/sys/fs/cgroup/unified"), Path.of("/sys/fs/cgroup")).stream()
                .filter(path -> Files.exists(path) && Linux.statfs(path).type() == FileSystemStatus.CGROUP2)
                .findFirst()
                .orElse(Path.of("/"));
        assumeTrue(!mount.equals(Path.of("/")), "no cgroup v2 mounted");
        Cgroups unified = Cgroups.detect(installation, mountInfo("30 23 0:26 / " + mount + " rw - cgroup2 cgroup2 rw"));
        Cgroup group = unified.create("sb1", LIMITS);
        try (Processes processes = Processes.open()) {
            DetachedProcess process = processes.start(
                    new LaunchPlan("sb1", root, List.of("sleep", "100"), Optional.of(group)),
                    Deadline.after(Duration.ofSeconds(10)));
            unified.remove("sb1");
            process.exit().get(5, SECONDS);
        } finally {
            unified.remove("sb1");
        }
        assertThat(unified.existing()).isEmpty();
        assertThat(mount.resolve("sandglass-" + installation)).doesNotExist();
    }

    @Test
    void controllersAreFoundWhereverTheyAreMounted() throws IOException {
        Path unified = Files.createDirectory(root.resolve("unified"));
        Files.writeString(unified.resolve("cgroup.controllers"), "pids memory\n");
        List<CgroupMounts.Hierarchy> found = CgroupMounts.parse(List.of(
                "",
                "garbage",
                "25 1 0:22 / /sys rw - sysfs sysfs rw",
                "34 31 0:29 / /cg/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct",
                "35 31 0:30 / /cg/memory rw shared:1 master:2 - cgroup cgroup rw,memory",
                "36 31 0:31 / /other/memory rw - cgroup cgroup rw,memory",
                "37 31 0:32 / /cg/systemd rw - cgroup cgroup rw,name=systemd",
                "38 31 0:33 / " + unified + " rw - cgroup2 cgroup2 rw"));
        assertThat(found)
                .containsExactly(
                        new CgroupMounts.Hierarchy(Path.of("/cg/cpu,cpuacct"), false, List.of("cpu")),
                        new CgroupMounts.Hierarchy(Path.of("/cg/memory"), false, List.of("memory")),
                        new CgroupMounts.Hierarchy(unified, true, List.of("pids")));
        assertThat(CgroupMounts.parse(List.of())).isEmpty();
    }

    private Path mountInfo(String line) throws IOException {
        return Files.writeString(root.resolve("mountinfo"), line + "\n");
    }
}
