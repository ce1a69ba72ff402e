package dev.sandglass.cli.machine;

import dev.sandglass.cli.machine.Check.Status;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * Looks at this machine as a place for a server. Nothing is changed; every check takes milliseconds.
 *
 * @param home where the server will keep its state; need not exist
 * @param listen where it will serve its API
 * @param running whether it already runs, and so rightly holds its port
 */
public record Machine(Map<String, String> environment, Path home, InetSocketAddress listen, boolean running) {
    private static final int JDK_MIN = 25;
    private static final long MIB = 1 << 20;
    private static final long GIB = 1 << 30;
    /** The server's heap and PostgreSQL and one template with a few clones. */
    private static final long MEMORY_MIN = 1 * GIB;

    private static final long MEMORY_COMFORTABLE = 3 * GIB;
    /** Images (0.3 GiB), their build (0.6 GiB), a template and the database. */
    private static final long DISK_MIN_FIRST = 3 * GIB;

    private static final long DISK_MIN_LATER = 1 * GIB;
    private static final long DISK_COMFORTABLE = 8 * GIB;
    /** Bits of CapEff: CAP_NET_ADMIN and CAP_SYS_ADMIN. */
    private static final long CAPABILITIES = 1L << 12 | 1L << 21;

    private static final int COMMAND_SECONDS = 10;

    /** All checks, in the order a person would go through them. */
    public List<Check> inspect() {
        Packages packages = new Packages(environment);
        List<Check> checks = new ArrayList<>();
        checks.add(processor());
        checks.add(jdk());
        checks.add(root());
        checks.add(packages(packages));
        checks.add(acceleration());
        checks.add(tun());
        if (packages.isPresent("nft")) {
            checks.add(firewall());
        }
        checks.add(namespaces());
        checks.add(cgroups());
        checks.add(memory());
        checks.add(disk());
        checks.add(port());
        return checks;
    }

    private static Check processor() {
        String architecture = System.getProperty("os.arch");
        int processors = Runtime.getRuntime().availableProcessors();
        return architecture.equals("amd64")
                ? Check.ok("processor", "x86-64, " + processors + (processors == 1 ? " core" : " cores"))
                : Check.fail("processor", architecture, "Sandglass runs on x86-64 only, for now.");
    }

    private static Check jdk() {
        int version = Runtime.version().feature();
        String detail = "Java " + Runtime.version().toString().replaceFirst("[+-].*", "");
        return version >= JDK_MIN
                ? Check.ok("JDK", detail)
                : Check.fail(
                        "JDK", detail, "Start by ./sandglass, which finds a JDK " + JDK_MIN + ", or set JAVA_HOME.");
    }

    private Check root() {
        String name = "root";
        Optional<String> status = read(Path.of("/proc/self/status"));
        boolean isRoot = status.flatMap(text -> field(text, "Uid:"))
                .map(uids -> uids.split("\\s+", -1)[1].equals("0"))
                .orElse(false);
        if (!isRoot) {
            return Check.fail(
                    name,
                    "not root",
                    "Networks and confinement of the VMs need root: sudo "
                            + (environment.containsKey("JAVA_HOME") ? "--preserve-env=JAVA_HOME " : "")
                            + "./sandglass up");
        }
        long capabilities = status.flatMap(text -> field(text, "CapEff:"))
                .map(hex -> Long.parseUnsignedLong(hex, 16))
                .orElse(0L);
        return (capabilities & CAPABILITIES) == CAPABILITIES
                ? Check.ok(name, "yes")
                : Check.fail(
                        name,
                        "root without capabilities",
                        "CAP_NET_ADMIN and CAP_SYS_ADMIN are missing. In a container: docker run --privileged …");
    }

    private static Check packages(Packages packages) {
        List<String> missing = packages.missing();
        return missing.isEmpty()
                ? Check.ok("packages", "all there")
                : new Check(
                        "packages", Status.MISSING, "missing: " + String.join(" ", missing), packages.remedy(missing));
    }

