package dev.sandglass.cli.terminal;

import dev.sandglass.cli.client.ExecSession.Size;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** The terminal behind a standard descriptor, if there is one. */
public final class Terminal {
    private static final Size FALLBACK = new Size(80, 24);

    private Terminal() {}

    /** Whether descriptor 0, 1 or 2 is a terminal. */
    public static boolean isTerminal(int descriptor) {
        try {
            String target = Files.readSymbolicLink(Path.of("/proc/self/fd/" + descriptor))
                    .toString();
            return target.startsWith("/dev/pts/") || target.startsWith("/dev/tty") || target.equals("/dev/console");
        } catch (IOException e) {
            return false;
        }
    }

    public static Size size() {
        String[] words = stty("size").orElse("").strip().split(" ", -1);
        try {
            Size size = words.length == 2 ? new Size(Integer.parseInt(words[1]), Integer.parseInt(words[0])) : FALLBACK;
            return size.columns() > 0 && size.rows() > 0 ? size : FALLBACK;
        } catch (NumberFormatException e) {
            return FALLBACK;
        }
    }

    /** Every key goes through as it is until {@link Raw#close}, which also happens when the JVM exits. */
    public static Raw raw() {
        String before = stty("-g").orElse("sane").strip();
        stty("raw", "-echo");
        return new Raw(before);
    }

    /** A terminal in raw mode. */
    public static final class Raw implements AutoCloseable {
        private final String before;
        private final Thread hook = new Thread(this::restore, "restore-terminal");
        private boolean restored;

        private Raw(String before) {
            this.before = before;
            Runtime.getRuntime().addShutdownHook(hook);
        }

        private synchronized void restore() {
            if (!restored) {
                restored = true;
                stty(before);
            }
        }

        @Override
        public void close() {
            restore();
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
            } catch (IllegalStateException e) {
                // The JVM is exiting: the hook has run or finds nothing left to do.
            }
        }
    }

    private static Optional<String> stty(String... arguments) {
        String[] argv = new String[arguments.length + 1];
        argv[0] = "stty";
        System.arraycopy(arguments, 0, argv, 1, arguments.length);
        try {
            Process process = new ProcessBuilder(argv)
                    .redirectInput(ProcessBuilder.Redirect.INHERIT)
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            return process.waitFor() == 0 ? Optional.of(output) : Optional.empty();
        } catch (IOException e) {
            return Optional.empty();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return Optional.empty();
        }
    }
}
