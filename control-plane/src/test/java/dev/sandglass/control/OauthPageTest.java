package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import com.microsoft.playwright.BrowserContext;
import com.microsoft.playwright.Page;
import com.microsoft.playwright.options.Cookie;
import dev.sandglass.control.http.Json;
import dev.sandglass.control.testing.Chromium;
import dev.sandglass.control.testing.FakeGithub;
import dev.sandglass.control.testing.OauthBrowser;
import dev.sandglass.control.testing.TestPlane;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** The whole log-in in a real browser. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class OauthPageTest {
    private final URI here = OauthBrowser.freeAddress();
    private final String login = here + "/v1/auth/oauth/github";
    private final String callback = here + "/auth/github/callback";
    private final List<String> complaints = new ArrayList<>();
    private FakeGithub github;
    private TestPlane test;
    private Chromium chromium;
    private BrowserContext context;
    private Page page;

    @BeforeAll
    void start() {
        github = new FakeGithub();
        Map<String, String> settings = new HashMap<>(github.settings(here));
        settings.put("CP_LISTEN_ADDR", here.getAuthority());
        test = TestPlane.start(settings);
        chromium = new Chromium();
        github.add(FakeGithub.Person.of(7, "Ada Lovelace", "ada@example.org"));
    }

    @AfterAll
    void stop() {
        chromium.close();
        test.close();
        github.close();
    }

    @BeforeEach
    void open() {
        complaints.clear();
        context = chromium.browser.newContext();
        page = context.newPage();
        page.onConsoleMessage(message -> {
            if (!message.location().contains("/favicon.ico")) { // pages without one of their own ask for it
                complaints.add(message.text());
            }
        });
        page.onPageError(complaints::add);
    }

    @AfterEach
    void close() {
        context.close();
        assertThat(complaints).as("of the browser's console").isEmpty();
    }

    private String title() {
        return page.locator("h1").textContent();
    }

    private String kept(String key) {
        return String.valueOf(page.evaluate("key => sessionStorage.getItem(key)", key));
    }

    @Test
    void aBrowserThatIsSentToLogInEndsLoggedInWithNothingInItsAddressBar() {
        page.navigate(login);
        page.waitForURL(callback);
        assertThat(title()).isEqualTo("Logged in");
        assertThat(page.locator("main").textContent()).contains("ada@example.org");
        assertThat(page.url()).isEqualTo(callback);
        @SuppressWarnings("unchecked")
        Map<String, String> session = Json.read(kept("sandglass.session").getBytes(StandardCharsets.UTF_8), Map.class);
        assertThat(session.keySet()).containsExactlyInAnyOrder("token", "user_id", "team_id", "email");
        assertThat(test.api()
                        .withToken(String.valueOf(session.get("token")))
                        .get("/v1/me")
                        .json())
                .containsEntry("user_id", session.get("user_id"))
                .containsEntry("login_methods", List.of("github"));
        assertThat(context.cookies().stream().map(cookie -> cookie.name)).doesNotContain("oauth_state");
        page.reload();
        assertThat(title()).as("for as long as the tab lives").isEqualTo("Logged in");
    }

    @Test
    void thePageGoesOnToWhereItIsToldAndNeverToAnotherSite() {
        page.navigate(here + "/healthz");
        page.evaluate("sessionStorage.setItem('sandglass.return', '/healthz?back')");
        page.navigate(login);
        page.waitForURL(here + "/healthz?back");
        assertThat(kept("sandglass.session")).contains("ada@example.org");
        assertThat(kept("sandglass.return")).isEqualTo("null");
        for (String elsewhere : List.of(
                "//evil.example/",
                "https://evil.example/",
                "\\\\\\\\evil.example",
                "/\\\\evil.example",
                "javascript:alert(1)")) {
            page.evaluate("to => sessionStorage.setItem('sandglass.return', to)", elsewhere);
            page.navigate(login);
            page.waitForURL(callback);
            assertThat(title()).isEqualTo("Logged in");
        }
    }

    @Test
    void whoSaysNoIsToldSoAndMayTryAgain() {
        context.addCookies(
                List.of(new Cookie("user_session", "denies").setUrl(github.url().toString())));
        page.navigate(login);
        page.waitForURL(callback);
        assertThat(title()).isEqualTo("Log-in failed");
        assertThat(page.locator("main").textContent()).contains("GitHub was not allowed");
        assertThat(kept("sandglass.session")).isEqualTo("null");
        context.clearCookies();
        page.locator("a").click();
        page.waitForURL(callback);
        page.locator("text=ada@example.org").waitFor();
        assertThat(title()).isEqualTo("Logged in");
    }

    @Test
    void whatStandsInTheAddressIsTextAndNothingElse() {
        String attack = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E";
        page.navigate(callback + "?error=" + attack);
        assertThat(title()).isEqualTo("Log-in failed");
        page.navigate(callback + "?x#token=t&user_id=u&team_id=t&email=" + attack);
        assertThat(page.locator("main").textContent()).contains("<img src=x onerror=alert(1)>");
        assertThat(page.locator("img").count()).isZero();
        page.navigate(here + "/healthz");
        page.evaluate("sessionStorage.clear()");
        page.navigate(callback + "#token=t");
        assertThat(title()).as("half a session is none").isEqualTo("Not logged in");
        assertThat(page.url()).isEqualTo(callback);
    }
}
