package dev.sandglass.control.host;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.host.v1.HostAgentServiceGrpc;
import dev.sandglass.contract.host.v1.HostAgentServiceGrpc.HostAgentServiceBlockingV2Stub;
import io.grpc.Channel;
import io.grpc.StatusException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** Calls to one host's agent. Thread-safe; every failure is a PlatformException. */
public final class HostConnection {
    /** Two outputs of 8 MiB and what is around them. */
    private static final int MESSAGE_BYTES_MAX = 20 << 20;

    private final String hostId;
    private final HostAgentServiceBlockingV2Stub stub;

    HostConnection(String hostId, Channel authenticated) {
        this.hostId = hostId;
        this.stub = HostAgentServiceGrpc.newBlockingV2Stub(authenticated).withMaxInboundMessageSize(MESSAGE_BYTES_MAX);
    }

    public String hostId() {
        return hostId;
    }

    /** One exchange with the agent. */
    @FunctionalInterface
    public interface Call<T> {
        T with(HostAgentServiceBlockingV2Stub agent) throws StatusException, InterruptedException;
    }

    /** A call that must be over within {@code limit}. */
    public <T> T call(Duration limit, Call<T> call) {
        return run(stub.withDeadlineAfter(limit.toNanos(), TimeUnit.NANOSECONDS), call);
    }

    /** A stream without an end set beforehand: whoever opens it cancels it. */
    public <T> T open(Call<T> call) {
        return run(stub, call);
    }

    private static <T> T run(HostAgentServiceBlockingV2Stub agent, Call<T> call) {
        try {
            return call.with(agent);
        } catch (StatusException e) {
            throw AgentFailure.of(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "The server is stopping.", e);
        }
    }
}
