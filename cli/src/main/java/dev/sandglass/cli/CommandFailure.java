package dev.sandglass.cli;

/** Ends a command with one line on stderr and an exit code. */
final class CommandFailure extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** Sandglass's own failure in a command whose exit code is otherwise that of a command in a sandbox. */
    static final int OWN = 125;

    private final int exitCode;

    CommandFailure(String message) {
        this(1, message);
    }

    CommandFailure(int exitCode, String message) {
        super(message);
        this.exitCode = exitCode;
    }

    String reason() {
        return String.valueOf(getMessage());
    }

    int exitCode() {
        return exitCode;
    }
}
