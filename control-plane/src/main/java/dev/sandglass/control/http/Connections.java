package dev.sandglass.control.http;

import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.eclipse.jetty.io.Connection;
import org.eclipse.jetty.io.EndPoint;
import org.eclipse.jetty.server.ConnectionMetaData;
import org.eclipse.jetty.server.Request;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The connections there are: closes those whose next request does not arrive whole in time, though it trickles, and those
 * beyond what one address may have. A thread of its own looks at them.
 *
 * <p>The server knows of a request when its headers are complete. So headers are on their way while bytes have come in
 * since the last request ended and no request is under way.
 */
final class Connections implements Connection.Listener, AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Connections.class);

    private final Duration arrivalTimeout;
    private final int perAddress;
    private final TrustedProxies proxies;
    private final ConcurrentHashMap<Connection, Progress> open = new ConcurrentHashMap<>();
    private final ConcurrentHashMap<String, Integer> counts = new ConcurrentHashMap<>();
    private final ScheduledExecutorService watch = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("http-arrivals").factory());

    /** A connection, and how far its next request is. */
    private static final class Progress {
        private final String network; // whom it counts for; empty: nobody
        private boolean underWay; // guarded by this
        private long bytesBefore; // guarded by this
        private long beganNanos; // guarded by this; 0: nothing has come

        Progress(String network) {
            this.network = network;
        }

        synchronized void begin() {
            underWay = true;
            beganNanos = 0;
        }

        synchronized void end(long bytesIn) {
            underWay = false;
            bytesBefore = bytesIn;
            beganNanos = 0;
        }

        synchronized boolean isLate(long bytesIn, long nowNanos, long limitNanos) {
            if (underWay || bytesIn == bytesBefore) {
                return false;
            }
            if (beganNanos == 0) {
                beganNanos = nowNanos;
            }
            return nowNanos - beganNanos > limitNanos;
        }
    }

    Connections(HttpSettings settings) {
        this.arrivalTimeout = settings.arrivalTimeout();
        this.perAddress = settings.connectionsPerAddress();
        this.proxies = settings.proxies();
        long period = Math.min(1000, arrivalTimeout.toMillis() / 4);
        var _ = watch.scheduleWithFixedDelay(this::closeLate, period, period, TimeUnit.MILLISECONDS);
    }

    /** The headers of a request have arrived; until it is complete its connection is not looked at. */
    void begun(Request request) {
        Connection connection = request.getConnectionMetaData().getConnection();
        Progress progress = open.get(connection);
        if (progress != null) {
            progress.begin();
            Request.addCompletionListener(request, failure -> progress.end(connection.getBytesIn()));
        }
    }

    @Override
    public void onOpened(Connection connection) {
        if (!(connection instanceof ConnectionMetaData)) {
            return; // a WebSocket, which looks after itself
        }
        Progress progress = new Progress(network(connection.getEndPoint()));
        open.put(connection, progress);
        int before = progress.network.isEmpty() ? 0 : counts.merge(progress.network, 1, Integer::sum) - 1;
        if (before >= perAddress) {
            log.debug("too many connections from {}", progress.network);
            connection.getEndPoint().close();
        }
    }

    @Override
    public void onClosed(Connection connection) {
        Progress progress = open.remove(connection);
        if (progress != null) {
            counts.computeIfPresent(progress.network, (network, count) -> count == 1 ? null : count - 1);
        }
    }

    /** Whom a connection counts for; empty: nobody, it is a proxy's. */
    private String network(EndPoint endPoint) {
        return endPoint.getRemoteSocketAddress() instanceof InetSocketAddress inet
                        && inet.getAddress() != null
                        && !proxies.contains(inet.getAddress())
                ? TrustedProxies.network(inet.getAddress())
                : "";
    }

    private void closeLate() {
        long now = System.nanoTime();
        open.forEach((connection, progress) -> {
            if (progress.isLate(connection.getBytesIn(), now, arrivalTimeout.toNanos())) {
                log.debug("a request's headers did not arrive in time");
                connection.getEndPoint().close();
            }
        });
    }

    @Override
    public void close() {
        watch.shutdownNow();
    }
}