    /** Opening /dev/kvm proves little; `up` boots a guest to be sure. */
    private static Check acceleration() {
        String name = "acceleration";
        boolean flag = read(Path.of("/proc/cpuinfo"))
                .orElse("")
                .lines()
                .filter(line -> line.startsWith("flags"))
                .findFirst()
                .map(line -> (line + " ").matches(".*\\s(svm|vmx)\\s.*"))
                .orElse(false);
        String emulation = "Emulation (TCG) is slower, and for development and trusted code only.";
        if (!flag) {
            return Check.note(
                    name,
                    "no KVM (the processor shows no svm or vmx): emulation",
                    emulation
                            + " For KVM: turn virtualisation on in the firmware, or nested virtualisation in the host.");
        }
        if (!opens(Path.of("/dev/kvm"))) {
            return Check.note(
                    name,
                    "no KVM (/dev/kvm cannot be opened): emulation",
                    emulation + " For KVM: modprobe kvm_intel or kvm_amd; in a container: --device /dev/kvm");
        }
        return Check.ok(name, "KVM (`up` boots a guest to be sure)");
    }

    private static Check tun() {
        Path device = Path.of("/dev/net/tun");
        if (!Files.exists(device)) {
            return Check.fail(
                    "/dev/net/tun",
                    "does not exist",
                    "modprobe tun; in a container: docker run --device /dev/net/tun --cap-add NET_ADMIN …");
        }
        return opens(device)
                ? Check.ok("/dev/net/tun", "usable")
                : Check.fail(
                        "/dev/net/tun",
                        "cannot be opened",
                        "Run as root; if you do: modprobe tun, in a container: --device /dev/net/tun");
    }

    private static Check firewall() {
        return succeeds("nft", "list", "tables")
                ? Check.ok("nftables", "usable")
                : Check.fail(
                        "nftables",
                        "`nft list tables` fails",
                        "Run as root, with a kernel that has nf_tables: modprobe nf_tables");
    }

    private static Check namespaces() {
        return succeeds("unshare", "--net", "--mount", "true")
                ? Check.ok("namespaces", "usable")
                : Check.fail(
                        "namespaces",
                        "network and mount namespaces cannot be made",
                        "Run as root; in a container: docker run --privileged …");
    }

    private static Check cgroups() {
        String mounts = read(Path.of("/proc/self/mounts")).orElse("");
        boolean unified = mounts.lines().anyMatch(line -> line.startsWith("cgroup2 ") || line.contains(" cgroup2 "));
        List<String> wanted = List.of("memory", "cpu", "pids");
        String v2 = read(Path.of("/sys/fs/cgroup/cgroup.controllers")).orElse("");
        if (unified
                && wanted.stream().allMatch(controller -> (" " + v2.strip() + " ").contains(" " + controller + " "))) {
            return writable(Path.of("/sys/fs/cgroup"), "v2");
        }
        boolean v1 = wanted.stream()
                .allMatch(controller -> mounts.lines()
                        .filter(line -> line.contains(" cgroup "))
                        .anyMatch(line -> ("," + line.split(" ", -1)[3] + ",").contains("," + controller + ",")));
        if (v1) {
            return writable(Path.of("/sys/fs/cgroup/memory"), unified ? "v1 (hybrid)" : "v1");
        }
        return Check.fail(
                "cgroups",
                "no memory, cpu and pids controllers",
                "Boot with systemd.unified_cgroup_hierarchy=1; in a container: --privileged --cgroupns=host");
    }

    private static Check writable(Path directory, String version) {
        return Files.isWritable(directory)
                ? Check.ok("cgroups", version)
                : Check.fail("cgroups", version + ", read-only", "Run as root; in a container: --privileged");
    }

