package dev.sandglass.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** With the real podman, where it is installed. */
class PodmanTest {
    private static final String NAME = "bench-test-" + ProcessHandle.current().pid();

    @Test
    void runAndExecAreTimedAndNoContainerIsLeft(@TempDir Path directory) throws Podman.Missing {
        assumeTrue(Program.run(Duration.ofSeconds(10), "runc", "--version").isPresent(), "runc is not installed");
        assumeTrue(Program.run(Duration.ofSeconds(10), "podman", "--version").isPresent(), "podman is not installed");

        try (Podman podman = Podman.start(directory, NAME)) {
            assertThat(podman.run()).isPositive();
            assertThat(podman.exec()).isPositive();
            assertThat(containers()).contains(NAME);
        }
        assertThat(containers()).doesNotContain(NAME);
    }

    private static String containers() {
        return Program.run(Duration.ofSeconds(10), "podman", "ps", "--all", "--format", "{{.Names}}")
                .orElseThrow()
                .output();
    }
}
