package dev.sandglass.control.page;

import dev.sandglass.control.http.Route;
import dev.sandglass.control.http.StaticFiles;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** /test: the page of the folder web/, which goes through the whole life of sandboxes. */
public final class TestPage {
    /** Below web/test; the build puts them beside this class. */
    private static final List<String> FILES = List.of(
            "activity.js",
            "api.js",
            "command.js",
            "dialog.js",
            "dom.js",
            "entrance.js",
            "files.js",
            "format.js",
            "icon.svg",
            "keys.js",
            "main.js",
            "page.css",
            "problems.js",
            "sandboxes.js",
            "session.js",
            "snapshots.js",
            "terminal.js",
            "workspace.js");

    /** The terminal, of package.json. */
    private static final List<String> LIBRARY_FILES = List.of("addon-fit.mjs", "xterm.css", "xterm.mjs");

    /**
     * The terminal puts its colours and sizes into style elements. Scripts cannot turn text into HTML at all: a browser
     * that knows trusted types refuses it, whatever the code says.
     */
    private static final String POLICY =
            StaticFiles.STRICT_POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
                    + "; require-trusted-types-for 'script'; trusted-types 'none'";

    private TestPage() {}

    public static List<Route> routes() {
        Map<String, String> files = new TreeMap<>();
        FILES.forEach(name -> files.put(name, "test/" + name));
        LIBRARY_FILES.forEach(name -> files.put(name, "xterm/" + name));
        return StaticFiles.beside(TestPage.class)
                .page("/test", "test/index.html", POLICY)
                .folder("/test", files)
                .routes();
    }
}
