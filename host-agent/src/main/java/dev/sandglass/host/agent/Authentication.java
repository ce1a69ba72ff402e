package dev.sandglass.host.agent;

import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;

/** Lets calls through that present the installation's token and name this installation. */
final class Authentication implements ServerInterceptor {
    static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    static final Metadata.Key<String> INSTALLATION =
            Metadata.Key.of("sandglass-installation", Metadata.ASCII_STRING_MARSHALLER);

    private final byte[] expected;
    private final String installation;

    Authentication(String token, String installation) {
        this.expected = ("Bearer " + token).getBytes(StandardCharsets.UTF_8);
        this.installation = installation;
    }

    @Override
    public <Q, R> ServerCall.Listener<Q> interceptCall(
            ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
        String presented = headers.get(AUTHORIZATION);
        if (presented == null || !MessageDigest.isEqual(expected, presented.getBytes(StandardCharsets.UTF_8))) {
            return refuse(call, Status.UNAUTHENTICATED.withDescription("wrong or no agent token"));
        }
        if (!installation.equals(headers.get(INSTALLATION))) {
            return refuse(
                    call,
                    Status.FAILED_PRECONDITION.withDescription("this host belongs to installation " + installation));
        }
        String request = headers.get(RequestLog.REQUEST);
        ServerCall.Listener<Q> listener = next.startCall(call, headers);
        return request == null ? listener : new RequestLog<>(listener, request);
    }

    private static <Q, R> ServerCall.Listener<Q> refuse(ServerCall<Q, R> call, Status status) {
        call.close(status, new Metadata());
        return new ServerCall.Listener<>() {};
    }
}
