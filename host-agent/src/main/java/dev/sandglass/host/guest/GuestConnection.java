package dev.sandglass.host.guest;

import com.google.protobuf.ByteString;
import dev.sandglass.contract.guest.v1.Failure;
import dev.sandglass.contract.guest.v1.Hello;
import dev.sandglass.contract.guest.v1.Reply;
import dev.sandglass.contract.guest.v1.Request;
import dev.sandglass.contract.guest.v1.Welcome;
import dev.sandglass.host.linux.Deadline;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.SocketTimeoutException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Supplier;

/**
 * One authenticated connection. Replies are received by one thread at a time; requests may be sent from any. Closing it
 * wakes whoever waits in it.
 */
final class GuestConnection implements AutoCloseable {
    static final int PROTOCOL_MIN = 1;
    private static final int PROTOCOL_MAX = 2;
    /** The first that keeps connections in a renewal that asks for it. */
    private static final int PROTOCOL_KEEPS_CONNECTIONS = 2;

    private final SocketChannel channel;
    private final OutputStream output;
    private final Frames.Reader replies;
    private final ReentrantLock sending = new ReentrantLock();
    private Welcome welcome = Welcome.getDefaultInstance();

    /** The guest does not accept us. */
    static final class HelloRefused extends IOException {
        private static final long serialVersionUID = 1;
        private final transient Failure failure;

        HelloRefused(Failure failure) {
            super(failure.getMessage());
            this.failure = failure;
        }

        Failure failure() {
            return failure;
        }
    }

    private GuestConnection(SocketChannel channel) throws IOException {
        this.channel = channel;
        InputStream input = channel.socket().getInputStream();
        this.output = channel.socket().getOutputStream();
        this.replies = new Frames.Reader(input);
    }

    /**
     * Connects and says Hello; {@code connectTimeout} bounds the first, the deadline both.
     *
     * @param ahead a first request, made when there is a connection and sent in one packet with Hello; its reply is to be
     *     received next
     */
    static GuestConnection open(
            InetSocketAddress address,
            ByteString token,
            Duration connectTimeout,
            Deadline deadline,
            Optional<Supplier<Request>> ahead)
            throws IOException {
        SocketChannel channel = SocketChannel.open();
        try {
            channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
            Duration timeout = deadline.orAfter(connectTimeout).remaining();
            channel.socket().connect(address, millis(timeout));
            GuestConnection connection = new GuestConnection(channel);
            connection.greet(token, deadline, ahead);
            return connection;
        } catch (IOException | RuntimeException failure) {
            channel.close();
            throw failure;
        }
    }

    private void greet(ByteString token, Deadline deadline, Optional<Supplier<Request>> ahead) throws IOException {
        Hello.Builder hello = Hello.newBuilder()
                .setProtocolMin(PROTOCOL_MIN)
                .setProtocolMax(protocolMax())
                .setToken(token);
        Request first = Request.newBuilder().setHello(hello).build();
        write(
                ahead.isEmpty()
                        ? Frames.encode(first)
                        : Frames.encode(first, ahead.get().get()));
        Reply reply = receive(deadline);
        welcome = switch (reply.getKindCase()) {
            case WELCOME -> reply.getWelcome();
            case FAILURE -> throw new HelloRefused(reply.getFailure());
            default -> throw new IOException("Hello was answered by " + reply.getKindCase());
        };
    }

    /** Set by tests only, for a host of the future. */
    static int protocolMax() {
        return Integer.getInteger("sandglass.guest-protocol-max", PROTOCOL_MAX);
    }

    /** Whether a renewal leaves others as they are when it is asked to. */
    boolean keepsOthers() {
        return welcome.getProtocol() >= PROTOCOL_KEEPS_CONNECTIONS;
    }

    Welcome welcome() {
        return welcome;
    }

    void send(Request... requests) throws IOException {
        write(Frames.encode(requests));
    }

    private void write(byte[] frames) throws IOException {
        sending.lock();
        try {
            output.write(frames);
        } finally {
            sending.unlock();
        }
    }

    /** Waits without limit. */
    Reply receive() throws IOException {
        channel.socket().setSoTimeout(0);
        return replies.next();
    }

    /** On {@link SocketTimeoutException} the connection stays usable: the reply is still to come. */
    Reply receive(Deadline deadline) throws IOException {
        if (deadline.expired()) {
            throw new SocketTimeoutException("the deadline has passed");
        }
        channel.socket().setSoTimeout(millis(deadline.remaining()));
        return replies.next();
    }

    /** Whether something has come, or has broken. */
    boolean hasNews() throws IOException {
        return !replies.isEmpty() || channel.socket().getInputStream().available() > 0;
    }

    /** Before it waits for its next use. */
    void rest() {
        replies.trim();
    }

    /** Of a connection that nobody uses: still there, and silent. Costs one system call or two. */
    boolean isIdle() {
        try {
            channel.configureBlocking(false);
            int n = channel.read(ByteBuffer.allocate(1));
            channel.configureBlocking(true);
            return n == 0 && replies.isEmpty();
        } catch (IOException broken) {
            return false;
        }
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException ignored) {
            // Closed is closed.
        }
    }

    private static int millis(Duration duration) {
        return Math.clamp(duration.plusNanos(999_999).toMillis(), 1, Integer.MAX_VALUE);
    }
}
