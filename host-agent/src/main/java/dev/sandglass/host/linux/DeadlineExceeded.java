package dev.sandglass.host.linux;

/** Something was not done in time. */
public final class DeadlineExceeded extends RuntimeException {
    private static final long serialVersionUID = 1;

    public DeadlineExceeded(String what) {
        super("out of time: " + what);
    }
}
