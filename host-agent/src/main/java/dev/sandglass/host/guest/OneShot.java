package dev.sandglass.host.guest;

import com.google.protobuf.ByteString;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.guest.v1.ExecExited;
import dev.sandglass.contract.guest.v1.StartExec;
import dev.sandglass.contract.guest.v1.Stream;
import dev.sandglass.host.linux.Deadline;
import java.time.Duration;
import java.util.Optional;

/** One command from start to end, its output collected. */
final class OneShot {
    private static final int SIGKILL = 9;

    /** Fits into the guest's window, so that it can be sent without listening meanwhile. */
    private static final int STDIN_AT_ONCE_BYTES = 128 << 10;

    private final GuestClient guest;
    private final int keepBytes;
    private final Deadline deadline;
    private ByteString stdout = ByteString.EMPTY;
    private ByteString stderr = ByteString.EMPTY;
    private boolean truncated;

    OneShot(GuestClient guest, int keepBytes, Deadline deadline) {
        this.guest = guest;
        this.keepBytes = keepBytes;
        this.deadline = deadline;
    }

    ExecResult run(StartExec start, byte[] stdin) {
        long began = System.nanoTime();
        StartExec request = start.toBuilder().setStdinOpen(stdin.length > 0).build();
        try (ExecStream stream = guest.startExec(request, deadline)) {
            feed(stream, stdin);
            ExecExited exited = collect(stream);
            return new ExecResult(stdout, stderr, truncated, exited, Duration.ofNanos(System.nanoTime() - began));
        }
    }

    private static void feed(ExecStream stream, byte[] stdin) {
        if (stdin.length == 0) {
            return;
        }
        Runnable writing = () -> {
            stream.stdin(stdin);
            stream.closeStdin();
        };
        if (stdin.length <= STDIN_AT_ONCE_BYTES) {
            writing.run();
        } else {
            // Ends with the stream at the latest.
            Thread.ofVirtual().name("stdin-" + stream.execId()).start(writing);
        }
    }

    private ExecExited collect(ExecStream stream) {
        for (; ; ) {
            Optional<ExecStream.Event> event = stream.next(deadline);
            if (event.isEmpty()) {
                stream.signal(SIGKILL);
                throw new PlatformException(ErrorCode.AGENT_ERROR, "The command did not end in time and was killed.");
            }
            switch (event.get()) {
                case ExecStream.Event.Output output -> keep(output);
                case ExecStream.Event.Exited exited -> {
                    return exited.status();
                }
                case ExecStream.Event.TakenOver _ ->
                    throw new PlatformException(ErrorCode.CONFLICT, "Somebody else attached to the command.");
            }
        }
    }

    private void keep(ExecStream.Event.Output output) {
        if (output.stream() == Stream.STDERR) {
            stderr = append(stderr, output.data());
        } else {
            stdout = append(stdout, output.data());
        }
    }

    private ByteString append(ByteString kept, ByteString more) {
        int room = keepBytes - kept.size();
        if (more.size() > room) {
            truncated = true;
        }
        return room > 0 ? kept.concat(more.substring(0, Math.min(room, more.size()))) : kept;
    }
}
