package dev.sandglass.control.testing;

import dev.sandglass.contract.Installation;
import dev.sandglass.contract.Progress;
import dev.sandglass.control.ConfigurationKeys;
import dev.sandglass.control.ControlPlane;
import dev.sandglass.control.ControlPlaneConfiguration;
import dev.sandglass.control.EmbeddedAgent;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;

/** A control plane on a database of its own, with a fake agent in its process. */
public final class TestPlane implements AutoCloseable {
    private static final AtomicInteger COUNTER = new AtomicInteger();
    private static final String PASSWORD = "correct horse battery";

    public final FakeHostAgent agent;
    public final ControlPlane plane;
    public final Map<String, String> environment;
    private final Path home;

    private TestPlane(Map<String, String> settings) {
        try {
            home = Files.createTempDirectory("sandglass-test-home-");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        environment = new HashMap<>(Map.of(
                "SANDGLASS_HOME", home.toString(),
                "CP_LISTEN_ADDR", "127.0.0.1:0",
                "SANDGLASS_ATTEMPTS_PER_ADDRESS", "100000",
                "SANDGLASS_ATTEMPTS_PER_ACCOUNT", "100000",
                "SANDGLASS_OAUTH_STEPS_PER_ADDRESS", "100000",
                "SANDGLASS_AGENT_TOKEN", "token-of-the-tests-token-of-the-tests",
                "SANDGLASS_INSTALLATION", "test" + String.format("%04d", COUNTER.incrementAndGet())));
        environment.putAll(settings);
        try {
            Open open = open(environment);
            agent = open.agent();
            plane = open.plane();
        } catch (RuntimeException e) {
            TestDatabase.delete(home);
            throw e;
        }
    }

    private record Open(FakeHostAgent agent, ControlPlane plane) {}

    private static Open open(Map<String, String> environment) {
        environment.computeIfAbsent("DATABASE_URL", key -> TestDatabase.freshUrl());
        ControlPlaneConfiguration configuration =
                ControlPlaneConfiguration.read(environment, ConfigurationKeys.controlPlane());
        Installation installation = configuration.installation();
        FakeHostAgent agent = new FakeHostAgent("host-" + COUNTER.get(), installation.id());
        try {
            EmbeddedAgent embedded = new EmbeddedAgent(agent.channel(), agent.hostId);
            return new Open(agent, ControlPlane.start(configuration, Optional.of(embedded), Progress.SILENT));
        } catch (RuntimeException e) {
            agent.close();
            throw e;
        }
    }

    public static TestPlane start() {
        return new TestPlane(Map.of());
    }

    public static TestPlane start(Map<String, String> settings) {
        return new TestPlane(settings);
    }

    /** Without credentials. */
    public Api api() {
        return Api.at(plane.url());
    }

    /** Somebody new. */
    public record Person(String email, String token, String userId, String teamId, Api withToken, Api withKey) {}

    public Person signUp() {
        String email = "person" + COUNTER.incrementAndGet() + "@example.org";
        Api.Answer answer =
                api().post("/v1/auth/signup", "{\"email\":\"" + email + "\",\"password\":\"" + PASSWORD + "\"}");
        if (answer.status() != 201) {
            throw new AssertionError(answer.toString());
        }
        Api withToken = api().withToken(answer.text("token"));
        String key = withToken.post("/v1/api-keys").text("key");
        return new Person(
                email,
                answer.text("token"),
                answer.text("user_id"),
                answer.text("team_id"),
                withToken,
                api().withKey(key));
    }

    /** Changes the database behind the control plane's back. */
    public void sql(String statement) {
        try (var connection = DriverManager.getConnection(environment.get("DATABASE_URL"));
                var prepared = connection.createStatement()) {
            prepared.execute(statement);
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    /** The one value of a query. */
    public String ask(String query) {
        try (var connection = DriverManager.getConnection(environment.get("DATABASE_URL"));
                var prepared = connection.createStatement();
                var rows = prepared.executeQuery(query)) {
            rows.next();
            return rows.getString(1);
        } catch (SQLException e) {
            throw new IllegalStateException(e);
        }
    }

    public static String password() {
        return PASSWORD;
    }

    @Override
    public void close() {
        plane.close();
        agent.close();
        TestDatabase.delete(home);
    }
}
