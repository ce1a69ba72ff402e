package dev.sandglass.control.host;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusException;
import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** What an agent's status means to a caller of the API. */
public final class AgentFailure {
    static final Metadata.Key<String> ERROR_CODE = Metadata.Key.of("sandglass-error", Metadata.ASCII_STRING_MARSHALLER);

    private static final int MESSAGE_LENGTH_MAX = 1000;

    /** What an agent only says by name when it has words for it. */
    private static final Set<ErrorCode> WORDED = Set.of(ErrorCode.AGENT_ERROR, ErrorCode.HOST_UNAVAILABLE);

    private AgentFailure() {}

    public static PlatformException of(StatusException failure) {
        return of(failure.getStatus(), failure.getTrailers(), failure);
    }

    static PlatformException of(Status status, @Nullable Metadata trailers, Throwable cause) {
        Optional<ErrorCode> named = Optional.ofNullable(trailers)
                .flatMap(metadata -> Optional.ofNullable(metadata.get(ERROR_CODE)))
                .flatMap(AgentFailure::codeNamed);
        ErrorCode code = named.orElse(codeOf(status.getCode()));
        String message =
                named.filter(WORDED::contains).map(_ -> worded(status, code)).orElse(message(status, code));
        return new PlatformException(code, message, cause);
    }

    private static ErrorCode codeOf(Status.Code status) {
        return switch (status) {
            case NOT_FOUND -> ErrorCode.NOT_FOUND;
            case INVALID_ARGUMENT -> ErrorCode.INVALID_REQUEST;
            case PERMISSION_DENIED -> ErrorCode.FORBIDDEN;
            case FAILED_PRECONDITION -> ErrorCode.CONFLICT;
            case ALREADY_EXISTS -> ErrorCode.ALREADY_EXISTS;
            case RESOURCE_EXHAUSTED -> ErrorCode.QUOTA_EXCEEDED;
            case UNAVAILABLE -> ErrorCode.HOST_UNAVAILABLE;
            default -> ErrorCode.AGENT_ERROR;
        };
    }

    private static Optional<ErrorCode> codeNamed(String name) {
        return Arrays.stream(ErrorCode.values())
                .filter(code -> code.wireName().equals(name.strip().toLowerCase(Locale.ROOT)))
                .filter(code -> code != ErrorCode.INTERNAL_ERROR && code != ErrorCode.UNAUTHORIZED) // ours to have
                .findFirst();
    }

    /** It is not a bug of the agent's: it says for callers what went wrong with a guest or a machine. */
    private static String worded(Status status, ErrorCode code) {
        return Optional.ofNullable(status.getDescription())
                .map(description -> cut(description.strip()))
                .filter(description -> !description.isEmpty())
                .orElseGet(() -> message(status, code));
    }

    private static String cut(String description) {
        return description.substring(0, Math.min(description.length(), MESSAGE_LENGTH_MAX));
    }

    /** The agent words what a caller can act on for callers; anything else stays in the log. */
    private static String message(Status status, ErrorCode code) {
        String description =
                Optional.ofNullable(status.getDescription()).orElse("").strip();
        return switch (code) {
            case HOST_UNAVAILABLE -> "The sandbox's host does not answer: try again in a few seconds.";
            case AGENT_ERROR, INTERNAL_ERROR ->
                status.getCode() == Status.Code.DEADLINE_EXCEEDED
                        ? "The sandbox's host did not finish in time."
                        : "The sandbox's host failed to do it; the X-Request-Id finds the reason in the server's log.";
            default -> description.isEmpty() ? "The sandbox's host refused it." : cut(description);
        };
    }
}
