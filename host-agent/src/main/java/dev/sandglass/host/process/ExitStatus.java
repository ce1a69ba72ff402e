package dev.sandglass.host.process;

/** How a process ended. */
public sealed interface ExitStatus {
    record Exited(int code) implements ExitStatus {
        @Override
        public String toString() {
            return "exit code " + code;
        }
    }

    record Signalled(int signal) implements ExitStatus {
        @Override
        public String toString() {
            return "signal " + signal;
        }
    }

    /** It is gone, and nobody was there to see how: the host was reset, or its supervisor killed with it. */
    record Unknown() implements ExitStatus {
        @Override
        public String toString() {
            return "unknown end";
        }
    }
}
