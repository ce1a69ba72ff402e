package dev.sandglass.contract;

import java.util.Locale;

/**
 * Every error a caller of the public API can meet. The wire name is the constant in lower case; the status is the one
 * of the HTTP answer that carries it.
 */
public enum ErrorCode {
    INVALID_REQUEST(400),
    UNAUTHORIZED(401),
    FORBIDDEN(403),
    NOT_FOUND(404),
    PROVIDER_NOT_FOUND(404),
    METHOD_NOT_ALLOWED(405),
    EMAIL_TAKEN(409),
    ALREADY_EXISTS(409),
    INVALID_STATE(409),
    CONFLICT(409),
    INCOMPATIBLE_SNAPSHOT(409),
    TOO_LARGE(413),
    UNSUPPORTED_MEDIA_TYPE(415),
    QUOTA_EXCEEDED(429),
    RATE_LIMITED(429),
    INTERNAL_ERROR(500),
    AGENT_ERROR(502),
    HOST_UNAVAILABLE(503),
    NO_CAPACITY(503),
    DISK_FULL(507);

    private final int httpStatus;

    ErrorCode(int httpStatus) {
        this.httpStatus = httpStatus;
    }

    public int httpStatus() {
        return httpStatus;
    }

    /** As in {@code {"error":{"code":…}}}. */
    public String wireName() {
        return name().toLowerCase(Locale.ROOT);
    }
}
