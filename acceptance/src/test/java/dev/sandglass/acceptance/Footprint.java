package dev.sandglass.acceptance;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * Everything on this machine that belongs to one installation, by kind. Others work on this machine at the same time, so
 * things are told apart by the installation's home and by its host's id, which the names of kernel objects begin with.
 */
record Footprint(Map<String, Set<String>> things) {
    static final String PROCESSES = "processes";
    static final String NAMESPACES = "network namespaces";
    static final String LINKS = "network interfaces";
    static final String TABLES = "nft tables";
    static final String MOUNTS = "mounts";
    static final String CGROUPS = "control groups";
    static final String SLOTS = "slot claims";
    static final String SANDBOXES = "sandbox folders";
    static final String MACHINES = "machine folders";
    static final String SNAPSHOTS = "snapshot folders";
    static final String CONNECTIONS = "connections to guests";

    private static final Path SLOT_REGISTRY = Path.of("/run/sandglass/slots");

    /** Slots are made ahead, torn down and rested in the background: their number counts, not their names. */
    static final Set<String> POOLED = Set.of(NAMESPACES, LINKS, SLOTS);

    /** @param servers pids of the servers that run for it */
    static Footprint of(Path home, String id, Set<Integer> servers) {
        String prefix = "s" + id.substring(0, 8) + "-";
        Map<String, Set<String>> things = new TreeMap<>();
        things.put(PROCESSES, processes(home, id, servers));
        things.put(NAMESPACES, named(Path.of("/run/netns"), prefix));
        things.put(LINKS, named(Path.of("/proc/sys/net/ipv4/conf"), prefix));
        things.put(TABLES, tables(id));
        things.put(MOUNTS, mounts(home));
        things.put(CGROUPS, cgroups(id));
        things.put(SLOTS, slots(id));
        things.put(SANDBOXES, inside(home, "sandboxes"));
        things.put(MACHINES, inside(home, "machines"));
        things.put(SNAPSHOTS, inside(home, "snapshots"));
        things.put(CONNECTIONS, connections(home));
        return new Footprint(things);
    }

    Set<String> of(String kind) {
        return things.getOrDefault(kind, Set.of());
    }

    boolean isEmpty() {
        return things.values().stream().allMatch(Set::isEmpty);
    }

    /** What is there now and was not before; of pooled things only when there are more than before. */
    Footprint beyond(Footprint before) {
        Map<String, Set<String>> more = new TreeMap<>();
        things.forEach((kind, now) -> {
            Set<String> fresh = new TreeSet<>(now);
            fresh.removeAll(before.of(kind));
            if (POOLED.contains(kind) && now.size() <= before.of(kind).size()) {
                fresh.clear();
            }
            if (!fresh.isEmpty()) {
                more.put(kind, fresh);
            }
        });
        return new Footprint(more);
    }

    /** Without what rests for seconds before it goes, or is kept idle while a sandbox lives. */
    Footprint withoutPools() {
        Map<String, Set<String>> rest = new TreeMap<>(things);
        rest.keySet().removeAll(POOLED);
        rest.remove(CONNECTIONS);
        return new Footprint(rest);
    }

    @Override
    public String toString() {
        return things.entrySet().stream()
                .filter(entry -> !entry.getValue().isEmpty())
                .map(entry -> entry.getKey() + ":\n    " + String.join("\n    ", entry.getValue()))
                .collect(Collectors.joining("\n  ", "  ", ""));
    }

    /** A VM shows no path of its home, but its supervisor does. */
    static boolean belongs(Proc process, Path home) {
        return belongsItself(process, home) || (process.isQemu() && belongsItself(new Proc(process.parent()), home));
    }

    private static boolean belongsItself(Proc process, Path home) {
        String inside = home + "/";
        return process.cmdline().stream().anyMatch(word -> word.contains(inside))
                || process.link("exe").startsWith(inside)
                || process.link("cwd").startsWith(inside)
                || process.environment().contains("SANDGLASS_HOME=" + home);
    }

