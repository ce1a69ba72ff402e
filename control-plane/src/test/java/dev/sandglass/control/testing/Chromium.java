package dev.sandglass.control.testing;

import com.microsoft.playwright.Browser;
import com.microsoft.playwright.BrowserType.LaunchOptions;
import com.microsoft.playwright.Locator;
import com.microsoft.playwright.Page;
import com.microsoft.playwright.Playwright;
import com.microsoft.playwright.PlaywrightException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** A real headless browser: the system's Chromium, never a downloaded one. Used by one thread. */
public final class Chromium implements AutoCloseable {
    private static final Path PROGRAM = Path.of("/usr/bin/chromium");

    private final Playwright playwright;
    public final Browser browser;

    public Chromium() {
        if (!Files.isExecutable(PROGRAM)) {
            throw new IllegalStateException(PROGRAM + " is needed: apt-get install chromium, or ./sandglass test");
        }
        playwright = Playwright.create(
                new Playwright.CreateOptions().setEnv(Map.of("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")));
        try {
            browser = playwright
                    .chromium()
                    .launch(new LaunchOptions()
                            .setExecutablePath(PROGRAM)
                            .setArgs(List.of(
                                    "--no-sandbox",
                                    "--disable-gpu",
                                    "--disable-quic",
                                    "--no-first-run",
                                    "--disable-background-networking",
                                    "--disable-component-update",
                                    "--disable-sync")));
        } catch (RuntimeException e) {
            playwright.close();
            throw e;
        }
    }

    /**
     * Goes somewhere until something is shown there. Chromium drops what it is loading when the machine's network changes,
     * which it does whenever a sandbox comes or goes.
     *
     * @param shown selector
     */
    public static void visit(Page page, Runnable going, String shown) {
        for (int left = 3; ; left--) {
            try {
                going.run();
                page.locator(shown).waitFor(new Locator.WaitForOptions().setTimeout(left == 1 ? 30_000 : 10_000));
                return;
            } catch (PlaywrightException e) {
                if (left == 1) {
                    throw e;
                }
            }
        }
    }

    /** Whether a message of the console is about that, and says nothing of the page. */
    public static boolean isOfTheNetwork(String message) {
        return message.contains("ERR_NETWORK_CHANGED");
    }

    @Override
    public void close() {
        playwright.close();
    }
}
