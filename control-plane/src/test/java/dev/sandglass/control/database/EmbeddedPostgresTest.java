package dev.sandglass.control.database;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.Progress;
import java.io.BufferedReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class EmbeddedPostgresTest {
    /** Below a directory that only its owner may enter, as /root is. */
    @TempDir
    private Path closed;

    private static Connection connect(DatabaseAddress address) throws SQLException {
        return DriverManager.getConnection(address.jdbcUrl(), address.user(), address.password());
    }

    private static void execute(DatabaseAddress address, String sql) throws SQLException {
        try (Connection connection = connect(address);
                var statement = connection.createStatement()) {
            statement.execute(sql);
        }
    }

    private static String ask(DatabaseAddress address, String sql) throws SQLException {
        try (Connection connection = connect(address);
                var statement = connection.createStatement();
                var rows = statement.executeQuery(sql)) {
            rows.next();
            return rows.getString(1);
        }
    }

    private static boolean alive(long pid) {
        return ProcessHandle.of(pid).map(ProcessHandle::isAlive).orElse(false);
    }

    /** For a JVM of its own that is killed: starts the server, says where, and waits. */
    static final class Victim {
        private Victim() {}

        public static void main(String[] arguments) throws Exception {
            EmbeddedPostgres postgres = EmbeddedPostgres.start(Path.of(arguments[0]), Progress.SILENT);
            System.out.println(postgres.pid() + " " + postgres.address().jdbcUrl() + " "
                    + postgres.address().password());
            Thread.sleep(Duration.ofMinutes(1));
        }
    }

    @Test
    void itsDataOutliveRestartsAndKills() throws Exception {
        Files.setPosixFilePermissions(closed, PosixFilePermissions.fromString("rwx------"));
        Path directory = closed.resolve("postgresql");
        List<String> steps = new ArrayList<>();
        Progress progress = new Progress() {
            @Override
            public void step(String text) {
                steps.add(text);
            }

            @Override
            public void advance(long done, long total, String unit) {}
        };
        long pid;
        try (EmbeddedPostgres first = EmbeddedPostgres.start(directory, progress)) {
            pid = first.pid();
            execute(first.address(), "create table kept (n int)");
            execute(first.address(), "insert into kept values (1)");
            assertThat(ask(first.address(), "show fsync")).isEqualTo("on");
            assertThat(ask(first.address(), "show data_checksums")).isEqualTo("on");
            assertThat(ask(first.address(), "show password_encryption")).isEqualTo("scram-sha-256");
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(directory.resolve("password"))))
                    .isEqualTo("rw-------");
            assertThat(directory.resolve("initdb-password")).doesNotExist();
            DatabaseAddress stranger = new DatabaseAddress(first.address().jdbcUrl(), "sandglass", "guess");
            assertThatThrownBy(() -> connect(stranger)).isInstanceOf(SQLException.class);
            assertThatThrownBy(() -> EmbeddedPostgres.start(directory, Progress.SILENT))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("SANDGLASS_HOME");
            assertThat(Files.readString(Path.of("/proc/" + pid + "/environ"))).doesNotContain("HOME=");
            if (PostgresAccount.choose() instanceof PostgresAccount.Unprivileged) {
                String status = Files.readString(Path.of("/proc/" + pid + "/status"));
                assertThat(status).containsPattern("Uid:\\s+(65522|65534)\\s").containsPattern("CapEff:\\s+0+\\n");
            }
        }
        assertThat(alive(pid)).isFalse();
        assertThat(steps).containsExactly("unpacking PostgreSQL", "creating the database", "starting the database");
        killedWithItsJvm(directory);
    }

    @Test
    void aServerThatIsKilledIsStartedAgainWithItsData() throws Exception {
        try (EmbeddedPostgres postgres = EmbeddedPostgres.start(closed.resolve("postgresql"), Progress.SILENT)) {
            execute(postgres.address(), "create table kept (n int)");
            for (int kill = 1; kill <= 3; kill++) {
                execute(postgres.address(), "insert into kept values (" + kill + ")");
                long pid = postgres.pid();
                if (kill == 2) {
                    ProcessHandle.of(pid).orElseThrow().destroyForcibly(); // its children find out by themselves
                } else {
                    MortalPostgres.kill(ProcessHandle.of(pid).orElseThrow());
                }
                Awaitility.await()
                        .atMost(Duration.ofSeconds(60))
                        .ignoreExceptionsInstanceOf(SQLException.class)
                        .until(() -> postgres.pid() != pid
                                && !ask(postgres.address(), "select 1").isEmpty());
                assertThat(ask(postgres.address(), "select count(*) from kept")).isEqualTo(Integer.toString(kill));
            }
        }
    }

    private void killedWithItsJvm(Path directory) throws Exception {
        Process victim = new ProcessBuilder(
                        ProcessHandle.current().info().command().orElseThrow(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        "-XX:+UseSerialGC",
                        "-XX:TieredStopAtLevel=1",
                        Victim.class.getName(),
                        directory.toString())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        try (BufferedReader reader = victim.inputReader()) {
            String[] said = reader.readLine().split(" ", -1);
            long server = Long.parseLong(said[0]);
            DatabaseAddress address = new DatabaseAddress(said[1], "sandglass", said[2]);
            execute(address, "insert into kept values (2)");
            victim.destroyForcibly().waitFor(10, TimeUnit.SECONDS);
            try (EmbeddedPostgres second = EmbeddedPostgres.start(directory, Progress.SILENT)) {
                assertThat(ask(second.address(), "select sum(n) from kept")).isEqualTo("3");
            }
            Awaitility.await().until(() -> !alive(server));
        } finally {
            victim.destroyForcibly();
        }
    }
}
