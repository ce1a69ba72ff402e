package dev.sandglass.control.testing;

import dev.sandglass.contract.Progress;
import dev.sandglass.control.database.DatabaseAddress;
import dev.sandglass.control.database.EmbeddedPostgres;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.Comparator;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;

/** One PostgreSQL server for all tests of this JVM; each asks for databases of its own. */
public final class TestDatabase {
    private static final AtomicInteger COUNTER = new AtomicInteger();

    private TestDatabase() {}

    /** Started when first used, stopped and removed when the JVM ends. */
    private static final class Server {
        static final EmbeddedPostgres POSTGRES = start();

        private static EmbeddedPostgres start() {
            try {
                Path directory = Files.createTempDirectory("sandglass-test-postgresql-");
                EmbeddedPostgres postgres = EmbeddedPostgres.start(directory, Progress.SILENT);
                Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                    postgres.close();
                    delete(directory);
                }));
                return postgres;
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    /** The URL of a new, empty database. */
    public static String freshUrl() {
        DatabaseAddress address = Server.POSTGRES.address();
        String name = "test_" + COUNTER.incrementAndGet();
        try (Connection connection =
                        DriverManager.getConnection(address.jdbcUrl(), address.user(), address.password());
                var statement = connection.createStatement()) {
            statement.execute("create database " + name);
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
        return address.jdbcUrl().replace("/postgres", "/" + name) + "?user=" + address.user() + "&password="
                + address.password();
    }

    public static void delete(Path directory) {
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
