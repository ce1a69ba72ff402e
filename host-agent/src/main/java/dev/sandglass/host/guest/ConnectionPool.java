package dev.sandglass.host.guest;

import com.google.protobuf.ByteString;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.Deadline;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;

/** The connections to one guest: those in use, and a few authenticated ones that wait. Thread-safe. */
final class ConnectionPool implements AutoCloseable {
    /** Of 64 that a guest takes. */
    private static final int IDLE_MAX = 4;

    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(5);

    private final InetSocketAddress address;
    private final Deque<GuestConnection> idle = new ArrayDeque<>();
    private final Set<GuestConnection> lent = new HashSet<>();
    private ByteString token;
    private boolean closed;

    ConnectionPool(InetSocketAddress address, ByteString token) {
        this.address = address;
        this.token = token;
    }

    synchronized ByteString token() {
        return token;
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
        return open(token(), CONNECT_TIMEOUT, deadline);
    }

    GuestConnection open(ByteString presented, Duration connectTimeout, Deadline deadline) throws IOException {
        GuestConnection connection = GuestConnection.open(address, presented, connectTimeout, deadline);
        synchronized (this) {
            if (!closed) {
                lent.add(connection);
                return connection;
            }
        }
        connection.close();
        throw new PlatformException(ErrorCode.AGENT_ERROR, "The sandbox is not running any more.");
    }

    /** After an operation that ended in order. */
    void release(GuestConnection connection) {
        connection.rest();
        synchronized (this) {
            if (lent.remove(connection) && !closed && idle.size() < IDLE_MAX) {
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

    /** From now on the guest knows this token only, and no connection but that one. */
    void renewed(ByteString newToken, GuestConnection kept) {
        Set<GuestConnection> past;
        synchronized (this) {
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
        Set<GuestConnection> all;
        synchronized (this) {
            closed = true;
            all = new HashSet<>(lent);
            all.addAll(idle);
            lent.clear();
            idle.clear();
        }
        all.forEach(GuestConnection::close);
    }
}
