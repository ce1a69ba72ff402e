package dev.sandglass.host.linux;

import java.time.Duration;
import java.util.List;

/** A command could not be started, ended with a status other than 0, took too long or said too much. */
public final class CommandFailed extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** {@link #exit} of a command that could not be started, as a shell says it. */
    public static final int NOT_STARTED = 127;

    /** {@link #exit} of a command that we ended ourselves. */
    public static final int KILLED = -1;

    private final List<String> argv;
    private final int exit;
    private final String stderr;
    private final Duration elapsed;

    CommandFailed(List<String> argv, int exit, String stderr, Duration elapsed) {
        super(String.join(" ", argv) + ": exit " + exit + " after " + elapsed.toMillis() + " ms: " + stderr.strip());
        this.argv = List.copyOf(argv);
        this.exit = exit;
        this.stderr = stderr;
        this.elapsed = elapsed;
    }

    public List<String> argv() {
        return argv;
    }

    public int exit() {
        return exit;
    }

    /** The last of what it wrote to stderr, or why it did not run to its end. */
    public String stderr() {
        return stderr;
    }

    public Duration elapsed() {
        return elapsed;
    }
}
