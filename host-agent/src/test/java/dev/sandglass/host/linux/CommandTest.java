package dev.sandglass.host.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;

class CommandTest {
    @Test
    void returnsWhatTheCommandPrints() {
        assertThat(Command.of("echo", "a  b; $HOME").run()).isEqualTo("a  b; $HOME\n");
    }

    @Test
    void passesTextToStdin() {
        String text = "x".repeat(200_000);
        assertThat(Command.of("cat").stdin(text).run()).isEqualTo(text);
    }

    @Test
    void aCommandThatReadsNothingIsNoError() {
        assertThat(Command.of("true").stdin("x".repeat(1 << 20)).run()).isEmpty();
    }

    @Test
    void aFailureTellsArgvStatusAndTheEndOfStderr() {
        assertThatThrownBy(
                        () -> Command.of("sh", "-c", "seq 100000 >&2; exit 3").run())
                .isInstanceOfSatisfying(CommandFailed.class, e -> {
                    assertThat(e.exit()).isEqualTo(3);
                    assertThat(e.argv()).startsWith("sh", "-c");
                    assertThat(e.stderr()).endsWith("99999\n100000\n").hasSizeLessThanOrEqualTo(8 << 10);
                });
    }

    @Test
    void aMissingProgramIsAFailureLikeAnyOther() {
        assertThatThrownBy(() -> Command.of("no-such-program-here").run())
                .isInstanceOfSatisfying(
                        CommandFailed.class, e -> assertThat(e.exit()).isEqualTo(CommandFailed.NOT_STARTED));
    }

    @Test
    void aCommandThatTakesTooLongIsKilledWithItsChildren() {
        long started = System.nanoTime();
        assertThatThrownBy(() -> Command.of("sh", "-c", "sleep 61.75 & sleep 61.75")
                        .timeout(Duration.ofMillis(200))
                        .run())
                .isInstanceOfSatisfying(
                        CommandFailed.class, e -> assertThat(e.exit()).isEqualTo(CommandFailed.KILLED));
        assertThat(Duration.ofNanos(System.nanoTime() - started)).isLessThan(Duration.ofSeconds(5));
        assertThat(ProcessHandle.current().descendants().filter(ProcessHandle::isAlive))
                .noneMatch(child -> child.info().commandLine().orElse("").contains("61.75"));
    }

    @Test
    void aGrandchildThatHoldsTheOutputDoesNotHoldUs() {
        long started = System.nanoTime();
        assertThat(Command.of("sh", "-c", "sleep 3 & echo done").run()).isEqualTo("done\n");
        assertThat(Duration.ofNanos(System.nanoTime() - started)).isLessThan(Duration.ofSeconds(2));
    }

    @Test
    void tooMuchOutputIsAFailureAndNotHalfAnAnswer() {
        assertThatThrownBy(
                        () -> Command.of("head", "-c", "1048577", "/dev/zero").run())
                .isInstanceOf(CommandFailed.class)
                .hasMessageContaining("more than");
        assertThat(Command.of("head", "-c", "1048576", "/dev/zero").run()).hasSize(1 << 20);
    }

    @Test
    void aGivenEnvironmentIsTheWholeEnvironment() {
        assertThat(Command.of("/usr/bin/env")
                        .environment(Map.of("A", "1"))
                        .run()
                        .lines())
                .containsExactlyInAnyOrder("A=1", "LC_ALL=C");
    }
}
