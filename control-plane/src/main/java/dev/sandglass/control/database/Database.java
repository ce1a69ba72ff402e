package dev.sandglass.control.database;

import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.sql.SQLException;
import java.time.Duration;
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
    private static final String STATEMENT_TIMEOUT = "15s";
    private static final String UNIQUE_VIOLATION = "23505";

    private final HikariDataSource pool;
    private final Jdbi jdbi;

    private Database(HikariDataSource pool) {
        this.pool = pool;
        this.jdbi = Jdbi.create(pool).installPlugin(new PostgresPlugin());
    }

    /**
     * Connects and migrates.
     *
     * @throws IllegalStateException when the database cannot be reached or its schema is newer than this program
     */
    public static Database open(DatabaseAddress address) {
        HikariConfig config = new HikariConfig();
        config.setPoolName("database");
        config.setJdbcUrl(address.jdbcUrl());
        if (!address.user().isEmpty()) {
            config.setUsername(address.user());
            config.setPassword(address.password());
        }
        config.setMaximumPoolSize(CONNECTIONS_MAX);
        config.setMinimumIdle(2);
        config.setConnectionTimeout(CONNECT_TIMEOUT.toMillis());
        config.addDataSourceProperty("ApplicationName", "sandglass-control-plane");
        config.addDataSourceProperty("connectTimeout", CONNECT_TIMEOUT.toSeconds());
        config.addDataSourceProperty("socketTimeout", "30");
        config.addDataSourceProperty("tcpKeepAlive", "true");
        config.addDataSourceProperty("options", "-c statement_timeout=" + STATEMENT_TIMEOUT + " -c timezone=UTC");
        HikariDataSource pool;
        try {
            pool = new HikariDataSource(config);
        } catch (RuntimeException e) {
            throw new IllegalStateException(
                    "The database at " + address + " cannot be reached: check DATABASE_URL and that it runs.", e);
        }
        try {
            migrate(pool);
            return new Database(pool);
        } catch (RuntimeException e) {
            pool.close();
            throw e;
        }
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

    @Override
    public void close() {
        pool.close();
    }
}
