package dev.sandglass.control;

import dev.sandglass.contract.Installation;
import dev.sandglass.control.account.AttemptLimits;
import dev.sandglass.control.database.DatabaseAddress;
import dev.sandglass.control.http.HttpSettings;
import dev.sandglass.control.http.RequestLimits;
import dev.sandglass.control.http.TrustedProxies;
import dev.sandglass.control.oauth.GithubSettings;
import dev.sandglass.control.oauth.OauthConfiguration;
import dev.sandglass.control.sandbox.TeamQuota;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Everything the control plane is told at its start, read once.
 *
 * @param home SANDGLASS_HOME: the embedded database, secrets and the installation's id
 * @param installation whose agents this control plane accepts
 * @param database an external PostgreSQL; empty: the embedded one
 * @param listen where the API is served; port 0 chooses a free one
 * @param publicUrl how callers reach the API, where that is not the listening address
 * @param allowedOrigins pages that may open an exec stream, beside the API's own
 * @param jwtSecret signs log-in tokens; empty: one that is kept in {@code home}
 * @param oauth log-in through providers
 * @param hostAgent address of a host agent that does not register by itself
 * @param registry where host agents register; empty: nowhere
 * @param quota what one team may have
 * @param memoryOvercommit how often a host's memory may be promised, since clones share their template's pages
 * @param attempts limits of sign-up and log-in
 * @param http limits of the HTTP server
 * @param drain how long all is served yet while /readyz says that the server stops
 */
