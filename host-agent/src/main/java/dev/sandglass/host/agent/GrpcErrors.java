package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.DeadlineExceeded;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.UncheckedIOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Failures as gRPC statuses, see host_agent.proto: the code, and the exact ErrorCode as trailer. */
final class GrpcErrors {
    private static final Logger log = LoggerFactory.getLogger(GrpcErrors.class);
    static final Metadata.Key<String> ERROR = Metadata.Key.of("sandglass-error", Metadata.ASCII_STRING_MARSHALLER);

    private GrpcErrors() {}

    /** Bugs and unexpected failures are logged here, once; their text does not leave the host. */
    static StatusRuntimeException toStatus(String operation, Throwable failure) {
        return switch (failure) {
            case StatusRuntimeException status -> status;
            case PlatformException platform -> {
                Metadata trailers = new Metadata();
                trailers.put(ERROR, platform.code().wireName());
                if (platform.code() == ErrorCode.INTERNAL_ERROR || platform.code() == ErrorCode.AGENT_ERROR) {
                    log.error("{} failed", operation, platform);
                }
                yield status(platform.code()).withDescription(platform.reason()).asRuntimeException(trailers);
            }
            case DeadlineExceeded late -> {
                log.warn("{} took too long", operation, late);
                Metadata trailers = new Metadata();
                trailers.put(ERROR, ErrorCode.AGENT_ERROR.wireName());
                yield Status.DEADLINE_EXCEEDED
                        .withDescription(operation + " took too long on its host.")
                        .asRuntimeException(trailers);
            }
            case UncheckedIOException full
            when isDiskFull(full) -> {
                log.error("{} failed", operation, full);
                yield toStatus(
                        operation,
                        new PlatformException(
                                ErrorCode.DISK_FULL,
                                "The disk of SANDGLASS_HOME is full: delete sandboxes or snapshots, or free space."));
            }
            default -> {
                log.error("{} failed", operation, failure);
                yield Status.INTERNAL
                        .withDescription(operation + " failed on its host; the host agent's log says why.")
                        .asRuntimeException();
            }
        };
    }

    /** Java tells ENOSPC by its text only. */
    private static boolean isDiskFull(UncheckedIOException failure) {
        return String.valueOf(failure.getCause()).contains("No space left");
    }

    private static Status status(ErrorCode code) {
        return switch (code) {
            case NOT_FOUND, PROVIDER_NOT_FOUND -> Status.NOT_FOUND;
            case INVALID_REQUEST, METHOD_NOT_ALLOWED, UNSUPPORTED_MEDIA_TYPE, TOO_LARGE -> Status.INVALID_ARGUMENT;
            case UNAUTHORIZED -> Status.UNAUTHENTICATED;
            case FORBIDDEN -> Status.PERMISSION_DENIED;
            case EMAIL_TAKEN, ALREADY_EXISTS, INVALID_STATE, CONFLICT, INCOMPATIBLE_SNAPSHOT ->
                Status.FAILED_PRECONDITION;
            case QUOTA_EXCEEDED, RATE_LIMITED, NO_CAPACITY, DISK_FULL -> Status.RESOURCE_EXHAUSTED;
            case HOST_UNAVAILABLE -> Status.UNAVAILABLE;
            case INTERNAL_ERROR, AGENT_ERROR -> Status.INTERNAL;
        };
    }
}