    private static Check memory() {
        long available = read(Path.of("/proc/meminfo"))
                .flatMap(text -> field(text, "MemAvailable:"))
                .map(text -> Long.parseLong(text.replaceFirst("\\D.*", "")) * 1024)
                .orElse(0L);
        String detail = bytes(available) + " available";
        if (available < MEMORY_MIN) {
            return Check.fail(
                    "memory", detail, "At least " + bytes(MEMORY_MIN) + " must be available: end other programs.");
        }
        return available < MEMORY_COMFORTABLE
                ? Check.note("memory", detail, "Enough for a few sandboxes only.")
                : Check.ok("memory", detail);
    }

    private Check disk() {
        Path existing = home;
        while (!Files.exists(existing) && existing.getParent() != null) {
            existing = existing.getParent();
        }
        try {
            if (!Files.isDirectory(existing)) {
                return Check.fail("disk", existing + " is no directory", "Set SANDGLASS_HOME to a directory.");
            }
            long free = Files.getFileStore(existing).getUsableSpace();
            boolean first = !Files.isDirectory(home.resolve("images"));
            long min = first ? DISK_MIN_FIRST : DISK_MIN_LATER;
            String detail = bytes(free) + " free in " + home;
            if (free < min) {
                return Check.fail(
                        "disk",
                        detail,
                        "At least " + bytes(min)
                                + " must be free: make room there, or set SANDGLASS_HOME to another disk.");
            }
            if (!Files.isWritable(existing)) {
                return Check.fail("disk", existing + " is not writable", "Run as root, or set SANDGLASS_HOME.");
            }
            return free < DISK_COMFORTABLE
                    ? Check.note("disk", detail, "Enough for a few sandboxes only.")
                    : Check.ok("disk", detail);
        } catch (IOException e) {
            return Check.fail(
                    "disk", "cannot read " + existing, "Set SANDGLASS_HOME to a directory on a disk that works.");
        }
    }

    private Check port() {
        String address = listen.getHostString() + ":" + listen.getPort();
        if (running) {
            return Check.ok("port", address + " (this server)");
        }
        if (listen.isUnresolved()) {
            return Check.fail("port", address + ": unknown host", "Set CP_LISTEN_ADDR to an address of this machine.");
        }
        try (ServerSocket socket = new ServerSocket()) {
            socket.setReuseAddress(true); // as the server does: connections of the last run may linger
            socket.bind(listen);
            return Check.ok("port", address + " free");
        } catch (IOException e) {
            String other = listen.getHostString() + ":" + (listen.getPort() + 1);
            return Check.fail(
                    "port",
                    address + " cannot be used: "
                            + String.valueOf(e.getMessage())
                                    .toLowerCase(Locale.ROOT)
                                    .replaceFirst(" \\(bind failed\\)", ""),
                    "End the program that uses it (ss -ltnp shows it), or choose another: CP_LISTEN_ADDR=" + other);
        }
    }

    // --- looking

    private static Optional<String> read(Path file) {
        try {
            return Optional.of(Files.readString(file, StandardCharsets.UTF_8));
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    private static Optional<String> field(String text, String name) {
        return text.lines()
                .filter(line -> line.startsWith(name))
                .findFirst()
                .map(line -> line.substring(name.length()).strip());
    }

    private static boolean opens(Path device) {
        try (FileChannel _ = FileChannel.open(device, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    private static boolean succeeds(String... argv) {
        ProcessBuilder builder = new ProcessBuilder(argv)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(ProcessBuilder.Redirect.DISCARD);
        builder.environment().merge("PATH", ":/usr/sbin:/sbin", String::concat);
        try {
            Process process = builder.start();
            boolean ended = process.waitFor(COMMAND_SECONDS, TimeUnit.SECONDS);
            if (!ended) {
                process.destroyForcibly();
            }
            return ended && process.exitValue() == 0;
        } catch (IOException e) {
            return false;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    static String bytes(long count) {
        return count < 10 * GIB && count >= GIB
                ? String.format(Locale.ROOT, "%.1f GiB", (double) count / GIB)
                : count >= GIB ? count / GIB + " GiB" : count / MIB + " MiB";
    }
}
