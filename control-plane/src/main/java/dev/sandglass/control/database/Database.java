package dev.sandglass.control.database;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import com.zaxxer.hikari.HikariPoolMXBean;
import dev.sandglass.contract.Progress;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.SQLTransientConnectionException;
import java.time.Duration;
import java.util.function.ToIntFunction;
import java.util.regex.Pattern;
import org.flywaydb.core.Flyway;
import org.flywaydb.core.api.FlywayException;
import org.jdbi.v3.core.Jdbi;
import org.jdbi.v3.core.JdbiException;
import org.jdbi.v3.postgres.PostgresPlugin;

/** The database with its schema up to date, and a bounded pool of connections. Closed by whoever opened it. */
public final class Database implements AutoCloseable {
    /** Small: a request holds a connection for a millisecond or two, and PostgreSQL forks a process for each. */
    private static final int CONNECTIONS_MAX = 16;

    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(5);

    /** A request is told after it that there is no connection to be had. */
    private static final Duration POOL_TIMEOUT = Duration.ofSeconds(3);

    private static final Duration VALIDATION_TIMEOUT = Duration.ofSeconds(2);
    private static final String STATEMENT_TIMEOUT = "15s";

    /** A database that is started together with this program needs a moment, and one that crashed its recovery. */
    private static final Duration START_PATIENCE = Duration.ofSeconds(30);

    private static final Duration START_POLL = Duration.ofMillis(500);
    private static final String UNIQUE_VIOLATION = "23505";

    /** Connection exceptions, insufficient resources, shut down or crashed, statement timeout, read-only. */
    private static final Pattern UNAVAILABLE = Pattern.compile("08...|53...|57P..|57014|25006");

    private final HikariDataSource pool;
    private final Jdbi jdbi;

    private Database(HikariDataSource pool) {
        this.pool = pool;
        this.jdbi = Jdbi.create(pool).installPlugin(new PostgresPlugin());
    }

    /**
     * Connects and migrates; waits for a while when there is nobody at the address.
     *
     * @throws IllegalStateException when the database cannot be reached or its schema is newer than this program
     */
    public static Database open(DatabaseAddress address, Progress progress) {
        HikariDataSource pool = connect(address, progress);
        try {
            migrate(pool);
            return new Database(pool);
        } catch (RuntimeException e) {
            pool.close();
            throw e;
        }
    }

    /** Silently. */
    public static Database open(DatabaseAddress address) {
        return open(address, Progress.SILENT);
    }

    private static HikariDataSource connect(DatabaseAddress address, Progress progress) {
        try {
            awaitAnswer(address, progress);
            return new HikariDataSource(configuration(address));
        } catch (SQLException | RuntimeException e) {
            throw new IllegalStateException(
                    "The database at " + address + " cannot be reached: check DATABASE_URL and that it runs.", e);
        }
    }

    private static void awaitAnswer(DatabaseAddress address, Progress progress) throws SQLException {
        long deadline = System.nanoTime() + START_PATIENCE.toNanos();
        while (true) {
            try {
                address.connect("sandglass-start", CONNECT_TIMEOUT).close();
                return;
            } catch (SQLException e) {
                if (!isUnavailable(e) || System.nanoTime() > deadline) {
                    throw e;
                }
            }
            progress.step("waiting for the database");
            try {
                Thread.sleep(START_POLL);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("interrupted", e);
            }
        }
    }

    private static HikariConfig configuration(DatabaseAddress address) {
        HikariConfig config = new HikariConfig();
        config.setPoolName("database");
        config.setJdbcUrl(address.jdbcUrl());
        if (!address.user().isEmpty()) {
            config.setUsername(address.user());
            config.setPassword(address.password());
        }
        config.setMaximumPoolSize(CONNECTIONS_MAX);
        config.setMinimumIdle(2);
        config.setConnectionTimeout(POOL_TIMEOUT.toMillis());
        config.setValidationTimeout(VALIDATION_TIMEOUT.toMillis());
        config.addDataSourceProperty("ApplicationName", "sandglass-control-plane");
        config.addDataSourceProperty("connectTimeout", CONNECT_TIMEOUT.toSeconds());
        config.addDataSourceProperty("socketTimeout", "30");
        config.addDataSourceProperty("tcpKeepAlive", "true");
        config.addDataSourceProperty("options", "-c statement_timeout=" + STATEMENT_TIMEOUT + " -c timezone=UTC");
        return config;
    }

    private static void migrate(HikariDataSource pool) {
        try {
            Flyway.configure()
                    .dataSource(pool)
                    .locations("classpath:dev/sandglass/control/database")
                    .validateMigrationNaming(true)
                    .cleanDisabled(true)
                    .load()
                    .migrate();
        } catch (FlywayException e) {
            throw new IllegalStateException("The database's schema cannot be brought up to date.", e);
        }
    }

    public Jdbi jdbi() {
        return jdbi;
    }

    /** One of the pool's, for what is too frequent for Jdbi; whoever asked for it closes it. */
    public Connection connection() throws SQLException {
        return pool.getConnection();
    }

    /** Connections of the pool. */
    public int connections() {
        return pooled(HikariPoolMXBean::getTotalConnections);
    }

    /** Those that somebody uses. */
    public int connectionsInUse() {
        return pooled(HikariPoolMXBean::getActiveConnections);
    }

    /** How many wait for one. */
    public int waiting() {
        return pooled(HikariPoolMXBean::getThreadsAwaitingConnection);
    }

    private int pooled(ToIntFunction<HikariPoolMXBean> figure) {
        HikariPoolMXBean now = pool.getHikariPoolMXBean();
        return now == null ? 0 : figure.applyAsInt(now);
    }

    /** Whether it answers, asked now. */
    public boolean answers() {
        try {
            return jdbi.withHandle(handle ->
                    handle.createQuery("select 1").mapTo(Integer.class).one() == 1);
        } catch (JdbiException e) {
            return false;
        }
    }

    /** Whether {@code failure} came from a unique constraint. */
    public static boolean isUniqueViolation(Throwable failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (cause instanceof SQLException sql && UNIQUE_VIOLATION.equals(sql.getSQLState())) {
                return true;
            }
        }
        return false;
    }

    /**
     * Whether {@code failure} means that the database is not there, is being started or stopped, takes no writes or has no
     * room: the same request may succeed later.
     */
    public static boolean isUnavailable(Throwable failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (cause instanceof SQLTransientConnectionException // the pool has nothing to give
                    || (cause instanceof SQLException sql
                            && sql.getSQLState() != null
                            && UNAVAILABLE.matcher(sql.getSQLState()).matches())) {
                return true;
            }
        }
        return false;
    }

    @Override
    public void close() {
        pool.close();
    }
}
