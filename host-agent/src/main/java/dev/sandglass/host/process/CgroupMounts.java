package dev.sandglass.host.process;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** Where the controllers we use are mounted, from {@code /proc/self/mountinfo}. */
final class CgroupMounts {
    static final List<String> CONTROLLERS = List.of("memory", "cpu", "pids");

    /** One mounted hierarchy and those of our controllers that are attached to it. */
    record Hierarchy(Path mount, boolean unified, List<String> controllers) {}

    private CgroupMounts() {}

    /**
     * Every v1 hierarchy with one of our controllers; the v2 hierarchy if it has some of the rest, or if there is
     * nothing else.
     */
    static List<Hierarchy> parse(List<String> mountInfo) throws IOException {
        List<Hierarchy> found = new ArrayList<>();
        Set<String> rest = new LinkedHashSet<>(CONTROLLERS);
        Set<Path> unified = new LinkedHashSet<>();
        for (String line : mountInfo) {
            // "36 35 0:30 / MOUNTPOINT rw,relatime shared:1 - cgroup cgroup rw,memory"; see proc(5).
            String[] halves = line.split(" - ", 2);
            String[] left = halves[0].split(" ", -1);
            String[] right = halves.length == 2 ? halves[1].split(" ", -1) : new String[0];
            if (left.length < 6 || right.length < 3) {
                continue;
            }
            Path mount = Path.of(unescaped(left[4]));
            if (right[0].equals("cgroup2")) {
                unified.add(mount);
            } else if (right[0].equals("cgroup")) {
                List<String> attached = Arrays.stream(right[2].split(",", -1))
                        .filter(rest::contains)
                        .toList();
                if (!attached.isEmpty()) {
                    rest.removeAll(attached);
                    found.add(new Hierarchy(mount, false, attached));
                }
            }
        }
        for (Path mount : unified.stream().limit(1).toList()) {
            List<String> available =
                    available(mount).stream().filter(rest::contains).toList();
            if (!available.isEmpty() || found.isEmpty()) {
                found.add(new Hierarchy(mount, true, available));
            }
        }
        return found;
    }

    private static List<String> available(Path mount) throws IOException {
        return Arrays.asList(
                Files.readString(mount.resolve("cgroup.controllers")).strip().split(" ", -1));
    }

    /** The kernel writes space, tab, newline and backslash as octal. */
    private static String unescaped(String field) {
        return field.replace("\\040", " ")
                .replace("\\011", "\t")
                .replace("\\012", "\n")
                .replace("\\134", "\\");
    }
}
