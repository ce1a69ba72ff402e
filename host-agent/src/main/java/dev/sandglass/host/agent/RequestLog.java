package dev.sandglass.host.agent;

import io.grpc.ForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import org.slf4j.MDC;

/** Log lines of a call carry the id of the request to the API that it is made for. */
final class RequestLog<Q> extends ForwardingServerCallListener.SimpleForwardingServerCallListener<Q> {
    static final Metadata.Key<String> REQUEST = Metadata.Key.of("sandglass-request", Metadata.ASCII_STRING_MARSHALLER);

    private static final String FIELD = "request";

    private final String request;

    RequestLog(ServerCall.Listener<Q> listener, String request) {
        super(listener);
        this.request = request;
    }

    private void within(Runnable work) {
        try (var _ = MDC.putCloseable(FIELD, request)) {
            work.run();
        }
    }

    @Override
    public void onMessage(Q message) {
        within(() -> super.onMessage(message));
    }

    @Override
    public void onHalfClose() {
        within(super::onHalfClose);
    }

    @Override
    public void onCancel() {
        within(super::onCancel);
    }

    @Override
    public void onComplete() {
        within(super::onComplete);
    }

    @Override
    public void onReady() {
        within(super::onReady);
    }
}
