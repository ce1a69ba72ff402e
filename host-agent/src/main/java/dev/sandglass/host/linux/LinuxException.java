package dev.sandglass.host.linux;

/** A system call failed. */
public final class LinuxException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final String call;
    private final int errno;
    private final String subject;

    LinuxException(String call, int errno, String subject) {
        super(call + " " + subject + ": " + Errno.text(errno));
        this.call = call;
        this.errno = errno;
        this.subject = subject;
    }

    /** The system call's name, as in its manual page. */
    public String call() {
        return call;
    }

    /** As in {@link Errno}. */
    public int errno() {
        return errno;
    }

    /** What it was called on. */
    public String subject() {
        return subject;
    }
}
