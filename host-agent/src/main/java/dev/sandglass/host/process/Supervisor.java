package dev.sandglass.host.process;

import dev.sandglass.host.linux.Command;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.DeadlineExceeded;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Starts a process under a shell that outlives us.
 *
 * <pre>
 * agent ── setsid sh (ends once the pid is recorded)
 *             └── supervisor: enters the cgroup, waits for the child, writes exit
 *                    └── child: writes pid, then execs argv
 * </pre>
 *
 * The launching shell reads a pipe that only the supervisor and the child hold, and both let go of it when the pid is
 * on disk: so a started process is always a recorded one.
 */
final class Supervisor {
    /** Every value arrives as a positional argument: directory, number of cgroup files, those files, argv. */
    private static final String SCRIPT = """
            umask 077
            ulimit -c 0
            cd /
            directory=$1 groups=$2
            shift 2
            # Builtins only: the shell itself opens the file, so "self" is the reading (sub)shell.
            identify() {
                read -r pid _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ start _ </proc/self/stat
            }
            supervise() {
                exec 3>&1 </dev/null >>"$directory/stderr" 2>&1
                while [ "$groups" -gt 0 ]; do
                    echo 0 >"$1" || exit 125
                    shift
                    groups=$((groups - 1))
                done
                identify || exit 125
                supervisor="$pid $start"
                (
                    identify || exit 125
                    echo "$pid $start $supervisor" >"$directory/pid.new" || exit 125
                    mv "$directory/pid.new" "$directory/pid" || exit 125
                    echo recorded >&3
                    exec 3>&-
                    exec "$@"
                ) &
                exec 3>&-
                wait "$!"
                echo "$?" >"$directory/exit.new" && mv "$directory/exit.new" "$directory/exit"
            }
            told=$(supervise "$@" &)
            [ "$told" = recorded ]
            """;

    /** The agent's own environment holds secrets and stays here. */
    private static final Map<String, String> ENVIRONMENT = Map.of(
            "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL", "C");

    private Supervisor() {}

    /** Returns when the process is recorded. */
    static void launch(LaunchPlan plan, Deadline deadline) {
        deadline.check("start " + plan.name());
        Command.of(argv(plan))
                .environment(ENVIRONMENT)
                .timeout(deadline.remaining())
                .run();
        if (deadline.expired()) {
            throw new DeadlineExceeded("start " + plan.name());
        }
    }

    private static List<String> argv(LaunchPlan plan) {
        List<Path> groups = plan.cgroup().map(Cgroup::procsFiles).orElse(List.of());
        List<String> argv = new ArrayList<>(List.of(
                "setsid", "sh", "-c", SCRIPT, "sandglass", plan.directory().toString(), "" + groups.size()));
        groups.forEach(file -> argv.add(file.toString()));
        argv.addAll(plan.argv());
        return argv;
    }
}
