package dev.sandglass.host.guest;

import com.google.protobuf.ByteString;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.guest.v1.Request;
import dev.sandglass.host.linux.Deadline;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** The connections to one guest: those in use, and a few authenticated ones that wait. Thread-safe. */
final class ConnectionPool implements AutoCloseable {
    /** Of 64 that a guest takes. */
    private static final int IDLE_MAX = 4;

    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(5);

    private final InetSocketAddress address;
    private final Deque<GuestConnection> idle = new ArrayDeque<>();
    private final Set<GuestConnection> lent = new HashSet<>();
    private ByteString token;
    private volatile int protocol;
    /** Why no connection is given any more; null while they are. */
    private @Nullable Reason closed;

    private record Reason(ErrorCode code, String message) {}

    ConnectionPool(InetSocketAddress address, ByteString token) {
        this.address = address;
        this.token = token;
    }

    synchronized ByteString token() {
        return token;
    }

    /** Agreed upon with the last connection; 0: there was none. */
    int protocol() {
        return protocol;
    }

    InetSocketAddress address() {
        return address;
    }

    /** One that waited, if there is one that lives. */
    Optional<GuestConnection> findIdle() {
        for (; ; ) {
            GuestConnection connection;
            synchronized (this) {
                connection = idle.pollLast();
                if (connection == null) {
                    return Optional.empty();
                }
                lent.add(connection);
            }
            if (connection.isIdle()) {
                return Optional.of(connection);
            }
            discard(connection);
        }
    }

    GuestConnection open(Deadline deadline) throws IOException {
        return open(token(), CONNECT_TIMEOUT, deadline, Optional.empty());
    }

    /** {@code ahead}: {@link GuestConnection#open}. */
    GuestConnection open(
            ByteString presented, Duration connectTimeout, Deadline deadline, Optional<Supplier<Request>> ahead)
            throws IOException {
        requireOpen();
        GuestConnection connection = GuestConnection.open(address, presented, connectTimeout, deadline, ahead);
        protocol = connection.welcome().getProtocol();
        try {
            lend(connection);
        } catch (PlatformException closedMeanwhile) {
            connection.close();
            throw closedMeanwhile;
        }
        return connection;
    }

    private synchronized void lend(GuestConnection connection) {
        requireOpen();
        lent.add(connection);
    }

    private synchronized void requireOpen() {
        if (closed != null) {
            throw new PlatformException(closed.code, closed.message);
        }
    }

    /** How a connection that broke looks to the rest of the host: with the reason, where we closed it ourselves. */
    synchronized PlatformException failureOf(IOException broken) {
        return closed == null ? GuestFailures.of(broken) : new PlatformException(closed.code, closed.message, broken);
    }

    /** After an operation that ended in order. */
    void release(GuestConnection connection) {
        connection.rest();
        synchronized (this) {
            if (lent.remove(connection) && closed == null && idle.size() < IDLE_MAX) {
                idle.addLast(connection);
                return;
            }
        }
        connection.close();
    }

    /** After one that did not. */
    void discard(GuestConnection connection) {
        synchronized (this) {
            lent.remove(connection);
        }
        connection.close();
    }

    /** From now on the guest knows this token only, and no connection but that one; unless it kept them all. */
    void renewed(ByteString newToken, GuestConnection kept, boolean keepOthers) {
        Set<GuestConnection> past;
        synchronized (this) {
            if (keepOthers && newToken.equals(token)) {
                return;
            }
            token = newToken;
            past = new HashSet<>(lent);
            past.remove(kept);
            past.addAll(idle);
            idle.clear();
            lent.removeAll(past);
        }
        past.forEach(GuestConnection::close);
    }

    @Override
    public void close() {
        close(ErrorCode.AGENT_ERROR, "The sandbox is not running any more.");
    }

    /** Whoever uses a connection or asks for one is told the reason; the first one given counts. */
    void close(ErrorCode code, String message) {
        Set<GuestConnection> all;
        synchronized (this) {
            if (closed == null) {
                closed = new Reason(code, message);
            }
            all = new HashSet<>(lent);
            all.addAll(idle);
            lent.clear();
            idle.clear();
        }
        all.forEach(GuestConnection::close);
    }
}
