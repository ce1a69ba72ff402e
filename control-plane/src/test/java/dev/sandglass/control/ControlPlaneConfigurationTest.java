package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.control.database.DatabaseAddress;
import dev.sandglass.control.http.HttpSettings;
import dev.sandglass.control.http.RequestLimits;
import dev.sandglass.control.http.TrustedProxies;
import dev.sandglass.control.oauth.GithubSettings;
import dev.sandglass.control.oauth.OauthConfiguration;
import dev.sandglass.control.sandbox.TeamQuota;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ControlPlaneConfigurationTest {
    @TempDir
    private Path home;

    private ControlPlaneConfiguration read(Map<String, String> settings) {
        Map<String, String> environment = new HashMap<>(settings);
        environment.putIfAbsent("SANDGLASS_HOME", home.toString());
        return ControlPlaneConfiguration.read(environment, ConfigurationKeys.controlPlane());
    }

    @Test
    void defaultsServeOneMachine() {
        ControlPlaneConfiguration read = read(Map.of("PATH", "/bin", "DATABASE_URL", " "));
        assertThat(read.listen().getPort()).isEqualTo(8000);
        assertThat(read.listen().getAddress().isLoopbackAddress()).isTrue();
        assertThat(read.database()).isEmpty();
        assertThat(read.hostAgent()).isEmpty();
        assertThat(read.registry()).isEmpty();
        assertThat(read.jwtSecret()).isEmpty();
        assertThat(read.publicUrl()).isEmpty();
        assertThat(read.quota()).isEqualTo(new TeamQuota(256, 1024, 262_144, 256));
        assertThat(read.http().requests()).isEqualTo(new RequestLimits(50_000, 100_000, 1000, 1024));
        assertThat(read.installation()).isEqualTo(read(Map.of()).installation());
        assertThat(read.installation().agentToken()).hasSizeGreaterThanOrEqualTo(32);
        assertThat(read.toString()).doesNotContain(read.installation().agentToken());
    }

    @Test
    void everySettingIsRead() {
        ControlPlaneConfiguration read = read(Map.ofEntries(
                Map.entry("DATABASE_URL", "postgres://u:p%40w@db:5433/name?sslmode=require"),
                Map.entry("CP_LISTEN_ADDR", "0.0.0.0:9000"),
                Map.entry("CP_PUBLIC_URL", "https://sandbox.example.org/"),
                Map.entry("CP_HOST_AGENT_ADDR", "127.0.0.1:9100"),
                Map.entry("JWT_SECRET", "0123456789012345678901234567890x"),
                Map.entry("OAUTH_GITHUB_CLIENT_ID", "Ov23li"),
                Map.entry("OAUTH_GITHUB_CLIENT_SECRET", "hunter2"),
                Map.entry("OAUTH_GITHUB_BASE_URL", "https://github.example.org/"),
                Map.entry("OAUTH_GITHUB_API_URL", "https://github.example.org/api/v3/"),
                Map.entry("OAUTH_REDIRECT_URL", "https://app.example.org"),
                Map.entry("SANDGLASS_TRUSTED_PROXIES", "10.0.0.1, ::1"),
                Map.entry("SANDGLASS_REGISTRY_ADDR", "[::1]:9001"),
                Map.entry("SANDGLASS_INSTALLATION", "abcdefgh"),
                Map.entry("SANDGLASS_AGENT_TOKEN", "t".repeat(40)),
                Map.entry("SANDGLASS_ALLOWED_ORIGINS", "https://a.example, http://b.example:81/"),
                Map.entry("SANDGLASS_TEAM_SANDBOXES_MAX", "3"),
                Map.entry("SANDGLASS_TEAM_MEMORY_MB_MAX", "1024"),
                Map.entry("SANDGLASS_TEAM_VCPUS_MAX", "5"),
                Map.entry("SANDGLASS_TEAM_STREAMS_MAX", "6"),
                Map.entry("SANDGLASS_MEMORY_OVERCOMMIT", "2"),
                Map.entry("SANDGLASS_ATTEMPTS_PER_ADDRESS", "7"),
                Map.entry("SANDGLASS_ATTEMPTS_PER_ACCOUNT", "8"),
                Map.entry("SANDGLASS_HTTP_IDLE_SECONDS", "9"),
                Map.entry("SANDGLASS_HTTP_CONNECTIONS_MAX", "10"),
                Map.entry("SANDGLASS_OAUTH_STEPS_PER_ADDRESS", "9"),
                Map.entry("SANDGLASS_HTTP_ARRIVAL_SECONDS", "11"),
                Map.entry("SANDGLASS_HTTP_CONNECTIONS_PER_ADDRESS", "12"),
                Map.entry("SANDGLASS_REQUESTS_PER_CREDENTIAL", "13"),
                Map.entry("SANDGLASS_REQUESTS_PER_TEAM", "14"),
                Map.entry("SANDGLASS_REQUESTS_PER_ADDRESS", "15"),
                Map.entry("SANDGLASS_TEAM_REQUESTS_MAX", "16")));
        assertThat(read.database())
                .contains(new DatabaseAddress("jdbc:postgresql://db:5433/name?sslmode=require", "u", "p@w"));
        assertThat(read.listen().getPort()).isEqualTo(9000);
        assertThat(read.publicUrl()).hasToString("Optional[https://sandbox.example.org]");
        assertThat(read.hostAgent())
                .hasValueSatisfying(address -> assertThat(address.getPort()).isEqualTo(9100));
        assertThat(read.jwtSecret()).isPresent();
        assertThat(read.oauth())
                .isEqualTo(new OauthConfiguration(
                        URI.create("https://sandbox.example.org"),
                        URI.create("https://app.example.org"),
                        Optional.of(new GithubSettings(
                                "Ov23li",
                                "hunter2",
                                URI.create("https://github.example.org"),
                                URI.create("https://github.example.org/api/v3")))));
        assertThat(read.toString() + read.oauth()).doesNotContain("hunter2");
        assertThat(read.registry())
                .hasValueSatisfying(address -> assertThat(address.getPort()).isEqualTo(9001));
        assertThat(read.installation().id()).isEqualTo("abcdefgh");
        assertThat(read.allowedOrigins()).containsExactlyInAnyOrder("https://a.example", "http://b.example:81");
        assertThat(read.quota().sandboxes()).isEqualTo(3);
        assertThat(read.quota().vcpus()).isEqualTo(5);
        assertThat(read.quota().streams()).isEqualTo(6);
        assertThat(read.quota().memoryMb()).isEqualTo(1024);
        assertThat(read.memoryOvercommit()).isEqualTo(2);
        assertThat(read.attempts().perAddress()).isEqualTo(7);
        assertThat(read.attempts().perAccount()).isEqualTo(8);
        assertThat(read.attempts().externalPerAddress()).isEqualTo(9);
        assertThat(read.http())
                .isEqualTo(new HttpSettings(
                        Duration.ofSeconds(9),
                        Duration.ofSeconds(11),
                        10,
                        12,
                        new TrustedProxies(Set.of("10.0.0.1", "0:0:0:0:0:0:0:1")),
                        new RequestLimits(13, 14, 15, 16)));
    }

    @Test
    void allProblemsAreToldAtOnceByNameAndWithoutValues() {
        Map<String, String> bad = Map.of(
                "DATABASE_URL", "mysql://u:hunter2@db/x",
                "CP_LISTEN_ADDR", "8000",
                "CP_PUBLIC_URL", "ftp://x",
                "JWT_SECRET", "too short hunter2",
                "SANDGLASS_INSTALLATION", "UPPER",
                "SANDGLASS_AGENT_TOKEN", "hunter2",
                "SANDGLASS_TEAM_SANDBOXES_MAX", "0",
                "SANDGLASS_HTTP_IDLE_SECONDS", "soon",
                "SANDGLASS_LISTEN_ADDR", "misspelt");
        assertThatThrownBy(() -> read(bad)).isInstanceOfSatisfying(ConfigurationException.class, failure -> {
            assertThat(failure.problems()).hasSize(bad.size());
            bad.keySet()
                    .forEach(
                            name -> assertThat(failure.problems()).anyMatch(problem -> problem.startsWith(name + " ")));
            assertThat(failure.getMessage()).doesNotContain("hunter2");
        });
    }

    @Test
    void logInWithGithubNeedsAllThatBelongsToIt() {
        Map<String, String> id = Map.of("OAUTH_GITHUB_CLIENT_ID", "Ov23li");
        Map<String, String> secret = Map.of("OAUTH_GITHUB_CLIENT_SECRET", "hunter2");
        Map<String, String> url = Map.of("CP_PUBLIC_URL", "https://sandbox.example.org");
        assertThat(problems(id, secret)).singleElement().asString().startsWith("CP_PUBLIC_URL is missing: ");
        assertThat(problems(id, url)).singleElement().asString().startsWith("OAUTH_GITHUB_CLIENT_SECRET is missing: ");
        assertThat(problems(secret, url)).singleElement().asString().startsWith("OAUTH_GITHUB_CLIENT_ID is missing: ");
        assertThat(problems(id)).hasSize(2);
        assertThat(problems(id, secret, Map.of("CP_PUBLIC_URL", "sandbox.example.org")))
                .singleElement()
                .asString()
                .startsWith("CP_PUBLIC_URL is not ");
        for (String bad : List.of(
                "ftp://x",
                "//x",
                "x",
                "https://",
                "https://u:hunter2@x",
                "https://x?y=1",
                "https://x#y",
                "https://x y")) {
            assertThat(problems(Map.of("OAUTH_GITHUB_BASE_URL", bad))).hasSize(1);
            assertThat(problems(Map.of("OAUTH_GITHUB_API_URL", bad))).hasSize(1);
            assertThat(problems(Map.of("OAUTH_REDIRECT_URL", bad))).hasSize(1);
        }
        assertThat(problems(Map.of("SANDGLASS_TRUSTED_PROXIES", "proxy.example.org")))
                .hasSize(1);
        assertThat(problems(id, secret, Map.of("JWT_SECRET", "short", "OAUTH_REDIRECT_URL", "x")))
                .hasSize(3);
        Map<String, String> all = new HashMap<>(id);
        all.putAll(secret);
        all.putAll(url);
        assertThat(read(all).oauth().redirectUrl()).hasToString("https://sandbox.example.org");
        assertThat(read(Map.of()).oauth().github()).isEmpty();
    }

    @SafeVarargs
    private List<String> problems(Map<String, String>... settings) {
        Map<String, String> all = new HashMap<>();
        for (Map<String, String> some : settings) {
            all.putAll(some);
        }
        try {
            read(all);
            return List.of();
        } catch (ConfigurationException e) {
            assertThat(e.getMessage()).doesNotContain("hunter2");
            return e.problems();
        }
    }

    @Test
    void otherProgramsAddTheirSettings() {
        ConfigurationKeys more =
                ConfigurationKeys.controlPlane().and(List.of(new ConfigurationKeys.Key("SANDGLASS_URL", "of the API")));
        Map<String, String> environment = Map.of("SANDGLASS_HOME", home.toString(), "SANDGLASS_URL", "http://x");
        assertThat(ControlPlaneConfiguration.read(environment, more).home()).isEqualTo(home);
        assertThatThrownBy(() -> read(environment)).hasMessageContaining("SANDGLASS_URL");
    }
}
