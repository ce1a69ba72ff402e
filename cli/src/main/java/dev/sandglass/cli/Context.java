package dev.sandglass.cli;

import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.server.Settings;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What every command works with; tests give their own. */
record Context(Map<String, String> environment, Path root, InputStream in, PrintStream out, PrintStream err) {
    static Context ofProcess() {
        return new Context(
                System.getenv(),
                Path.of(Optional.ofNullable(System.getProperty("sandglass.root"))
                        .orElse(".")),
                System.in,
                stream(FileDescriptor.out),
                stream(FileDescriptor.err));
    }

    /** UTF-8 whatever the locale: a service or a container often has none, and terminals are UTF-8. */
    private static PrintStream stream(FileDescriptor descriptor) {
        return new PrintStream(new FileOutputStream(descriptor), true, StandardCharsets.UTF_8);
    }

    Settings settings() {
        return Settings.load(environment, List.of(Path.of(""), root));
    }

    Api api() {
        return new Api(settings().access());
    }

    boolean debug() {
        return "1".equals(environment.get("SANDGLASS_DEBUG"));
    }
}
