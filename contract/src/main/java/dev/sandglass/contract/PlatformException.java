package dev.sandglass.contract;

import org.jspecify.annotations.Nullable;

/**
 * A failure whose class a caller can act on. The message is written for the person who made the request: it says what
 * was being done to what and what to change, and holds no host path and no text of its cause.
 */
public final class PlatformException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final ErrorCode code;

    public PlatformException(ErrorCode code, String message) {
        this(code, message, null);
    }

    public PlatformException(ErrorCode code, String message, @Nullable Throwable cause) {
        super(message, cause);
        this.code = code;
    }

    public ErrorCode code() {
        return code;
    }

    /** The message; unlike {@link #getMessage} never null. */
    public String reason() {
        return String.valueOf(getMessage());
    }
}
