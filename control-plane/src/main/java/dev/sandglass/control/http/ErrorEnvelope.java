package dev.sandglass.control.http;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import java.util.Map;

/** {@code {"error":{"code":…,"message":…}}}, the body of every answer that is an error. */
public record ErrorEnvelope(Content error) {
    /** Code as in {@link ErrorCode#wireName}. */
    public record Content(String code, String message) {}

    private static final String UNEXPECTED =
            "Something went wrong here; the X-Request-Id finds it in the server's log.";

    static PlatformException unexpected() {
        return new PlatformException(ErrorCode.INTERNAL_ERROR, UNEXPECTED);
    }

    /** 503: what is asked for may well be done in a few seconds. */
    static Reply databaseUnavailable() {
        return reply(
                new PlatformException(
                        ErrorCode.HOST_UNAVAILABLE,
                        "The server's database does not answer: try again in a few seconds."),
                Map.of("Retry-After", "2"));
    }

    public static ErrorEnvelope of(ErrorCode code, String message) {
        return new ErrorEnvelope(new Content(code.wireName(), message));
    }

    static Reply reply(PlatformException failure, Map<String, String> headers) {
        return new Reply.Json(failure.code().httpStatus(), of(failure.code(), failure.reason()), headers);
    }

    /** What the server itself came to, before any route was asked or while a body was read. */
    static PlatformException ofStatus(int status) {
        return new PlatformException(codeOf(status), messageOf(status));
    }

    private static ErrorCode codeOf(int status) {
        return switch (status) {
            case 401 -> ErrorCode.UNAUTHORIZED;
            case 403 -> ErrorCode.FORBIDDEN;
            case 404 -> ErrorCode.NOT_FOUND;
            case 405 -> ErrorCode.METHOD_NOT_ALLOWED;
            case 413, 414, 431 -> ErrorCode.TOO_LARGE;
            case 415 -> ErrorCode.UNSUPPORTED_MEDIA_TYPE;
            case 503 -> ErrorCode.HOST_UNAVAILABLE;
            case 501, 505 -> ErrorCode.INVALID_REQUEST; // a coding or a version of HTTP that nobody needs
            default -> status < 500 ? ErrorCode.INVALID_REQUEST : ErrorCode.INTERNAL_ERROR;
        };
    }

    /** What a person should know about such a status. */
    private static String messageOf(int status) {
        return switch (status) {
            case 408 -> "The request did not arrive in time.";
            case 413 -> "The request is too large.";
            case 414 -> "The address is too long.";
            case 431 -> "The headers are too large.";
            case 501, 505 -> "This part of HTTP is not spoken here: send HTTP/1.1, with the body as it is or chunked.";
            case 503 -> "The server is stopping: try again in a few seconds.";
            default -> status < 500 ? "The request is not valid HTTP." : UNEXPECTED;
        };
    }
}
