package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.ThrowableProxyUtil;
import ch.qos.logback.core.read.ListAppender;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.Concurrently;
import dev.sandglass.control.testing.FakeGithub;
import dev.sandglass.control.testing.FakeGithub.Person;
import dev.sandglass.control.testing.OauthBrowser;
import dev.sandglass.control.testing.OauthBrowser.Begun;
import dev.sandglass.control.testing.OauthBrowser.Ended;
import dev.sandglass.control.testing.TestPlane;
import java.net.URI;
import java.net.http.HttpResponse;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.slf4j.LoggerFactory;

/** Log-in with GitHub, from the first request to the fragment, with a provider that behaves like GitHub. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class OauthTest {
    private static final String SECRET = "0123456789012345678901234567890123456789";
    private static final AtomicLong IDS = new AtomicLong(1000);

    private final FakeGithub github = new FakeGithub();
    private final URI here = OauthBrowser.freeAddress();
    private final OauthBrowser browser = new OauthBrowser(here, "github");
    private TestPlane test;

    @BeforeAll
    void start() {
        test = TestPlane.start(settings(here, Map.of()));
    }

    @AfterAll
    void stop() {
        test.close();
        github.close();
    }

    private Map<String, String> settings(URI address, Map<String, String> more) {
        Map<String, String> settings = new HashMap<>(github.settings(address));
        settings.put("CP_LISTEN_ADDR", address.getAuthority());
        settings.put("JWT_SECRET", SECRET);
        settings.putAll(more);
        return settings;
    }

    private long person(String name, String email) {
        long id = IDS.incrementAndGet();
        github.add(Person.of(id, name, email));
        return id;
    }

    private long count(String query) {
        return Long.parseLong(test.ask("select count(*) from " + query));
    }

    @Test
    void pagesAreToldWhichProvidersThereAre() {
        assertThat(test.api().get("/v1/auth/oauth").json()).containsEntry("providers", List.of("github"));
    }

    @Test
    void theFirstLoginMakesUserTeamAndIdentityAndTheNextFindsThem() {
        long ada = person("Ada Lovelace", "Ada+first@Example.org");
        Ended ended = browser.logIn(ada);
        assertThat(ended.location()).startsWith(here + "/auth/github/callback#token=");
        Map<String, String> session = ended.session();
        assertThat(session.keySet()).containsExactlyInAnyOrder("token", "user_id", "team_id", "email");
        assertThat(session).containsEntry("email", "ada+first@example.org");
        Api api = test.api().withToken(String.valueOf(session.get("token")));
        assertThat(api.get("/v1/me").json())
                .containsEntry("user_id", session.get("user_id"))
                .containsEntry("team_id", session.get("team_id"))
                .containsEntry("login_methods", List.of("github"))
                .containsEntry(
                        "teams",
                        List.of(Map.of(
                                "id",
                                String.valueOf(session.get("team_id")),
                                "name",
                                "Ada Lovelace's Team",
                                "role",
                                "owner",
                                "is_default",
                                true)));
        assertThat(api.post("/v1/api-keys").status()).isEqualTo(201);
        assertThat(count("users where email = 'ada+first@example.org' and password_hash is null"))
                .isEqualTo(1);
        assertThat(count("oauth_providers where provider = 'github' and provider_id = '" + ada + "' and user_id = '"
                        + session.get("user_id") + "'"))
                .isEqualTo(1);

        github.add(Person.of(ada, "Ada King", "countess@example.org")); // the id counts, nothing else
        assertThat(browser.logIn(ada).session())
                .containsEntry("user_id", session.get("user_id"))
                .containsEntry("team_id", session.get("team_id"))
                .containsEntry("email", "ada+first@example.org");
        assertThat(count("users where email = 'countess@example.org'")).isZero();
    }

    @Test
    void whoCameThroughAProviderHasNoPassword() {
        browser.logIn(person("No", "nopassword@example.org")).session();
        Api.Answer answer =
                test.api().post("/v1/auth/login", "{\"email\":\"nopassword@example.org\",\"password\":\"password\"}");
        Api.Answer unknown =
                test.api().post("/v1/auth/login", "{\"email\":\"nobody@example.org\",\"password\":\"password\"}");
        assertThat(answer.status()).isEqualTo(401);
        assertThat(answer.body()).isEqualTo(unknown.body());
        assertThat(test.api()
                        .post("/v1/auth/signup", "{\"email\":\"nopassword@example.org\",\"password\":\"password\"}")
                        .code())
                .isEqualTo("email_taken");
    }

    @Test
    void theProviderIsAskedWithStateAndPkceAndTheCookieIsForUsAlone() {
        HttpResponse<String> response = OauthBrowser.get(here + "/v1/auth/oauth/github/", Map.of());
        assertThat(response.statusCode()).isEqualTo(302);
        String location = response.headers().firstValue("Location").orElseThrow();
        String cookie = response.headers().firstValue("Set-Cookie").orElseThrow();
        assertThat(location).startsWith(github.url() + "/login/oauth/authorize?");
        Map<String, String> query = new Begun(location, cookie).query();
        assertThat(query)
                .containsEntry("client_id", FakeGithub.CLIENT_ID)
                .containsEntry("redirect_uri", here + "/v1/auth/oauth/github/callback")
                .containsEntry("scope", "user:email")
                .containsEntry("code_challenge_method", "S256");
        assertThat(query.get("code_challenge")).hasSize(43);
        assertThat(cookie)
                .matches("oauth_state=[^;]+; Path=/; Max-Age=600; HttpOnly; SameSite=Lax")
                .startsWith("oauth_state=" + query.get("state") + ".github.");
    }

    @Test
    void theCookieIsSecureWhereATrustedProxySaysTls() {
        URI address = OauthBrowser.freeAddress();
        for (String scheme : List.of("https", "HTTPS", "https, http")) {
            assertThat(setCookie(here, scheme)).as(scheme).endsWith("; Secure");
        }
        for (String scheme : List.of("http", "", "http, https", "httpsx")) {
            assertThat(setCookie(here, scheme)).as(scheme).doesNotContain("Secure");
        }
        try (TestPlane elsewhere =
                TestPlane.start(settings(address, Map.of("SANDGLASS_TRUSTED_PROXIES", "192.0.2.1, 2001:db8::1")))) {
            assertThat(elsewhere.plane.url().getPort()).isEqualTo(address.getPort());
            assertThat(setCookie(address, "https")).doesNotContain("Secure");
        }
    }

    private static String setCookie(URI plane, String scheme) {
        return OauthBrowser.get(plane + "/v1/auth/oauth/github", Map.of("X-Forwarded-Proto", scheme))
                .headers()
                .firstValue("Set-Cookie")
                .orElseThrow();
    }

    /** One row for each way an answer may come, in the order in which they are looked at. */
    @Test
    void answersAreLookedAtInOrder() {
        Begun begun = browser.begin();
        String state = String.valueOf(begun.query().get("state"));
        String good = begun.cookie();
        String other = browser.begin().cookie();
        record Row(String query, String cookie, String error) {}
        List<Row> rows = List.of(
                new Row("?error=access_denied&state=" + state, good, "access_denied"),
                new Row("?error=redirect_uri_mismatch", "", "access_denied"),
                new Row("?error=", "", "access_denied"),
                new Row("?error=x&code=c&state=" + state, good, "access_denied"),
                new Row("", "", "invalid_state"),
                new Row("?code=c&state=" + state, "", "invalid_state"),
                new Row("?code=c&state=" + state, "x=1; y=2", "invalid_state"),
                new Row("?code=c&state=" + state, "oauth_state=", "invalid_state"),
                new Row("?code=c&state=" + state, "oauth_state=nonsense", "invalid_state"),
                new Row("?code=c&state=" + state, good + "A", "invalid_state"),
                new Row("?code=c&state=" + state, good.replace(".github.", ".google."), "invalid_state"),
                new Row("?code=c&state=" + state, other, "invalid_state"),
                new Row("?code=c&state=" + state, good + "; " + other, "invalid_state"),
                new Row("?code=c&state=" + state, "xoauth_state=" + good.substring(12), "invalid_state"),
                new Row("?code=c&state=" + state + "A", good, "invalid_state"),
                new Row("?code=c&state=", good, "invalid_state"),
                new Row("?code=c", good, "invalid_state"),
                new Row("?state=%ff%fe&code=c", good, "invalid_state"),
                new Row("?state=" + state, "", "invalid_state"),
                new Row("?state=" + state, good, "missing_code"),
                new Row("?code=&state=" + state, good, "missing_code"),
                new Row("?code=unknown&state=" + state, good, "exchange_failed"),
                new Row("?code=%00%20%C3%A9&state=" + state, good, "exchange_failed"),
                new Row("?code=unknown&state=" + state, "a=1; " + good + "; b=2", "exchange_failed"));
        for (Row row : rows) {
            Ended ended = OauthBrowser.end(
                    here + "/v1/auth/oauth/github/callback" + row.query(),
                    row.cookie().isEmpty() ? Map.of() : Map.of("Cookie", row.cookie()));
            assertThat(ended.location())
                    .as(row.toString())
                    .isEqualTo(here + "/auth/github/callback?error=" + row.error());
            assertThat(ended.setCookie())
                    .as(row.toString())
                    .isEqualTo("oauth_state=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        }
    }

    @Test
    void whoSaysNoAtTheProviderIsToldSo() {
        Begun begun = browser.begin();
        String answer = OauthBrowser.approve(begun, "denies");
        assertThat(OauthBrowser.end(answer, Map.of("Cookie", begun.cookie())).error())
                .isEqualTo("access_denied");
    }

    @Test
    void aCookieOfAnotherSecretIsForeignAndOneOfTheSameSecretIsGoodElsewhere() {
        long id = person("Two", "two-planes@example.org");
        URI sameAddress = OauthBrowser.freeAddress();
        URI otherAddress = OauthBrowser.freeAddress();
        Map<String, String> database = Map.of("DATABASE_URL", test.environment.get("DATABASE_URL"));
        Map<String, String> sameSettings = new HashMap<>(settings(sameAddress, database));
        sameSettings.put("CP_PUBLIC_URL", here.toString()); // one address for both, as behind a balancer
        Map<String, String> otherSettings = new HashMap<>(settings(otherAddress, database));
        otherSettings.put("JWT_SECRET", "x".repeat(40));
        try (TestPlane same = TestPlane.start(sameSettings);
                TestPlane other = TestPlane.start(otherSettings)) {
            Begun begun = browser.begin();
            String answer = OauthBrowser.approve(begun, Long.toString(id));
            Map<String, String> cookie = Map.of("Cookie", begun.cookie());
            String foreign = answer.replace(here.toString(), other.plane.url().toString());
            assertThat(OauthBrowser.end(foreign, cookie).error()).isEqualTo("invalid_state");
            String here2 = answer.replace(here.toString(), same.plane.url().toString());
            Map<String, String> session = OauthBrowser.end(here2, cookie).session();
            assertThat(browser.logIn(id).session()).containsEntry("user_id", session.get("user_id"));
        }
    }

    @Test
    void fiftyFirstLoginsOfOneIdentityMakeOneUser() {
        long id = person("Race", "race-of-one@example.org");
        List<Ended> ended = Concurrently.run(50, i -> browser.logIn(id));
        assertThat(ended).allSatisfy(end -> assertThat(end.error()).isEmpty());
        assertThat(ended.stream().map(end -> end.session().get("user_id")).distinct())
                .hasSize(1);
        assertThat(ended.stream().map(end -> end.session().get("team_id")).distinct())
                .hasSize(1);
        assertThat(count("users where email = 'race-of-one@example.org'")).isEqualTo(1);
        assertThat(count("teams where name = 'Race''s Team'")).isEqualTo(1);
        assertThat(count("oauth_providers where provider_id = '" + id + "'")).isEqualTo(1);
    }

    @Test
    void ofFiftyIdentitiesWithOneEmailOneGetsInAndTheOthersNever() {
        List<Long> ids = java.util.stream.IntStream.range(0, 50)
                .mapToObj(i -> person("Many", "race-of-many@example.org"))
                .toList();
        List<Ended> ended = Concurrently.run(50, i -> browser.logIn(ids.get(i)));
        Map<String, Long> errors = ended.stream().collect(Collectors.groupingBy(Ended::error, Collectors.counting()));
        assertThat(errors).isEqualTo(Map.of("", 1L, "email_taken", 49L));
        assertThat(count("users where email = 'race-of-many@example.org'")).isEqualTo(1);
        assertThat(count("teams where name = 'Many''s Team'")).isEqualTo(1);
        assertThat(count("oauth_providers where email = 'race-of-many@example.org'"))
                .isEqualTo(1);
        for (int i = 0; i < 50; i++) {
            if (!ended.get(i).error().isEmpty() && i % 10 == 0) {
                assertThat(browser.logIn(ids.get(i)).error()).isEqualTo("email_taken");
            }
        }
    }

    @Test
    void signUpsAndFirstLoginsOfOneEmailMakeOneUser() {
        long id = person("Mixed", "mixed-race@example.org");
        List<Boolean> in = Concurrently.run(
                20,
                i -> i % 2 == 0
                        ? browser.logIn(id).error().isEmpty()
                        : test.api()
                                        .post(
                                                "/v1/auth/signup",
                                                "{\"email\":\"mixed-race@example.org\",\"password\":\"password\"}")
                                        .status()
                                == 201);
        assertThat(in).contains(true);
        assertThat(count("users where email = 'mixed-race@example.org'")).isEqualTo(1);
        long identities = count("oauth_providers where email = 'mixed-race@example.org'");
        long withPassword = count("users where email = 'mixed-race@example.org' and password_hash is not null");
        assertThat(identities + withPassword).as("never linked").isEqualTo(1);
        assertThat(in.stream().filter(got -> got)).hasSize(identities == 1 ? 10 : 1);
    }

    @Test
    void anAccountIsNotTakenOverByItsEmail() {
        TestPlane.Person owner = test.signUp();
        assertThat(browser.logIn(person("Thief", owner.email())).error()).isEqualTo("email_taken");
        assertThat(browser.logIn(person("Thief", owner.email().toUpperCase(java.util.Locale.ROOT)))
                        .error())
                .isEqualTo("email_taken");
        assertThat(owner.withToken().get("/v1/me").json()).containsEntry("login_methods", List.of("password"));
        assertThat(browser.logIn(person("Local", "local@sandglass.local")).error())
                .as("kept for the installation's owner, even before that account is made")
                .isEqualTo("email_taken");
        assertThat(test.api()
                        .post("/v1/auth/signup", "{\"email\":\"local@sandglass.local\",\"password\":\"password\"}")
                        .code())
                .isEqualTo("email_taken");
    }

    @Test
    void aProviderThatFailsIsExchangeFailedAndTheNextTryWorks() {
        long id = person("Later", "later@example.org");
        for (String path : List.of("/login/oauth/access_token", "/api/v3/user")) {
            github.answerInstead(
                    path, exchange -> FakeGithub.reply(exchange, 200, "text/html", "<html>Unicorn!</html>"));
            assertThat(browser.logIn(id).error()).isEqualTo("exchange_failed");
            github.answerInstead(path, null);
        }
        assertThat(count("users where email = 'later@example.org'")).isZero();
        assertThat(browser.logIn(id).session()).containsEntry("email", "later@example.org");
    }

    @Test
    void anIdentityIsMadeWholeOrNotAtAll() {
        long id = person("Broken", "broken@example.org");
        test.sql("alter table oauth_providers add constraint test_broken check (email <> 'broken@example.org')");
        try {
            assertThat(browser.logIn(id).error()).isEqualTo("exchange_failed");
            assertThat(count("users where email = 'broken@example.org'")).isZero();
            assertThat(count("teams where name = 'Broken''s Team'")).isZero();
        } finally {
            test.sql("alter table oauth_providers drop constraint test_broken");
        }
        assertThat(browser.logIn(id).session()).containsEntry("email", "broken@example.org");
    }

    @Test
    void aProviderThatIsNotThereIsNotFound() {
        for (String path : List.of(
                "/v1/auth/oauth/google",
                "/v1/auth/oauth/google/callback?code=x",
                "/v1/auth/oauth/GITHUB",
                "/v1/auth/oauth/%2e%2e",
                "/v1/auth/oauth/github%0d%0aX:y/callback",
                "/auth/google/callback")) {
            Api.Answer answer = test.api().get(path);
            assertThat(answer.status()).as(path + " " + answer).isIn(400, 404);
            if (answer.status() == 404) {
                assertThat(answer.code()).as(path).isEqualTo("provider_not_found");
            }
            assertThat(answer.header("Set-Cookie")).isEmpty();
        }
        try (TestPlane without = TestPlane.start()) {
            for (String path :
                    List.of("/v1/auth/oauth/github", "/v1/auth/oauth/github/callback", "/auth/github/callback")) {
                assertThat(without.api().get(path).code()).as(path).isEqualTo("provider_not_found");
            }
        }
    }

    @Test
    void theResultGoesToASiteOfItsOwnWhereOneIsConfigured() {
        URI address = OauthBrowser.freeAddress();
        try (TestPlane other =
                TestPlane.start(settings(address, Map.of("OAUTH_REDIRECT_URL", "https://app.example.org/console/")))) {
            assertThat(other.plane.url()).isEqualTo(address);
            OauthBrowser there = new OauthBrowser(address, "github");
            assertThat(there.logIn(person("Site", "site@example.org")).location())
                    .startsWith("https://app.example.org/console/auth/github/callback#token=");
            assertThat(OauthBrowser.end(address + "/v1/auth/oauth/github/callback", Map.of())
                            .location())
                    .isEqualTo("https://app.example.org/console/auth/github/callback?error=invalid_state");
        }
    }

    @Test
    void thePageRunsItsOwnScriptAndNothingElse() {
        HttpResponse<String> page = OauthBrowser.get(here + "/auth/github/callback?error=access_denied", Map.of());
        assertThat(page.statusCode()).isEqualTo(200);
        assertThat(page.headers().firstValue("Content-Type")).contains("text/html; charset=utf-8");
        assertThat(page.headers().firstValue("Content-Security-Policy").orElseThrow())
                .matches("default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; img-src data:;"
                        + " base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
        assertThat(page.headers().firstValue("Referrer-Policy")).contains("no-referrer");
        assertThat(page.headers().firstValue("Cache-Control")).contains("no-store");
        assertThat(page.body()).doesNotContain("http://", "https://", "innerHTML", " src=", " onload=");
    }

    @Test
    void nothingSecretIsLogged() {
        Logger root = (Logger) LoggerFactory.getLogger("dev.sandglass");
        ListAppender<ILoggingEvent> events = new ListAppender<>();
        events.start();
        Level before = root.getLevel();
        root.addAppender(events);
        root.setLevel(Level.TRACE);
        Map<String, String> session;
        Begun begun;
        try {
            session = browser.logIn(person("Log", "log@example.org")).session();
            begun = browser.begin();
            String answer = OauthBrowser.approve(begun, Long.toString(IDS.get()));
            github.answerInstead(
                    "/api/v3/user", exchange -> FakeGithub.reply(exchange, 500, "text/plain", "gho_fake-in-a-body"));
            OauthBrowser.end(answer, Map.of("Cookie", begun.cookie()));
            OauthBrowser.end(answer + "A", Map.of("Cookie", begun.cookie()));
        } finally {
            github.answerInstead("/api/v3/user", null);
            root.setLevel(before);
            root.detachAppender(events);
        }
        String log = List.copyOf(events.list).stream()
                .map(event -> event.getFormattedMessage() + " " + event.getKeyValuePairs() + " "
                        + (event.getThrowableProxy() == null
                                ? ""
                                : ThrowableProxyUtil.asString(event.getThrowableProxy())))
                .collect(Collectors.joining("\n"));
        assertThat(log)
                .contains("log-in through a provider failed")
                .contains("read the profile: the provider answered 500")
                .doesNotContain(
                        FakeGithub.TOKEN_PREFIX,
                        FakeGithub.CODE_PREFIX,
                        FakeGithub.CLIENT_SECRET,
                        SECRET,
                        String.valueOf(session.get("token")),
                        String.valueOf(begun.query().get("state")),
                        begun.cookie().substring("oauth_state=".length()));
    }
}
