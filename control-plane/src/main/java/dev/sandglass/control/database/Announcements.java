package dev.sandglass.control.database;

import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import org.jdbi.v3.core.Jdbi;
import org.jspecify.annotations.Nullable;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What triggers in the database announce (NOTIFY), heard over a connection of its own (LISTEN).
 *
 * <pre>
 *   connect ─▶ LISTEN ─▶ hear a probe sent over another connection ─▶ everything is forgotten ─▶ current
 *      ▲                                                                                          │  ▲
 *      └──────────── the connection broke, or a question took too long ◀── ask a question, deliver ┘──┘ every 200 ms
 * </pre>
 *
 * PostgreSQL hands a connection what was announced before it answers a question that came later. So with each answer it is
 * known that all has been heard that was committed before the question was asked, and until {@link #LEASE} after that the
 * caches may be used. A connection that is dead without saying so ends that within the lease, and a proxy that does not pass
 * announcements on never lets it begin. One platform thread; closed by whoever opened it.
 */
public final class Announcements implements AutoCloseable {
    /** A change is seen within it, everywhere: a deleted key may be good for one second. The rest is for the answer. */
    static final Duration LEASE = Duration.ofMillis(800);

    private static final Duration ASK_EVERY = Duration.ofMillis(200);
    private static final Duration ANSWER_LIMIT = Duration.ofSeconds(2);
    private static final Duration RECONNECT_FIRST = Duration.ofMillis(100);
    private static final Duration RECONNECT_MAX = Duration.ofSeconds(2);
    private static final String PROBE_CHANNEL = "sandglass_probe";
    private static final Logger log = LoggerFactory.getLogger(Announcements.class);

    /** Told of one channel's announcements, on the thread that listens. */
    interface Listener {
        /** This has changed. */
        void changed(String what);

        /** Anything may have changed. */
        void anythingChanged();
    }

    private final DatabaseAddress address;
    private final Jdbi jdbi;
    private final Map<String, Listener> listeners = new ConcurrentHashMap<>();
    private final Thread thread =
            Thread.ofPlatform().daemon().name("announcements").unstarted(this::run);
    private volatile @Nullable Long heardAt;
    private volatile boolean closed;

    /** {@code jdbi}: of the same database, over other connections. */
    public Announcements(DatabaseAddress address, Jdbi jdbi) {
        this.address = address;
        this.jdbi = jdbi;
    }

    /** Before {@link #start}. */
    void on(String channel, Listener listener) {
        listeners.put(channel, listener);
    }

    public void start() {
        thread.start();
    }

    /** Whether all has been heard that was announced more than {@link #LEASE} ago. */
    public boolean isCurrent() {
        Long at = heardAt;
        return at != null && System.nanoTime() - at < LEASE.toNanos();
    }

    private void run() {
        Duration pause = RECONNECT_FIRST;
        boolean toldOfLoss = false;
        while (!closed) {
            try (Connection connection = address.connect("sandglass-announcements", ANSWER_LIMIT)) {
                begin(connection);
                if (toldOfLoss) {
                    log.info("changes in the database are heard of again");
                }
                pause = RECONNECT_FIRST;
                toldOfLoss = false;
                listen(connection);
            } catch (SQLException | RuntimeException e) {
                heardAt = null;
                if (!closed && !toldOfLoss) {
                    log.atWarn()
                            .addKeyValue("reason", e.getMessage())
                            .log("changes in the database are not heard of, each request asks it until they are");
                    toldOfLoss = true;
                }
            }
            if (!sleep(pause)) {
                return;
            }
            pause = pause.multipliedBy(2).compareTo(RECONNECT_MAX) < 0 ? pause.multipliedBy(2) : RECONNECT_MAX;
        }
    }

    private void begin(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("listen " + PROBE_CHANNEL);
            for (String channel : listeners.keySet()) {
                statement.execute("listen " + channel);
            }
        }
        String probe = UUID.randomUUID().toString();
        jdbi.useHandle(handle -> handle.createQuery("select pg_notify(:channel, :probe)")
                .bind("channel", PROBE_CHANNEL)
                .bind("probe", probe)
                .mapTo(String.class)
                .list());
        awaitProbe(connection.unwrap(PGConnection.class), probe);
        listeners.values().forEach(Listener::anythingChanged);
    }

    private static void awaitProbe(PGConnection connection, String probe) throws SQLException {
        long deadline = System.nanoTime() + ANSWER_LIMIT.toNanos();
        while (System.nanoTime() < deadline) {
            for (PGNotification heard : heard(connection, ASK_EVERY)) {
                if (heard.getName().equals(PROBE_CHANNEL)
                        && heard.getParameter().equals(probe)) {
                    return;
                }
            }
        }
        throw new SQLException("what is announced does not arrive: a proxy in between may not pass it on");
    }

    private void listen(Connection connection) throws SQLException {
        PGConnection notifying = connection.unwrap(PGConnection.class);
        while (!closed) {
            long asked = System.nanoTime();
            try (Statement statement = connection.createStatement()) {
                statement.execute("select 1");
            }
            deliver(Optional.ofNullable(notifying.getNotifications()).orElse(new PGNotification[0]));
            heardAt = asked;
            deliver(heard(notifying, ASK_EVERY));
        }
    }

    private static PGNotification[] heard(PGConnection connection, Duration patience) throws SQLException {
        return Optional.ofNullable(connection.getNotifications(Math.toIntExact(patience.toMillis())))
                .orElse(new PGNotification[0]);
    }

    private void deliver(PGNotification[] announcements) {
        for (PGNotification announcement : announcements) {
            Listener listener = listeners.get(announcement.getName());
            if (listener != null && announcement.getParameter().isEmpty()) {
                listener.anythingChanged();
            } else if (listener != null) {
                listener.changed(announcement.getParameter());
            }
        }
    }

    /** False when there is nothing to wait for any more. */
    private boolean sleep(Duration duration) {
        try {
            Thread.sleep(duration);
            return !closed;
        } catch (InterruptedException e) {
            return false;
        }
    }

    @Override
    public void close() {
        closed = true;
        heardAt = null;
        thread.interrupt();
        try {
            thread.join(ANSWER_LIMIT.plus(ASK_EVERY));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
