package dev.sandglass.host.agent;

import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;

/**
 * Sends a stream of responses no faster than the caller reads, so that a slow reader slows down what produces for it
 * instead of filling memory. One thread sends; gRPC's own threads tell readiness and cancellation.
 */
final class FlowControlledSender<T> {
    private static final long RECHECK_MILLIS = 1000;

    private final ServerCallStreamObserver<T> responses;
    private final Runnable onCancel;

    /** Must be made inside the service method, before it returns. {@code onCancel}: the caller is gone. */
    FlowControlledSender(ServerCallStreamObserver<T> responses, Runnable onCancel) {
        this.responses = responses;
        this.onCancel = onCancel;
        responses.setOnReadyHandler(this::wake);
        responses.setOnCancelHandler(this::cancelled);
    }

    private synchronized void wake() {
        notifyAll();
    }

    private void cancelled() {
        wake();
        onCancel.run();
    }

    /**
     * Blocks until the caller can take one more.
     *
     * @throws io.grpc.StatusRuntimeException CANCELLED when the caller is gone
     */
    synchronized void send(T response) throws InterruptedException {
        while (!responses.isReady()) {
            if (responses.isCancelled()) {
                throw Status.CANCELLED.asRuntimeException();
            }
            wait(RECHECK_MILLIS);
        }
        responses.onNext(response);
    }

    void complete() {
        if (!responses.isCancelled()) {
            responses.onCompleted();
        }
    }

    void fail(String operation, Throwable failure) {
        if (!responses.isCancelled()) {
            responses.onError(GrpcErrors.toStatus(operation, failure));
        }
    }
}
