package dev.sandglass.acceptance;

import java.nio.file.Files;
import java.nio.file.Path;

/** Where the sources are, with the script that everybody starts. */
final class Repository {
    static final Path ROOT = find(Path.of("").toAbsolutePath());
    static final String SCRIPT = ROOT.resolve("sandglass").toString();

    /** Outlives the test run: images take half a minute and a download. */
    static final Path CACHE = ROOT.resolve("build/acceptance");

    private Repository() {}

    private static Path find(Path from) {
        for (Path directory = from; directory != null; directory = directory.getParent()) {
            if (Files.isExecutable(directory.resolve("sandglass")) && Files.exists(directory.resolve("acceptance"))) {
                return directory;
            }
        }
        throw new IllegalStateException("not inside the repository: " + from);
    }
}
