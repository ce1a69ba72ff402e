package dev.sandglass.host.guest;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.guest.v1.Failure;
import dev.sandglass.contract.guest.v1.Reply;
import java.io.IOException;
import java.net.SocketTimeoutException;

/** How what goes wrong with a guest looks to the rest of the host. */
final class GuestFailures {
    private GuestFailures() {}

    static PlatformException of(Failure failure) {
        return new PlatformException(codeOf(failure), sentence(failure));
    }

    static PlatformException of(IOException failure) {
        String reason = failure instanceof SocketTimeoutException
                ? "The sandbox's agent did not answer in time."
                : "The connection to the sandbox's agent was lost.";
        return new PlatformException(ErrorCode.AGENT_ERROR, reason, failure);
    }

    /** For an operation that needs a directory, or what would be in it, and only looks. */
    static PlatformException unexpected(Reply reply, ErrorCode whereNoDirectoryIs) {
        return reply.getFailure().getCode() == Failure.Code.NOT_DIRECTORY
                ? new PlatformException(whereNoDirectoryIs, sentence(reply.getFailure()))
                : unexpected(reply);
    }

    /** For a reply that the protocol does not allow here. */
    static PlatformException unexpected(Reply reply) {
        if (reply.getKindCase() == Reply.KindCase.FAILURE) {
            return of(reply.getFailure());
        }
        return new PlatformException(
                ErrorCode.AGENT_ERROR, "The sandbox's agent answered with " + reply.getKindCase() + ".");
    }

    private static String sentence(Failure failure) {
        if (failure.getCode() == Failure.Code.FROZEN) {
            return "The sandbox is being paused, or a snapshot of it is taken; try again.";
        }
        return failure.getMessage().isEmpty() ? "The sandbox's agent refused the request." : failure.getMessage();
    }

    private static ErrorCode codeOf(Failure failure) {
        return switch (failure.getCode()) {
            case BAD_REQUEST, IS_DIRECTORY -> ErrorCode.INVALID_REQUEST;
            case NOT_FOUND -> ErrorCode.NOT_FOUND;
            case PERMISSION_DENIED -> ErrorCode.FORBIDDEN;
            case ALREADY_EXISTS -> ErrorCode.ALREADY_EXISTS;
            case NOT_DIRECTORY, NOT_EMPTY, FROZEN -> ErrorCode.CONFLICT;
            case DISK_FULL -> ErrorCode.DISK_FULL;
            case EXHAUSTED -> ErrorCode.QUOTA_EXCEEDED;
            case UNSUPPORTED -> ErrorCode.INCOMPATIBLE_SNAPSHOT;
            case UNAUTHENTICATED, INTERNAL, CODE_UNSPECIFIED, UNRECOGNIZED -> ErrorCode.AGENT_ERROR;
        };
    }
}
