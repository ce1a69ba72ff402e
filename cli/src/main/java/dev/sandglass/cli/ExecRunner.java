package dev.sandglass.cli;

import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.ExecSession;
import dev.sandglass.cli.terminal.SignalTrap;
import dev.sandglass.cli.terminal.Terminal;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import org.jspecify.annotations.Nullable;

/** Connects a command in a sandbox with this process's stdin, stdout, stderr, terminal and signals. */
record ExecRunner(Context context, Api api, Interrupts interrupts) {
    private static final int CHUNK = 32 * 1024;
    /** Exit status of a program whose reader is gone: 128 + SIGPIPE. */
    private static final int BROKEN_PIPE = 141;

    /** Runs it to its end and returns the exit status for the shell. */
    int run(String sandboxId, ExecSession.Command command, boolean passStdin) {
        ExecSession session = api.exec(sandboxId, command);
        interrupts.passTo(session);
        boolean terminal = command.pty().isPresent();
        try (Terminal.@Nullable Raw _ = terminal ? Terminal.raw() : null) {
            if (terminal) {
                SignalTrap.on("WINCH", () -> session.resize(Terminal.size()));
            }
            Thread.ofPlatform().daemon().name("stdin").start(() -> feed(session, passStdin));
            return session.run(new Streams(context.out(), context.err(), terminal))
                    .status();
        } catch (IOException e) {
            return BROKEN_PIPE;
        } finally {
            interrupts.passToNobody();
        }
    }

    private void feed(ExecSession session, boolean passStdin) {
        if (passStdin) {
            InputStream in = context.in();
            byte[] chunk = new byte[CHUNK];
            try {
                for (int n = in.read(chunk); n >= 0; n = in.read(chunk)) {
                    session.stdin(chunk, n);
                }
            } catch (IOException e) {
                // Like its end: there is nothing more to read.
            }
        }
        session.closeStdin();
    }

    private record Streams(PrintStream out, PrintStream err, boolean terminal) implements ExecSession.Output {
        @Override
        public void stdout(byte[] bytes) throws IOException {
            write(out, bytes);
        }

        @Override
        public void stderr(byte[] bytes) throws IOException {
            write(err, bytes);
        }

        private static void write(PrintStream stream, byte[] bytes) throws IOException {
            stream.write(bytes);
            if (stream.checkError()) { // flushes
                throw new IOException("nobody reads the output");
            }
        }

        @Override
        public void connectionLost(boolean lost) {
            if (terminal && lost) {
                err.print("\r\n[connection lost; attaching again …]\r\n");
                err.flush();
            }
        }
    }
}
