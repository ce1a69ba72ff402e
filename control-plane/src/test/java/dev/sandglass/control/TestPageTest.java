package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import com.microsoft.playwright.Browser.NewContextOptions;
import com.microsoft.playwright.BrowserContext;
import com.microsoft.playwright.Locator;
import com.microsoft.playwright.Page;
import com.microsoft.playwright.options.AriaRole;
import com.microsoft.playwright.options.WaitForSelectorState;
import dev.sandglass.control.testing.Chromium;
import dev.sandglass.control.testing.FakeGithub;
import dev.sandglass.control.testing.OauthBrowser;
import dev.sandglass.control.testing.TestPlane;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
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
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The page /test in a real browser, as far as no machine is needed: its life with machines is an acceptance test. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class TestPageTest {
    private static final String REFUSED = "Failed to load resource: the server responded with a status of ";

    private final URI here = OauthBrowser.freeAddress();
    private final List<String> complaints = new ArrayList<>();
    private FakeGithub github;
    private TestPlane test;
    private Chromium chromium;
    private BrowserContext context;
    private Page page;

    @BeforeAll
    void start() {
        github = new FakeGithub();
        github.add(FakeGithub.Person.of(7, "Ada Lovelace", "ada@example.org"));
        Map<String, String> settings = new HashMap<>(github.settings(here));
        settings.put("CP_LISTEN_ADDR", here.getAuthority());
        test = TestPlane.start(settings);
        chromium = new Chromium();
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
        context = chromium.browser.newContext(new NewContextOptions().setViewportSize(1280, 900));
        page = watched(context, complaints);
    }

    /** Violations of the page's policy are among what a console says. */
    private static Page watched(BrowserContext context, List<String> complaints) {
        Page page = context.newPage();
        page.onConsoleMessage(message -> complaints.add(message.text()));
        page.onPageError(complaints::add);
        return page;
    }

    @AfterEach
    void close() {
        context.close();
        complaints.removeIf(Chromium::isOfTheNetwork);
        assertThat(complaints).as("of the browser's console").isEmpty();
    }

    /** The browser writes down what the server refused; a refusal was expected. */
    private void forgetRefusal(int status) {
        assertThat(complaints).anyMatch(text -> text.startsWith(REFUSED + status));
        complaints.removeIf(text -> text.startsWith(REFUSED + status));
    }

    private void open(URI server) {
        Chromium.visit(page, () -> page.navigate(server + "/test"), "#enter");
    }

    private void enter(TestPlane.Person person) {
        open(here);
        page.getByLabel("E-mail").fill(person.email());
        page.getByLabel("Password").fill(TestPlane.password());
        page.locator("#enter").click();
        page.locator("#desk").waitFor();
    }

    private Locator problem(String where) {
        return page.locator(where + " .problem");
    }

    @Test
    void githubLetsSomebodyInAndBringsThemBack() {
        open(here);
        page.getByText("Continue with GitHub").click();
        page.locator("#desk").waitFor();
        assertThat(page.url()).isEqualTo(here + "/test");
        assertThat(page.locator("#email").textContent()).isEqualTo("ada@example.org");
        page.reload();
        page.locator("#desk").waitFor();
        page.getByText("Log out").click();
        page.locator("#entrance").waitFor();
        assertThat(page.evaluate("sessionStorage.length")).isEqualTo(0);
        page.reload();
        page.locator("#entrance").waitFor();
    }

    @Test
    void githubIsOfferedOnlyWhereItIsConfigured() {
        try (TestPlane without = TestPlane.start()) {
            open(without.plane.url());
            page.waitForResponse("**/v1/auth/oauth", page::reload);
            assertThat(page.locator("#github").isVisible()).isFalse();
            assertThat(without.api().get("/v1/auth/oauth").json()).containsEntry("providers", List.of());
        }
        assertThat(test.api().get("/v1/auth/oauth").json()).containsEntry("providers", List.of("github"));
    }

    @Test
    void whatTheServerRefusesIsSaidWhereItWasAskedInTheServersWords() {
        TestPlane.Person person = test.signUp();
        open(here);
        page.getByLabel("E-mail").fill(person.email());
        page.getByLabel("Password").fill("not her password");
        page.locator("#enter").click();
        problem("#entrance-problems").waitFor();
        forgetRefusal(401);
        page.locator("#switch").click();
        page.getByLabel("Password").fill("some other password");
        page.locator("#enter").click();
        problem("#entrance-problems").locator("button").first().click();
        forgetRefusal(409);
        assertThat(page.locator("#enter").textContent()).isEqualTo("Log in");
        page.getByLabel("Password").fill(TestPlane.password());
        page.locator("#enter").click();
        page.locator("#desk").waitFor();

        page.getByLabel("Memory, MB").fill("100");
        page.locator("#create-button").click();
        assertThat(problem("#create-problems").textContent()).contains("memory_mb", "invalid_request");
        forgetRefusal(400);
        picture("errors-1280");
        problem("#create-problems").getByLabel("Dismiss").click();
        assertThat(problem("#create-problems").count()).isZero();
        assertThat(page.locator("#activity .failed").first().textContent()).contains("Creating a sandbox", "memory_mb");
    }

    @Test
    void namesAreTextWhateverStandsInThem() {
        TestPlane.Person person = test.signUp();
        String attack = "<img src=x onerror=alert(1)>";
        enter(person);
        page.locator("#key-name").fill(attack);
        page.locator("#key-button").click();
        page.locator("#new-key").waitFor();
        assertThat(page.locator("#key-list .what").first().textContent()).startsWith(attack);
        assertThat(page.locator("#activity li").first().textContent()).contains(attack);
        assertThat(page.locator("img").count()).isZero();
        assertThat(page.evaluate("() => { try { document.body.innerHTML = '<p>'; return 'taken' }"
                        + " catch { return 'refused' } }"))
                .as("HTML out of text")
                .isEqualTo("refused");
        complaints.removeIf(text -> text.contains("TrustedHTML"));
    }

    @Test
    void aLoginThatHasEndedLeadsBackToTheEntrance() {
        enter(test.signUp());
        page.evaluate("sessionStorage.setItem('sandglass.session', JSON.stringify({token: 'x', email: 'e'}))");
        page.locator("#refresh").click();
        page.locator("#entrance").waitFor();
        assertThat(problem("#entrance-problems").textContent()).contains("Log in again");
        complaints.removeIf(text -> text.startsWith(REFUSED + 401));
    }

    @Test
    void aServerThatIsAwayIsSaidAndTriedAgain() {
        enter(test.signUp());
        page.locator("#no-sandboxes").waitFor();
        page.route("**/v1/sandboxes?*", route -> route.abort());
        page.locator("#refresh").click();
        assertThat(problem("#list-problems").textContent()).contains("cannot be reached", "./sandglass up");
        page.unroute("**/v1/sandboxes?*");
        page.locator("#refresh").click();
        problem("#list-problems").waitFor(new Locator.WaitForOptions().setState(WaitForSelectorState.DETACHED));
        complaints.removeIf(text -> text.contains("ERR_FAILED"));
    }

    @ParameterizedTest
    @ValueSource(ints = {1280, 768, 390})
    void thereIsNothingToScrollSidewaysAndEveryFieldHasItsName(int width) {
        page.setViewportSize(width, 844);
        open(here);
        assertFits(width);
        picture("entrance-" + width);
        enter(test.signUp());
        page.locator("#create-button").click();
        page.locator(".sandbox").waitFor();
        for (String tab : List.of("Terminal", "Command", "Files")) {
            page.getByRole(AriaRole.TAB, new Page.GetByRoleOptions().setName(tab))
                    .click();
            assertFits(width);
            assertThat(page.evaluate("[...document.querySelectorAll('input, select, button')]"
                            + ".filter(field => field.checkVisibility() && !field.labels?.length && !field.textContent.trim()"
                            + " && !field.ariaLabel).map(field => field.outerHTML)"))
                    .as("fields without a name")
                    .isEqualTo(List.of());
        }
        problem("[data-panel=files]").waitFor(); // the fake machine has no /root
        forgetRefusal(404);
        picture("desk-" + width);
    }

    private void assertFits(int width) {
        assertThat(page.evaluate("document.documentElement.scrollWidth")).isEqualTo(width);
    }

    /** To be looked at, when -Dsandglass.pictures names a folder. */
    private void picture(String name) {
        String folder = System.getProperty("sandglass.pictures");
        if (folder != null) {
            page.screenshot(new Page.ScreenshotOptions()
                    .setPath(Path.of(folder, name + ".png"))
                    .setFullPage(true));
        }
    }

    @Test
    void whatIsInTheFolderIsServed() throws IOException {
        try (var files = Files.list(Path.of("../web/test"))) {
            for (Path file : files.toList()) {
                String name = file.getFileName().toString();
                String path = name.equals("index.html") ? "/test" : "/test/" + name;
                assertThat(test.api().get(path).status()).as(path).isEqualTo(200);
            }
        }
        assertThat(test.api().get("/test/index.html").status()).isEqualTo(404);
        page.navigate("about:blank");
    }
}
