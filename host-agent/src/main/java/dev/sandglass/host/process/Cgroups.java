package dev.sandglass.host.process;

import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.DeadlineExceeded;
import dev.sandglass.host.linux.Errno;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * The control groups of one installation, {@code sandglass-INSTALLATION/NAME} in every hierarchy that has one of the
 * controllers memory, cpu and pids: three of v1, the one of v2, or a mixture. The parent is made when needed and goes
 * with the last group. Thread-safe; blocks for as long as {@link #remove} has to wait.
 */
public final class Cgroups {
    private static final Pattern NAME = Pattern.compile("[a-z0-9][a-z0-9-]{0,80}");
    /** The kernel's own: Documentation/admin-guide/cgroup-v2.rst, cpu.weight; scheduler/sched-design-CFS.rst, cpu.shares. */
    private static final int STANDARD_WEIGHT = 100;

    private static final int LEAST_WEIGHT = 1;
    private static final int STANDARD_SHARES = 1024;
    private static final int LEAST_SHARES = 2;
    private static final int CPU_PERIOD_MICROS = 100_000;

    /** Killed processes need a moment to leave, longer when they have much memory to give back. */
    private static final Duration REMOVAL = Duration.ofSeconds(10);

    private static final long RETRY_MILLIS = 10;

    private final String parent;
    private final List<CgroupMounts.Hierarchy> hierarchies;

    private Cgroups(String installation, List<CgroupMounts.Hierarchy> hierarchies) {
        this.parent = "sandglass-" + checked(installation);
        this.hierarchies = List.copyOf(hierarchies);
    }

    public static Cgroups detect(String installation) {
        return detect(installation, Path.of("/proc/self/mountinfo"));
    }

    /** @param mountInfo in the format of {@code /proc/self/mountinfo} */
    static Cgroups detect(String installation, Path mountInfo) {
        try {
            return new Cgroups(installation, CgroupMounts.parse(Files.readAllLines(mountInfo)));
        } catch (IOException e) {
            throw new UncheckedIOException("find control groups", e);
        }
    }

    /** Those of memory, cpu and pids that this host offers nowhere: their limits do not hold. */
    public Set<String> missingControllers() {
        Set<String> missing = new TreeSet<>(CgroupMounts.CONTROLLERS);
        hierarchies.forEach(hierarchy -> hierarchy.controllers().forEach(missing::remove));
        return missing;
    }

    /** Makes a group, or sets the limits of the one there is. */
    public synchronized Cgroup create(String name, CgroupLimits limits) {
        checked(name);
        try {
            List<Path> procsFiles = new ArrayList<>();
            for (CgroupMounts.Hierarchy hierarchy : hierarchies) {
                Path group = ensure(hierarchy, name);
                if (hierarchy.unified()) {
                    limitUnified(group, hierarchy.controllers(), limits);
                } else {
                    limitV1(group, hierarchy.controllers(), limits);
                }
                procsFiles.add(group.resolve("cgroup.procs"));
            }
            return new Cgroup(name, procsFiles);
        } catch (IOException e) {
            remove(name);
            throw new UncheckedIOException("create control group " + name, e);
        }
    }

    /**
     * Whether what is in it gets as much of a busy processor as other groups, as from the start, or only what they leave.
     */
    public void setBackground(String name, boolean background) {
        checked(name);
        try {
            for (CgroupMounts.Hierarchy hierarchy : hierarchies) {
                if (hierarchy.controllers().contains("cpu")) {
                    Path group = hierarchy.mount().resolve(parent).resolve(name);
                    if (hierarchy.unified()) {
                        write(group.resolve("cpu.weight"), background ? LEAST_WEIGHT : STANDARD_WEIGHT);
                    } else {
                        write(group.resolve("cpu.shares"), background ? LEAST_SHARES : STANDARD_SHARES);
                    }
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("weigh control group " + name, e);
        }
    }

    /** Names of all groups of this installation, also of those that are half made or half removed. */
    public List<String> existing() {
        Set<String> names = new TreeSet<>();
        for (CgroupMounts.Hierarchy hierarchy : hierarchies) {
            try (DirectoryStream<Path> children =
                    Files.newDirectoryStream(hierarchy.mount().resolve(parent), Files::isDirectory)) {
                children.forEach(child -> names.add(String.valueOf(child.getFileName())));
            } catch (NoSuchFileException e) {
                // None in this hierarchy.
            } catch (IOException e) {
                throw new UncheckedIOException("list control groups of " + parent, e);
            }
        }
        return List.copyOf(names);
    }

    /**
     * Kills what is in it and removes it. Idempotent.
     *
     * @throws DeadlineExceeded if something in it cannot be killed
     */
    public synchronized void remove(String name) {
        checked(name);
        Deadline deadline = Deadline.after(REMOVAL);
        for (CgroupMounts.Hierarchy hierarchy : hierarchies) {
            Path ours = hierarchy.mount().resolve(parent);
            try {
                while (!removed(ours.resolve(name))) {
                    killAll(ours.resolve(name));
                    deadline.check("remove control group " + name);
                    pause();
                }
                removed(ours);
            } catch (IOException e) {
                throw new UncheckedIOException("remove control group " + name, e);
            }
        }
    }

    private Path ensure(CgroupMounts.Hierarchy hierarchy, String name) throws IOException {
        Path ours = hierarchy.mount().resolve(parent);
        ensureDirectory(ours);
        if (hierarchy.unified()) {
            enable(hierarchy.mount(), hierarchy.controllers());
            enable(ours, hierarchy.controllers());
        }
        Path group = ours.resolve(name);
        ensureDirectory(group);
        return group;
    }

    private static void enable(Path group, List<String> controllers) throws IOException {
        Path control = group.resolve("cgroup.subtree_control");
        List<String> enabled = Files.exists(control)
                ? List.of(Files.readString(control).strip().split(" ", -1))
                : List.of();
        String missing = controllers.stream()
                .filter(controller -> !enabled.contains(controller))
                .map(controller -> "+" + controller)
                .collect(Collectors.joining(" "));
        if (!missing.isEmpty()) {
            write(control, missing);
        }
    }

    private static void limitV1(Path group, List<String> controllers, CgroupLimits limits) throws IOException {
        if (controllers.contains("memory")) {
            // memsw must never be below memory, so which one may be written first depends on what is there.
            boolean swapCounted = Files.exists(group.resolve("memory.memsw.limit_in_bytes"));
            if (swapCounted) {
                write(group.resolve("memory.memsw.limit_in_bytes"), "-1");
            }
            write(group.resolve("memory.limit_in_bytes"), limits.memoryBytes());
            if (swapCounted) {
                write(group.resolve("memory.memsw.limit_in_bytes"), limits.memoryBytes());
            }
            write(group.resolve("memory.swappiness"), 0);
        }
        if (controllers.contains("cpu")) {
            write(group.resolve("cpu.cfs_period_us"), CPU_PERIOD_MICROS);
            write(group.resolve("cpu.cfs_quota_us"), quotaMicros(limits));
        }
        if (controllers.contains("pids")) {
            write(group.resolve("pids.max"), limits.pidsMax());
        }
    }

    private static void limitUnified(Path group, List<String> controllers, CgroupLimits limits) throws IOException {
        if (controllers.contains("memory")) {
            write(group.resolve("memory.max"), limits.memoryBytes());
            if (Files.exists(group.resolve("memory.swap.max"))) {
                write(group.resolve("memory.swap.max"), 0);
            }
        }
        if (controllers.contains("cpu")) {
            write(group.resolve("cpu.max"), quotaMicros(limits) + " " + CPU_PERIOD_MICROS);
        }
        if (controllers.contains("pids")) {
            write(group.resolve("pids.max"), limits.pidsMax());
        }
    }

    private static long quotaMicros(CgroupLimits limits) {
        return (long) limits.cpuPercent() * CPU_PERIOD_MICROS / 100;
    }

    private static void write(Path file, long value) throws IOException {
        write(file, Long.toString(value));
    }

    private static void write(Path file, String value) throws IOException {
        Files.writeString(file, value);
    }

    private static void ensureDirectory(Path directory) throws IOException {
        try {
            Files.createDirectory(directory);
        } catch (FileAlreadyExistsException e) {
            // Left by an earlier agent, or the parent of the others.
        }
    }

    /** False while something is in it. */
    private static boolean removed(Path group) throws IOException {
        try {
            Files.deleteIfExists(group);
            return true;
        } catch (DirectoryNotEmptyException e) {
            return false;
        } catch (FileSystemException e) {
            if (String.valueOf(e.getReason()).contains("busy")) {
                return false;
            }
            throw e;
        }
    }

    private static void killAll(Path group) throws IOException {
        Path kill = group.resolve("cgroup.kill");
        try {
            if (Files.exists(kill)) {
                write(kill, 1);
                return;
            }
            for (String pid : Files.readAllLines(group.resolve("cgroup.procs"))) {
                kill(Integer.parseInt(pid));
            }
        } catch (NoSuchFileException e) {
            // Gone meanwhile.
        }
    }

    private static void kill(int pid) {
        if (pid <= 1) {
            // 0 stands for a process outside our pid namespace; to kill(2) it means our own process group.
            return;
        }
        try {
            Linux.kill(pid, Linux.SIGKILL);
        } catch (LinuxException e) {
            if (e.errno() != Errno.ESRCH) {
                throw e;
            }
        }
    }

    private static void pause() {
        try {
            Thread.sleep(RETRY_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new DeadlineExceeded("interrupted while removing a control group");
        }
    }

    private static String checked(String name) {
        if (!NAME.matcher(name).matches()) {
            throw new IllegalArgumentException("not a name of a control group: " + name);
        }
        return name;
    }
}
