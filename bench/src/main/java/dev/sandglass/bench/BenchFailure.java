package dev.sandglass.bench;

/** The run cannot go on. The message is for the person who started it. */
final class BenchFailure extends RuntimeException {
    private static final long serialVersionUID = 1;

    BenchFailure(String message) {
        super(message);
    }

    String reason() {
        return String.valueOf(getMessage());
    }
}
