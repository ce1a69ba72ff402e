package dev.sandglass.cli.client;

/** The server refused, or could not be reached. The message is one sentence or two for the person who typed the command. */
public final class ApiFailure extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final int status;
    private final String code;

    ApiFailure(int status, String code, String message) {
        super(message);
        this.status = status;
        this.code = code;
    }

    /** HTTP status of the answer; 0 when there was none. */
    public int status() {
        return status;
    }

    /** As in the error envelope; {@code unreachable} when no server answered. */
    public String code() {
        return code;
    }

    public String reason() {
        return String.valueOf(getMessage());
    }
}
