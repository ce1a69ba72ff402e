package dev.sandglass.host.process;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * What to start.
 *
 * @param name for messages and thread names
 * @param directory exists and belongs to this process alone; gets the files pid, exit and stderr
 * @param argv run as root in {@code /} with an almost empty environment. Whatever it goes through (ip netns exec,
 *     unshare, setpriv) has to exec in place: the first process is the one whose identity and end are reported
 * @param cgroup where it and its supervisor live
 */
public record LaunchPlan(String name, Path directory, List<String> argv, Optional<Cgroup> cgroup) {
    public LaunchPlan {
        argv = List.copyOf(argv);
        if (argv.isEmpty()) {
            throw new IllegalArgumentException(name + ": nothing to run");
        }
        if (!directory.isAbsolute()) {
            throw new IllegalArgumentException(name + ": directory must be absolute: " + directory);
        }
    }
}
