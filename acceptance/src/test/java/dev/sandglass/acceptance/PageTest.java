package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.microsoft.playwright.Browser.NewContextOptions;
import com.microsoft.playwright.BrowserContext;
import com.microsoft.playwright.Download;
import com.microsoft.playwright.Locator;
import com.microsoft.playwright.Page;
import com.microsoft.playwright.options.ColorScheme;
import com.microsoft.playwright.options.FilePayload;
import com.microsoft.playwright.options.WaitForSelectorState;
import dev.sandglass.control.testing.Chromium;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** The page /test in a real browser, from sign-up on, with real machines. Nothing may stand in the browser's console. */
@Order(15)
@ExtendWith(Shared.class)
class PageTest {
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final String EMAIL = "page@example.org";
    private static final String PASSWORD = "correct horse battery";

    private final List<String> complaints = new ArrayList<>();
    private Chromium chromium;
    private BrowserContext context;
    private Page page;

    @BeforeEach
    void open() {
        chromium = new Chromium();
        context = chromium.browser.newContext(new NewContextOptions().setViewportSize(1280, 900));
        context.setDefaultTimeout((double) PATIENCE.toMillis());
        page = context.newPage();
        page.onConsoleMessage(message -> complaints.add(message.text()));
        page.onPageError(complaints::add);
    }

    @AfterEach
    void close() {
        chromium.close();
    }

    @Test
    void aPersonGoesThroughTheWholeLifeOfASandbox(Installation server) throws IOException {
        Chromium.visit(page, () -> page.navigate(server.url() + "/test"), "#enter");
        Api program = signUpAndMakeAKey(server);
        String id = create();
        try {
            useTheTerminal();
            runACommand();
            byte[] content = upload(program, id);
            download(content);
            reload();
            pauseAndResume();
            endTheTerminal();
            String clone = snapshotAndCreateFromIt(program);
            seeItPausedByItself(clone);
            picture("whole");
            destroy(clone);
            deleteTheSnapshot();
            logOutAndIn();
            destroy(id);
            page.locator("#no-sandboxes").waitFor();
            deleteTheKey(program);
        } finally {
            removeAll(program);
        }
        complaints.removeIf(Chromium::isOfTheNetwork);
        assertThat(complaints).as("of the browser's console").isEmpty();
    }

    private Api signUpAndMakeAKey(Installation server) {
        page.locator("#switch").click();
        enter("Sign up");
        page.locator("#key-name").fill("laptop");
        page.locator("#key-button").click();
        page.locator("#new-key").waitFor();
        String key = page.locator("#new-key-text").inputValue();
        assertThat(key).matches("sgk_[0-9A-Za-z]{40}");
        page.locator("#hide-key").click();
        assertThat(page.locator("body").textContent()).doesNotContain(key).contains("laptop");
        return server.anonymous().withKey(key);
    }

    private void enter(String button) {
        page.getByLabel("E-mail").fill(EMAIL);
        page.getByLabel("Password").fill(PASSWORD);
        page.locator("#enter", new Page.LocatorOptions().setHasText(button)).click();
        page.locator("#desk").waitFor();
    }

    private String create() {
        page.locator("#create-button").click();
        page.locator(".workspace").waitFor();
        return newest();
    }

    /** The id of the first sandbox in the list. */
    private String newest() {
        Locator first = page.locator(".sandbox").first();
        assertThat(first.locator(".status").textContent()).isEqualTo("running");
        return first.locator(".id").textContent();
    }

    private Locator sandbox(String id, String part) {
        return page.locator("[data-sandbox=" + id + "] ." + part);
    }

    private Locator workspace(String part) {
        return page.locator(".workspace:visible ." + part);
    }

    private void awaitText(Locator where, String text) {
        await().atMost(PATIENCE)
                .untilAsserted(() -> assertThat(where.textContent()).contains(text));
    }

    // ---- terminal

    private List<String> lines() {
        return workspace("xterm-rows > div").allTextContents().stream()
                .map(text -> text.replace('\u00a0', ' ').strip())
                .toList();
    }

    private void awaitLine(String line) {
        await().atMost(PATIENCE).untilAsserted(() -> assertThat(lines()).contains(line));
    }

    private void awaitConnected() {
        page.locator(".workspace:visible .terminal-state[data-state=live]").waitFor();
    }

    private void type(String line) {
        workspace("xterm-helper-textarea").focus();
        page.keyboard().type(line + "\n");
    }

    private void useTheTerminal() {
        workspace("start").click();
        awaitConnected();
        type("python3");
        awaitLine(">>>");
        type("6*7");
        awaitLine("42");
        type("kept = 'still ' + 'here'");
        type("import os; was = os.get_terminal_size().columns");
        page.setViewportSize(1100, 900);
        await().atMost(PATIENCE).pollInterval(Duration.ofMillis(500)).until(() -> {
            type("was - os.get_terminal_size().columns > 9");
            return lines().contains("True");
        });
        page.setViewportSize(1280, 900);
    }

    private void reload() {
        Chromium.visit(page, page::reload, ".workspace:visible .terminal-state[data-state=live]");
        awaitLine("42");
    }

    // ---- commands and files

    private void tab(String name) {
        page.locator(".workspace:visible [data-tab=" + name + "]").click();
    }

    private void runACommand() {
        tab("command");
        workspace("command").fill("echo out; echo err >&2; exit 3");
        workspace("run").click();
        awaitText(workspace("verdict"), "exit code 3");
        assertThat(workspace("stdout").textContent()).isEqualTo("out\n");
        assertThat(workspace("stderr").textContent()).isEqualTo("err\n");
        picture("command");
    }