public record ControlPlaneConfiguration(
        Path home,
        Installation installation,
        Optional<DatabaseAddress> database,
        InetSocketAddress listen,
        Optional<URI> publicUrl,
        Set<String> allowedOrigins,
        Optional<String> jwtSecret,
        OauthConfiguration oauth,
        Optional<InetSocketAddress> hostAgent,
        Optional<InetSocketAddress> registry,
        TeamQuota quota,
        double memoryOvercommit,
        AttemptLimits attempts,
        HttpSettings http,
        Duration drain) {

    static final int JWT_SECRET_BYTES_MIN = 32;

    private static final String GITHUB_ID = "OAUTH_GITHUB_CLIENT_ID";
    private static final String GITHUB_SECRET = "OAUTH_GITHUB_CLIENT_SECRET";

    static final List<ConfigurationKeys.Key> KEYS = List.of(
            key("SANDGLASS_HOME", "all state of one installation (default ~/.sandglass)"),
            key(Installation.ID_KEY, "id of the installation (default: made once, kept in SANDGLASS_HOME)"),
            key(Installation.TOKEN_KEY, "what control plane and agents know each other by (default: made once)"),
            key("DATABASE_URL", "postgres://user:password@host:port/database (default: embedded PostgreSQL)"),
            key("CP_LISTEN_ADDR", "where the API is served (default 127.0.0.1:8000)"),
            key("CP_PUBLIC_URL", "how callers reach the API (default: the listening address)"),
            key("CP_HOST_AGENT_ADDR", "a host agent to use (default: one in this process, or those that register)"),
            key("JWT_SECRET", "signs log-in tokens, at least 32 bytes (default: made once, kept)"),
            key(GITHUB_ID, "log-in with GitHub: client id of the OAuth app; needs CP_PUBLIC_URL"),
            key(GITHUB_SECRET, "its secret"),
            key("OAUTH_GITHUB_BASE_URL", "GitHub's own address (default https://github.com)"),
            key("OAUTH_GITHUB_API_URL", "that of GitHub's API (default https://api.github.com)"),
            key("OAUTH_REDIRECT_URL", "what serves the page after log-in (default CP_PUBLIC_URL)"),
            key(
                    "SANDGLASS_TRUSTED_PROXIES",
                    "addresses whose X-Forwarded headers are believed (default this machine's)"),
            key("SANDGLASS_REGISTRY_ADDR", "where host agents register (control plane of its own: API port + 1)"),
            key("SANDGLASS_ALLOWED_ORIGINS", "pages that may open exec streams, comma-separated origins"),
            key("SANDGLASS_TEAM_SANDBOXES_MAX", "sandboxes of one team (default 256)"),
            key("SANDGLASS_TEAM_VCPUS_MAX", "vCPUs of a team's living sandboxes (default 1024)"),
            key("SANDGLASS_TEAM_MEMORY_MB_MAX", "memory of a team's living sandboxes in MiB (default 262144)"),
            key("SANDGLASS_TEAM_STREAMS_MAX", "exec streams a team has open (default 256)"),
            key("SANDGLASS_MEMORY_OVERCOMMIT", "how often a host's memory may be promised, 1 to 100 (default 10)"),
            key("SANDGLASS_ATTEMPTS_PER_ADDRESS", "sign-ups and log-ins per minute and address (default 60)"),
            key("SANDGLASS_ATTEMPTS_PER_ACCOUNT", "sign-ups and log-ins per minute and account (default 10)"),
            key(
                    "SANDGLASS_OAUTH_STEPS_PER_ADDRESS",
                    "log-ins through providers, two steps each, per minute (default 300)"),
            key("SANDGLASS_REQUESTS_PER_CREDENTIAL", "requests per second with one key or log-in (default 50000)"),
            key("SANDGLASS_REQUESTS_PER_TEAM", "requests per second of one team (default 100000)"),
            key("SANDGLASS_REQUESTS_PER_ADDRESS", "requests per second without a valid credential (default 1000)"),
            key("SANDGLASS_TEAM_REQUESTS_MAX", "requests of one team at the same time (default 1024)"),
            key("SANDGLASS_HTTP_ARRIVAL_SECONDS", "within which headers and JSON must arrive (default 30)"),
            key("SANDGLASS_HTTP_IDLE_SECONDS", "idle connections are closed after (default 60)"),
            key("SANDGLASS_HTTP_CONNECTIONS_MAX", "HTTP connections at the same time (default 4096)"),
            key("SANDGLASS_HTTP_CONNECTIONS_PER_ADDRESS", "of these from one address, not a proxy (default 512)"),
            key("SANDGLASS_DRAIN_SECONDS", "before a stop, time for a load balancer to see /readyz fail (default 0)"));

    public ControlPlaneConfiguration {
        allowedOrigins = Set.copyOf(allowedOrigins);
    }

    private static ConfigurationKeys.Key key(String name, String meaning) {
        return new ConfigurationKeys.Key(name, meaning);
    }

    /**
     * Reads the environment.
     *
     * @param known all variables this program knows; another one that begins with SANDGLASS_ is a problem
     * @throws ConfigurationException with every problem there is
     */
    public static ControlPlaneConfiguration read(Map<String, String> environment, ConfigurationKeys known) {
        Reader reader = new Reader(environment);
        known.unknown(environment.keySet())
                .forEach(name -> reader.problem(name, "is not a setting of Sandglass: correct or remove it"));
        Path home = reader.value("SANDGLASS_HOME", Path::of, "a directory")
                .orElseGet(() -> Path.of(System.getProperty("user.home"), ".sandglass"))
                .toAbsolutePath()
                .normalize();
        Optional<DatabaseAddress> database = reader.value("DATABASE_URL", DatabaseAddress::parse, "a PostgreSQL URL");
        InetSocketAddress listen = reader.address("CP_LISTEN_ADDR")
                .orElseGet(() -> new InetSocketAddress(InetAddress.getLoopbackAddress(), 8000));
        Optional<URI> publicUrl =
                reader.value("CP_PUBLIC_URL", Reader::webAddress, "an address like https://sandbox.example.org");
        Set<String> origins = reader.value("SANDGLASS_ALLOWED_ORIGINS", Reader::origins, "comma-separated origins")
                .orElse(Set.of());
        Optional<String> jwtSecret = reader.value(
                "JWT_SECRET", Reader::jwtSecret, "a secret of at least " + JWT_SECRET_BYTES_MIN + " bytes");
        OauthConfiguration oauth = reader.oauth(listen, publicUrl);
        Optional<InetSocketAddress> hostAgent = reader.address("CP_HOST_AGENT_ADDR");
        Optional<InetSocketAddress> registry = reader.address("SANDGLASS_REGISTRY_ADDR");
        TeamQuota quota = new TeamQuota(
                reader.number("SANDGLASS_TEAM_SANDBOXES_MAX", 1, 1_000_000, 256),
                reader.number("SANDGLASS_TEAM_VCPUS_MAX", 1, 1_000_000, 1024),
                reader.number("SANDGLASS_TEAM_MEMORY_MB_MAX", 128, Integer.MAX_VALUE, 262_144),
                reader.number("SANDGLASS_TEAM_STREAMS_MAX", 1, 1_000_000, 256));
        int overcommit = reader.number("SANDGLASS_MEMORY_OVERCOMMIT", 1, 100, 10);
        AttemptLimits attempts = new AttemptLimits(
                reader.number("SANDGLASS_ATTEMPTS_PER_ADDRESS", 1, 1_000_000, 60),
                reader.number("SANDGLASS_ATTEMPTS_PER_ACCOUNT", 1, 1_000_000, 10),
                reader.number("SANDGLASS_OAUTH_STEPS_PER_ADDRESS", 1, 1_000_000, 300));
        HttpSettings http = reader.http();
        Duration drain = Duration.ofSeconds(reader.number("SANDGLASS_DRAIN_SECONDS", 0, 600, 0));
        reader.checkInstallation();
        reader.failOnProblems();
        return new ControlPlaneConfiguration(
                home,
                Installation.open(home, environment),
                database,
                listen,
                publicUrl,
                origins,
                jwtSecret,
                oauth,
                hostAgent,
                registry,
                quota,
                overcommit,
                attempts,
                http,
                drain);
    }

    /** Without secrets. */
    @Override
    public String toString() {
        return "control plane of " + installation + " at " + listen + ", state in " + home;
    }

    /** Collects problems instead of stopping at the first. An empty value counts as absent. */
    private static final class Reader {
        private final Map<String, String> environment;
        private final List<String> problems = new ArrayList<>();

        Reader(Map<String, String> environment) {
            this.environment = environment;
        }

        void problem(String name, String text) {
            problems.add(name + " " + text);
        }

        <T> Optional<T> value(String name, Function<String, T> parse, String expected) {
            String text = environment.getOrDefault(name, "").strip();
            if (text.isEmpty()) {
                return Optional.empty();
            }
            try {
                return Optional.of(parse.apply(text));
            } catch (RuntimeException e) {
                problem(name, "is not " + expected); // the value is left out: it may hold a password
                return Optional.empty();
            }
        }

        Optional<InetSocketAddress> address(String name) {
            return value(name, Reader::hostAndPort, "an address like 127.0.0.1:8000");
        }

        int number(String name, int min, int max, int fallback) {
            return value(name, text -> within(Integer.parseInt(text), min, max), "a number from " + min + " to " + max)
                    .orElse(fallback);
        }

        OauthConfiguration oauth(InetSocketAddress listen, Optional<URI> publicUrl) {
            Optional<GithubSettings> github = github();
            URI here = publicUrl.orElseGet(() -> URI.create("http://127.0.0.1:" + listen.getPort()));
            URI redirect = value("OAUTH_REDIRECT_URL", Reader::webAddress, "an address like https://app.example.org")
                    .orElse(here);
            return new OauthConfiguration(here, redirect, github);
        }

        HttpSettings http() {
            Set<String> proxies = value("SANDGLASS_TRUSTED_PROXIES", Reader::addresses, "comma-separated IP addresses")
                    .orElse(addresses("127.0.0.1,::1"));
            return new HttpSettings(
                    Duration.ofSeconds(number("SANDGLASS_HTTP_IDLE_SECONDS", 1, 86_400, 60)),
                    Duration.ofSeconds(number("SANDGLASS_HTTP_ARRIVAL_SECONDS", 1, 3600, 30)),
                    number("SANDGLASS_HTTP_CONNECTIONS_MAX", 8, 1_000_000, 4096),
                    number("SANDGLASS_HTTP_CONNECTIONS_PER_ADDRESS", 1, 1_000_000, 512),
                    new TrustedProxies(proxies),
                    new RequestLimits(
                            number("SANDGLASS_REQUESTS_PER_CREDENTIAL", 1, 1_000_000_000, 50_000),
                            number("SANDGLASS_REQUESTS_PER_TEAM", 1, 1_000_000_000, 100_000),
                            number("SANDGLASS_REQUESTS_PER_ADDRESS", 1, 1_000_000_000, 1000),
                            number("SANDGLASS_TEAM_REQUESTS_MAX", 1, 1_000_000, 1024)));
        }

        private Optional<GithubSettings> github() {
            String id = secret(GITHUB_ID);
            String secret = secret(GITHUB_SECRET);
            URI base = value("OAUTH_GITHUB_BASE_URL", Reader::webAddress, "an address like https://github.com")
                    .orElse(GithubSettings.BASE_URL);
            URI api = value("OAUTH_GITHUB_API_URL", Reader::webAddress, "an address like https://api.github.com")
                    .orElse(GithubSettings.API_URL);
            if (isAbsent(GITHUB_ID) && isAbsent(GITHUB_SECRET)) {
                return Optional.empty();
            }
            require(GITHUB_ID, "log-in with GitHub needs it beside " + GITHUB_SECRET);
            require(GITHUB_SECRET, "log-in with GitHub needs it beside " + GITHUB_ID);
            require("CP_PUBLIC_URL", "log-in with GitHub needs it, since GitHub sends browsers back to it");
            return Optional.of(new GithubSettings(id, secret, base, api));
        }

        private String secret(String name) {
            return value(name, Reader::printable, "printable text without spaces")
                    .orElse("");
        }

        private boolean isAbsent(String name) {
            return environment.getOrDefault(name, "").isBlank();
        }

        private void require(String name, String why) {
            if (isAbsent(name)) {
                problem(name, "is missing: " + why);
            }
        }

        void checkInstallation() {
            value(Installation.ID_KEY, id -> new Installation(id, "x".repeat(32)), "8 to 32 letters of [0-9a-z]");
            value(
                    Installation.TOKEN_KEY,
                    token -> new Installation("00000000", token),
                    "at least 32 printable characters");
        }

        void failOnProblems() {
            if (!problems.isEmpty()) {
                throw new ConfigurationException(problems);
            }
        }

        private static int within(int number, int min, int max) {
            if (number < min || number > max) {
                throw new IllegalArgumentException();
            }
            return number;
        }

        private static InetSocketAddress hostAndPort(String text) {
            int colon = text.lastIndexOf(':');
            String host = text.substring(0, colon);
            if (host.startsWith("[") && host.endsWith("]")) {
                host = host.substring(1, host.length() - 1);
            }
            int port = within(Integer.parseInt(text.substring(colon + 1)), 0, 65_535);
            return host.isEmpty() ? new InetSocketAddress(port) : new InetSocketAddress(host, port);
        }

        private static URI webAddress(String text) {
            URI uri = URI.create(text.endsWith("/") ? text.substring(0, text.length() - 1) : text);
            if (!List.of("http", "https").contains(String.valueOf(uri.getScheme()))
                    || uri.getHost() == null
                    || uri.getRawUserInfo() != null
                    || uri.getRawQuery() != null
                    || uri.getRawFragment() != null) {
                throw new IllegalArgumentException();
            }
            return uri;
        }

        private static String printable(String text) {
            if (!text.matches("[\\x21-\\x7e]{1,1024}")) {
                throw new IllegalArgumentException();
            }
            return text;
        }

        /** As a connection's other end is written. */
        private static Set<String> addresses(String text) {
            return Stream.of(text.split(","))
                    .map(String::strip)
                    .filter(part -> !part.isEmpty())
                    .map(part -> InetAddress.ofLiteral(part).getHostAddress())
                    .collect(Collectors.toCollection(TreeSet::new));
        }

        private static Set<String> origins(String text) {
            return Stream.of(text.split(","))
                    .map(String::strip)
                    .filter(part -> !part.isEmpty())
                    .map(part -> webAddress(part).toString())
                    .collect(Collectors.toCollection(TreeSet::new));
        }

        private static String jwtSecret(String text) {
            if (text.getBytes(StandardCharsets.UTF_8).length < JWT_SECRET_BYTES_MIN) {
                throw new IllegalArgumentException();
            }
            return text;
        }
    }
}
