package dev.sandglass.host.vmm;

import dev.sandglass.contract.Progress;
import dev.sandglass.host.image.BootImages;
import dev.sandglass.host.image.ImageBuilder;
import dev.sandglass.host.linux.Command;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

/**
 * The images real VMs boot from in tests: built once per machine into a directory that is kept (content-addressed, so it
 * is never stale). {@code SANDGLASS_TEST_IMAGES} names another one.
 */
public final class TestImages {
    private TestImages() {}

    public static BootImages build() {
        return builder(directory()).build(Progress.SILENT);
    }

    public static ImageBuilder builder(Path store) {
        return new ImageBuilder(repository().resolve("images"), guestAgent(), store);
    }

    public static Path directory() {
        String configured = System.getenv("SANDGLASS_TEST_IMAGES");
        return configured != null
                ? Path.of(configured)
                : Path.of(System.getProperty("java.io.tmpdir"), "sandglass-test-images");
    }

    static Path guestAgent() {
        String configured = System.getenv("SANDGLASS_TEST_GUEST_AGENT");
        if (configured != null) {
            return Path.of(configured);
        }
        // Does nothing when it is up to date; tests of an earlier agent would show what is not so.
        Command.of("make", "-s", "-C", repository().resolve("guest-agent").toString())
                .timeout(Duration.ofMinutes(3))
                .run();
        return repository().resolve("guest-agent/build/sandglass-guest-agent");
    }

    public static Path repository() {
        for (Path at = Path.of("").toAbsolutePath(); at != null; at = at.getParent()) {
            if (Files.isDirectory(at.resolve("images")) && Files.isDirectory(at.resolve("contract"))) {
                return at;
            }
        }
        throw new IllegalStateException("not run inside the repository");
    }
}