    private byte[] upload(Api program, String id) {
        byte[] content = new byte[3 << 20];
        new Random(7).nextBytes(content);
        tab("files");
        workspace("files").locator("li").first().waitFor();
        workspace("upload").setInputFiles(new FilePayload("bytes ä.bin", "application/octet-stream", content));
        workspace("files").locator("[data-name='bytes ä.bin']").waitFor();
        Sandbox same =
                new Sandbox(program, id, program.get("/v1/sandboxes/" + id).json());
        assertThat(same.sh("stat -c %s '/root/bytes ä.bin'").require()).isEqualTo(Integer.toString(content.length));
        return content;
    }

    private void download(byte[] content) throws IOException {
        Download download = page.waitForDownload(
                () -> workspace("files").getByLabel("Download bytes ä.bin").click());
        assertThat(download.suggestedFilename()).isEqualTo("bytes ä.bin");
        Path file = download.path();
        assertThat(Files.readAllBytes(file)).isEqualTo(content);
        picture("files");
        tab("terminal");
    }

    // ---- time

    private void pauseAndResume() {
        String id = newest();
        sandbox(id, "pause").click();
        awaitText(sandbox(id, "status"), "paused");
        awaitText(workspace("asleep"), "It is paused");
        awaitText(workspace("terminal-state"), "goes on when it runs again");
        picture("paused");
        workspace("wake").click();
        awaitText(sandbox(id, "status"), "running");
        awaitConnected();
        type("kept");
        awaitLine("'still here'");
        sandbox(id, "ping").click();
        awaitText(page.locator("#activity"), "Pinged " + id);
    }

    /** Or it would run in the clone, too, and keep that awake. */
    private void endTheTerminal() {
        workspace("stop").click();
        awaitText(workspace("terminal-state"), "Ended");
    }

    private String snapshotAndCreateFromIt(Api program) {
        String id = newest();
        sandbox(id, "snapshot").click();
        page.locator("#dialog").getByLabel("Name").fill("from-the-page");
        picture("dialog");
        page.locator("#dialog-yes").click();
        page.locator("[data-snapshot=from-the-page]").waitFor();
        page.getByLabel("Template").selectOption("from-the-page");
        assertThat(page.getByLabel("Memory, MB").isDisabled()).isTrue();
        page.getByLabel("Auto-pause after").fill("2");
        page.getByLabel("Create a sandbox from from-the-page").click();
        await().atMost(PATIENCE).until(() -> page.locator(".sandbox").count() == 2);
        String clone = page.locator(".sandbox .id").first().textContent();
        assertThat(clone).isNotEqualTo(id);
        assertThat(program.get("/v1/sandboxes/" + clone).json().path("template").asString(""))
                .isEqualTo("from-the-page");
        return clone;
    }

    private void seeItPausedByItself(String id) {
        awaitText(sandbox(id, "status"), "auto-paused");
        awaitText(page.locator("#activity"), id + " was paused by itself");
    }

    // ---- the end of things

    private void confirm() {
        page.locator("#dialog-yes").click();
    }

    private void destroy(String id) {
        sandbox(id, "destroy").click();
        confirm();
        page.locator("[data-sandbox=" + id + "]")
                .waitFor(new Locator.WaitForOptions().setState(WaitForSelectorState.DETACHED));
    }

    private void deleteTheSnapshot() {
        page.getByLabel("Delete snapshot from-the-page").click();
        confirm();
        page.locator("#no-snapshots").waitFor();
    }

    private void logOutAndIn() {
        page.locator("#log-out").click();
        page.locator("#entrance").waitFor();
        assertThat(page.locator(".sandbox").count()).isZero();
        if (page.locator("#enter").textContent().equals("Sign up")) {
            page.locator("#switch").click();
        }
        enter("Log in");
        page.locator(".sandbox").waitFor();
    }

    private void deleteTheKey(Api program) {
        page.getByLabel("Delete key laptop").click();
        confirm();
        page.locator("#no-keys").waitFor();
        await().atMost(PATIENCE).until(() -> program.get("/v1/sandboxes").status() == 401);
    }

    /** When the test has ended in the middle. */
    private static void removeAll(Api program) {
        if (program.get("/v1/sandboxes").status() == 401) {
            return;
        }
        program.get("/v1/sandboxes")
                .json()
                .forEach(sandbox ->
                        program.delete("/v1/sandboxes/" + sandbox.path("id").asString("")));
        program.get("/v1/snapshots?type=snapshot")
                .json()
                .forEach(snapshot ->
                        program.delete("/v1/snapshots/" + snapshot.path("name").asString("")));
    }

    /** To be looked at, when -Dsandglass.pictures names a folder. */
    private void picture(String name) {
        String folder = System.getProperty("sandglass.pictures");
        if (folder == null) {
            return;
        }
        for (ColorScheme scheme : List.of(ColorScheme.DARK, ColorScheme.LIGHT)) {
            for (int width : List.of(390, 1280)) {
                page.emulateMedia(new Page.EmulateMediaOptions().setColorScheme(scheme));
                page.setViewportSize(width, 900);
                page.screenshot(new Page.ScreenshotOptions()
                        .setPath(Path.of(folder, name + "-" + width + "-" + scheme + ".png"))
                        .setFullPage(true));
            }
        }
    }
}
