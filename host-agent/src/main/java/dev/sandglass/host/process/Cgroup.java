package dev.sandglass.host.process;

import java.nio.file.Path;
import java.util.List;

/**
 * A control group that exists.
 *
 * @param procsFiles a process joins by writing its number, or 0 for itself, into each
 */
public record Cgroup(String name, List<Path> procsFiles) {
    public Cgroup {
        procsFiles = List.copyOf(procsFiles);
    }
}
