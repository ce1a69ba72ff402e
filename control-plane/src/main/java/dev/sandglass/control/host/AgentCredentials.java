package dev.sandglass.control.host;

import dev.sandglass.contract.Installation;
import dev.sandglass.control.observe.RequestContext;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ClientInterceptors;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.slf4j.MDC;

/** The metadata by which the programs of one installation know each other: sent with every call, asked of every caller. */
record AgentCredentials(Installation installation) implements ClientInterceptor, ServerInterceptor {
    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private static final Metadata.Key<String> INSTALLATION =
            Metadata.Key.of("sandglass-installation", Metadata.ASCII_STRING_MARSHALLER);

    /** For the agent's log. */
    private static final Metadata.Key<String> REQUEST =
            Metadata.Key.of("sandglass-request", Metadata.ASCII_STRING_MARSHALLER);

    Channel on(Channel channel) {
        return ClientInterceptors.intercept(channel, this);
    }

    private String authorization() {
        return "Bearer " + installation.agentToken();
    }

    @Override
    public <A, B> ClientCall<A, B> interceptCall(MethodDescriptor<A, B> method, CallOptions options, Channel next) {
        return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
            @Override
            public void start(Listener<B> listener, Metadata headers) {
                headers.put(AUTHORIZATION, authorization());
                headers.put(INSTALLATION, installation.id());
                Optional.ofNullable(MDC.get(RequestContext.REQUEST)).ifPresent(id -> headers.put(REQUEST, id));
                super.start(listener, headers);
            }
        };
    }

    @Override
    public <A, B> ServerCall.Listener<A> interceptCall(
            ServerCall<A, B> call, Metadata headers, ServerCallHandler<A, B> next) {
        Status refusal = null;
        if (!same(authorization(), headers.get(AUTHORIZATION))) {
            refusal = Status.UNAUTHENTICATED.withDescription("the token is not that of this installation");
        } else if (!installation.id().equals(headers.get(INSTALLATION))) {
            refusal = Status.FAILED_PRECONDITION.withDescription("this is another installation");
        }
        if (refusal == null) {
            return next.startCall(call, headers);
        }
        call.close(refusal, new Metadata());
        return new ServerCall.Listener<>() {};
    }

    private static boolean same(String expected, @Nullable String sent) {
        return MessageDigest.isEqual(
                expected.getBytes(StandardCharsets.UTF_8),
                Optional.ofNullable(sent).orElse("").getBytes(StandardCharsets.UTF_8));
    }
}
