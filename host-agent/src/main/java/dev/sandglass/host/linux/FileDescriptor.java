package dev.sandglass.host.linux;

import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;

/** An open file of this process, closed on exec. Closed by whoever got it; closing twice is harmless. Thread-safe. */
public final class FileDescriptor implements AutoCloseable {
    private final int number;
    private final String subject;
    private final AtomicBoolean closed = new AtomicBoolean();

    FileDescriptor(int number, String subject) {
        this.number = number;
        this.subject = subject;
    }

    /** Throws {@link IllegalStateException} once closed, since the number may be another file by then. */
    public int number() {
        if (closed.get()) {
            throw new IllegalStateException(subject + " is closed");
        }
        return number;
    }

    /** {@code /proc/PID/fd/N}: what a child, or Java's own file classes, may open while this is open. */
    public Path path() {
        return Path.of("/proc", Integer.toString(Linux.getpid()), "fd", Integer.toString(number()));
    }

    @Override
    public void close() {
        if (closed.compareAndSet(false, true)) {
            Linux.close(number, subject);
        }
    }

    @Override
    public String toString() {
        return subject + " (fd " + number + ")";
    }
}
