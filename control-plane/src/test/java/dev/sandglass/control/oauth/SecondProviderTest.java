package dev.sandglass.control.oauth;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.control.account.AccountFeature;
import dev.sandglass.control.account.AttemptLimits;
import dev.sandglass.control.account.Tokens;
import dev.sandglass.control.database.Database;
import dev.sandglass.control.database.DatabaseAddress;
import dev.sandglass.control.http.Authenticator;
import dev.sandglass.control.http.HttpSettings;
import dev.sandglass.control.http.RequestLimits;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.http.TrustedProxies;
import dev.sandglass.control.http.WebServer;
import dev.sandglass.control.observe.Telemetry;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.FakeGithub;
import dev.sandglass.control.testing.OauthBrowser;
import dev.sandglass.control.testing.TestDatabase;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.time.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Two providers in one server, on a real database: the second is one class and its settings. */
final class SecondProviderTest {
    private static final String SECRET = "0123456789012345678901234567890123456789";

    @Test
    void anotherProviderIsOneClassAndItsSettings() {
        URI here = OauthBrowser.freeAddress();
        try (FakeGithub github = new FakeGithub();
                ExampleProvider.Server example = new ExampleProvider.Server();
                ProviderClient client = new ProviderClient(Duration.ofSeconds(10));
                Telemetry telemetry = new Telemetry();
                Database database = Database.open(DatabaseAddress.parse(TestDatabase.freshUrl()))) {
            GithubSettings githubSettings =
                    new GithubSettings(FakeGithub.CLIENT_ID, FakeGithub.CLIENT_SECRET, github.url(), github.apiUrl());
            OauthConfiguration configuration = new OauthConfiguration(here, here, Optional.of(githubSettings));
            Providers providers = new Providers(List.of(
                    new GithubProvider(githubSettings, configuration.callbackUrl("github"), client),
                    new ExampleProvider(
                            new ExampleProvider.Settings("id", "secret", example.url()),
                            configuration.callbackUrl("example"),
                            client)));
            Tokens tokens = new Tokens(SECRET, Clock.systemUTC());
            AccountFeature accounts = AccountFeature.wire(database.jdbi(), new AttemptLimits(1000, 1000, 1000), tokens);
            List<Route> routes = new ArrayList<>(accounts.routes());
            routes.addAll(OauthFeature.routes(providers, configuration, accounts.accounts(), tokens, SECRET));
            try (var passwords = accounts.accounts();
                    WebServer server = WebServer.start(
                            new InetSocketAddress(InetAddress.getLoopbackAddress(), here.getPort()),
                            new HttpSettings(
                                    Duration.ofSeconds(30),
                                    Duration.ofSeconds(30),
                                    100,
                                    100,
                                    new TrustedProxies(Set.of()),
                                    new RequestLimits(1000, 1000, 1000, 1000)),
                            routes,
                            new Authenticator(tokens::verify, key -> Optional.empty()),
                            telemetry)) {
                assertThat(server.port()).isEqualTo(here.getPort());
                assertThat(passwords).isNotNull();
                logIn(here, github, example);
            }
        }
    }

    private static void logIn(URI here, FakeGithub github, ExampleProvider.Server example) {
        github.add(FakeGithub.Person.of(7, "Ada", "ada@example.org"));
        example.person = "{\"sub\":\"7\",\"name\":\"Grace\",\"email\":\"grace@example.org\",\"email_verified\":true}";
        OauthBrowser byGithub = new OauthBrowser(here, "github");
        OauthBrowser byExample = new OauthBrowser(here, "example");
        Map<String, String> ada = byGithub.logIn(7).session();
        OauthBrowser.Ended ended = byExample.logIn(0);
        Map<String, String> grace = ended.session();
        assertThat(ended.location()).startsWith(here + "/auth/example/callback#");
        assertThat(grace.get("user_id")).isNotEqualTo(ada.get("user_id")); // the same id at another provider
        assertThat(grace).containsEntry("email", "grace@example.org");
        assertThat(byExample.logIn(0).session()).containsEntry("user_id", grace.get("user_id"));
        assertThat(Api.at(here)
                        .withToken(String.valueOf(grace.get("token")))
                        .get("/v1/me")
                        .json())
                .containsEntry("login_methods", List.of("example"));
        assertThat(OauthBrowser.get(here + "/auth/example/callback", Map.of()).statusCode())
                .isEqualTo(200);

        example.person = "{\"sub\":\"8\",\"email\":\"ADA@example.org\",\"email_verified\":true}";
        assertThat(byExample.logIn(0).error()).isEqualTo("email_taken");
        example.person = "{\"sub\":\"9\",\"email\":\"new@example.org\",\"email_verified\":false}";
        assertThat(byExample.logIn(0).error()).isEqualTo("exchange_failed");

        OauthBrowser.Begun begun = byGithub.begin(); // one provider's cookie with the other's answer
        String answer = OauthBrowser.approve(begun, "7").replace("/oauth/github/", "/oauth/example/");
        assertThat(OauthBrowser.end(answer, Map.of("Cookie", begun.cookie())).error())
                .isEqualTo("invalid_state");
        assertThat(OauthBrowser.get(here + "/v1/auth/oauth/other", Map.of()).statusCode())
                .isEqualTo(404);
    }

    @Test
    void twoProvidersOfOneNameAreRefused() {
        try (ProviderClient client = new ProviderClient(Duration.ofSeconds(1))) {
            URI url = URI.create("http://127.0.0.1:1");
            Provider one = new ExampleProvider(new ExampleProvider.Settings("a", "b", url), url, client);
            assertThatThrownBy(() -> new Providers(List.of(one, one))).isInstanceOf(IllegalArgumentException.class);
        }
    }
}