    private static Set<String> processes(Path home, String id, Set<Integer> servers) {
        // A server's helpers (ip, nft, sh) come and go; what stays is seen again at the next look.
        return processesOf(home, id).stream()
                .map(process -> shown(process, home, servers))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    /** The same before and after a restart, for what restarts. */
    private static String shown(Proc process, Path home, Set<Integer> servers) {
        if (servers.contains(process.pid())) {
            return "a server";
        }
        boolean programOfHome = process.link("exe").startsWith(home + "/");
        return programOfHome && isBelow(process, servers) ? "its database" : process.shown();
    }

    private static boolean isBelow(Proc process, Set<Integer> ancestors) {
        for (int pid = process.parent(); pid > 1; pid = new Proc(pid).parent()) {
            if (ancestors.contains(pid)) {
                return true;
            }
        }
        return false;
    }

    static List<Proc> processesOf(Path home, String id) {
        Set<String> grouped = new TreeSet<>();
        for (Path directory : cgroupDirectories(id)) {
            try {
                grouped.addAll(Files.readAllLines(directory.resolve("cgroup.procs")));
            } catch (IOException e) {
                // Removed meanwhile.
            }
        }
        return Proc.all().stream()
                .filter(process -> belongs(process, home) || grouped.contains(Integer.toString(process.pid())))
                .filter(Proc::alive)
                .toList();
    }

    static Set<String> named(Path directory, String prefix) {
        Set<String> names = new TreeSet<>();
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(directory)) {
            entries.forEach(entry -> names.add(String.valueOf(entry.getFileName())));
        } catch (NoSuchFileException e) {
            return Set.of();
        } catch (IOException e) {
            throw new UncheckedIOException("list " + directory, e);
        }
        names.removeIf(name -> !name.startsWith(prefix));
        return names;
    }

    private static Set<String> inside(Path home, String folder) {
        return named(home.resolve(folder), "").stream()
                .map(name -> folder + "/" + name)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    /** Ids of the sandboxes that the host has. */
    Set<String> sandboxes() {
        return of(SANDBOXES).stream()
                .map(folder -> folder.substring("sandboxes/".length()))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private static Set<String> tables(String id) {
        return Shell.of("nft", "list", "tables")
                .run()
                .require()
                .lines()
                .filter(line -> line.contains(id.substring(0, 8)))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private static Set<String> mounts(Path home) {
        try {
            return Files.readAllLines(Path.of("/proc/self/mounts")).stream()
                    .filter(line -> line.contains(" " + home + "/"))
                    .collect(Collectors.toCollection(TreeSet::new));
        } catch (IOException e) {
            throw new UncheckedIOException("list mounts", e);
        }
    }

    /** The groups of machines and templates, in every hierarchy of v1 and in v2. */
    static Set<Path> cgroupDirectories(String id) {
        Set<Path> found = new TreeSet<>();
        Set<Path> mounts = new TreeSet<>();
        mounts.add(Path.of("/sys/fs/cgroup"));
        named(Path.of("/sys/fs/cgroup"), "").stream()
                .map(Path.of("/sys/fs/cgroup")::resolve)
                .filter(Files::isDirectory)
                .forEach(mounts::add);
        for (Path mount : mounts) {
            for (String parent : named(mount, "sandglass-" + id)) {
                for (String child : named(mount.resolve(parent), "")) {
                    Path group = mount.resolve(parent).resolve(child);
                    if (Files.isDirectory(group)) {
                        found.add(group);
                    }
                }
            }
        }
        return found;
    }

    private static Set<String> cgroups(String id) {
        return cgroupDirectories(id).stream().map(Path::toString).collect(Collectors.toCollection(TreeSet::new));
    }

    private static Set<String> slots(String id) {
        Set<String> claims = new TreeSet<>();
        for (String name : named(SLOT_REGISTRY, "")) {
            try {
                if (name.contains(id)
                        || Files.readString(SLOT_REGISTRY.resolve(name)).contains(id)) {
                    claims.add(name);
                }
            } catch (IOException e) {
                // Given up meanwhile.
            }
        }
        return claims;
    }

    /** Of the server to guest agents: it keeps some while a sandbox lives. */
    private static Set<String> connections(Path home) {
        Set<String> inodes = new TreeSet<>();
        for (Proc process : Proc.all()) {
            if (process.environment().contains("SANDGLASS_HOME=" + home)) {
                for (String fd : descriptors(process)) {
                    String target = process.link("fd/" + fd);
                    if (target.startsWith("socket:[")) {
                        inodes.add(target.substring("socket:[".length(), target.length() - 1));
                    }
                }
            }
        }
        Set<String> open = new TreeSet<>();
        for (String table : new String[] {"tcp", "tcp6"}) {
            for (String line : new Proc((int) ProcessHandle.current().pid())
                    .read("net/" + table)
                    .lines()
                    .toList()) {
                String[] fields = line.strip().split("\\s+", -1);
                // 49983, the guest agent's port, as the remote one
                if (fields.length > 9 && fields[2].endsWith(":C33F") && inodes.contains(fields[9])) {
                    open.add(fields[1] + " to " + fields[2] + " in state " + fields[3]);
                }
            }
        }
        return open;
    }

    private static Set<String> descriptors(Proc process) {
        try {
            return named(process.path("fd"), "");
        } catch (UncheckedIOException e) {
            return Set.of();
        }
    }
}
