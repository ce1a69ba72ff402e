package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import com.microsoft.playwright.Browser.NewContextOptions;
import com.microsoft.playwright.BrowserContext;
import com.microsoft.playwright.Page;
import com.microsoft.playwright.Request;
import dev.sandglass.control.testing.Chromium;
import dev.sandglass.control.testing.TestPlane;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The document's page in a real browser. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class DocsPageTest {
    private TestPlane test;
    private Chromium chromium;

    @BeforeAll
    void start() {
        test = TestPlane.start();
        chromium = new Chromium();
    }

    @AfterAll
    void stop() {
        chromium.close();
        test.close();
    }

    @ParameterizedTest
    @ValueSource(ints = {1280, 390})
    void theDocumentIsShownWithEverythingFromHereAndNothingToComplainAbout(int width) {
        List<String> complaints = new ArrayList<>();
        List<String> requests = new ArrayList<>();
        try (BrowserContext context =
                chromium.browser.newContext(new NewContextOptions().setViewportSize(width, 900))) {
            Page page = context.newPage();
            page.onConsoleMessage(message -> complaints.add(message.text())); // violations of the policy are among them
            page.onPageError(complaints::add);
            page.onRequest(request -> requests.add(request.url()));
            page.onRequestFailed(request -> complaints.add(request.url()));
            page.navigate(test.plane.url() + "/docs");
            page.locator(".opblock").first().waitFor();
            assertThat(page.locator(".opblock").count())
                    .isEqualTo(test.plane.wiring().routes.size());
            photograph(page, "docs-" + width);
            page.locator("#operations-sandbox-createSandbox .opblock-summary").click();
            page.locator("#operations-sandbox-createSandbox .responses-table")
                    .first()
                    .waitFor();
            photograph(page, "docs-open-" + width);
            assertThat(page.evaluate("document.documentElement.scrollWidth"))
                    .as("nothing to scroll sideways")
                    .isEqualTo(width);
        }
        assertThat(complaints).isEmpty();
        assertThat(requests).allMatch(url -> url.startsWith(test.plane.url().toString()) || url.startsWith("data:"));
    }

    /** To be looked at, where -Dsandglass.pictures names a directory. */
    private static void photograph(Page page, String name) {
        String pictures = System.getProperty("sandglass.pictures");
        if (pictures != null) {
            page.screenshot(new Page.ScreenshotOptions().setPath(Path.of(pictures, name + ".png")));
        }
    }

    @Test
    void aRequestCanBeTriedFromThePage() {
        TestPlane.Person person = test.signUp();
        try (BrowserContext context = chromium.browser.newContext()) {
            Page page = context.newPage();
            page.navigate(test.plane.url() + "/docs");
            page.locator(".btn.authorize").first().click();
            page.locator(".auth-container input").first().fill(keyOf(person));
            page.locator(".auth-container .authorize").first().click();
            page.locator(".btn-done").first().click();
            page.locator("#operations-sandbox-createSandbox .opblock-summary").click();
            page.locator("#operations-sandbox-createSandbox .try-out__btn").click();
            Request sent = page.waitForRequest(
                    "**/v1/sandboxes",
                    () -> page.locator("#operations-sandbox-createSandbox .execute")
                            .click());
            assertThat(sent.response().status()).isEqualTo(201);
            page.locator(".live-responses-table .response-col_status").first().waitFor();
        }
        assertThat(person.withKey().get("/v1/sandboxes").list()).hasSize(1);
    }

    private static String keyOf(TestPlane.Person person) {
        return person.withToken().post("/v1/api-keys").text("key");
    }
}
