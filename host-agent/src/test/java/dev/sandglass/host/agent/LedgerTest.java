package dev.sandglass.host.agent;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.host.lifecycle.Machine;
import dev.sandglass.host.lifecycle.SandboxState;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class LedgerTest {
    private static final Machine MACHINE = new Machine("vm" + "0".repeat(20), 7, 4711, 99, "ab".repeat(32));

    @TempDir
    Path sandboxes;

    private Ledger ledger;
    private final SandboxId id = SandboxId.random();

    @BeforeEach
    void open() {
        ledger = new Ledger(sandboxes);
    }

    private Ledger.Entry entry(SandboxState state) {
        return new Ledger.Entry(
                id,
                "base",
                "t1",
                true,
                2,
                512,
                60,
                Map.of("A", "ä\n\"b"),
                Instant.parse("2026-01-02T03:04:05Z"),
                state);
    }

    @Test
    void everyStateComesBackAsItWasWritten() throws IOException {
        Files.createDirectories(ledger.directory(id));
        for (SandboxState state : new SandboxState[] {
            new SandboxState.Running(MACHINE),
            new SandboxState.Paused("cd".repeat(32), true),
            new SandboxState.Paused("cd".repeat(32), false),
            new SandboxState.Resuming(MACHINE, "cd".repeat(32)),
            new SandboxState.Stopped("it powered off"),
            new SandboxState.Destroying()
        }) {
            ledger.write(entry(state));
            assertThat(ledger.scan()).containsExactly(new Ledger.Found.Known(id, entry(state)));
        }
    }

    @Test
    void aFolderWithoutALedgerIsMissingNotDamaged() throws IOException {
        Files.createDirectories(ledger.directory(id));
        assertThat(ledger.scan()).containsExactly(new Ledger.Found.Missing(id));
    }

    @Test
    void foreignFoldersAreLeftAlone() throws IOException {
        Files.createDirectories(sandboxes.resolve("lost+found"));
        assertThat(ledger.scan()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "{",
                "[]",
                "null",
                "{\"format\":2}",
                "{\"format\":2,\"id\":\"../../etc\",\"state\":\"destroying\"}",
                "{\"format\":2,\"id\":\"%s\",\"env\":{},\"createdAt\":\"2026-01-02T03:04:05Z\",\"state\":\"running\"}",
                "{\"format\":2,\"id\":\"%s\",\"env\":{},\"createdAt\":\"2026-01-02T03:04:05Z\",\"state\":\"flying\"}",
                "{\"format\":2,\"id\":\"%s\",\"env\":{},\"createdAt\":\"yesterday\",\"state\":\"destroying\"}",
                "{\"format\":2,\"id\":\"%s\",\"env\":{},\"createdAt\":\"2026-01-02T03:04:05Z\",\"state\":\"running\","
                        + "\"machine\":{\"slot\":-1,\"pid\":1,\"startTicks\":1,\"guestToken\":\"\"}}",
                "{\"format\":2,\"id\":\"sb00000000000000000000\",\"env\":{},\"createdAt\":\"2026-01-02T03:04:05Z\","
                        + "\"state\":\"destroying\"}"
            })
    void aLedgerThatMakesNoSenseIsReportedAsDamagedAndNotTakenForMissing(String content) throws IOException {
        Files.createDirectories(ledger.directory(id));
        Files.writeString(ledger.directory(id).resolve("ledger.json"), content.replace("%s", id.value()));
        assertThat(ledger.scan()).singleElement().isInstanceOf(Ledger.Found.Damaged.class);
    }

    @Test
    void aLedgerOfAnotherVersionIsKnownAsThatAndWhatItDependsOnIsNamed() throws IOException {
        Files.createDirectories(ledger.directory(id));
        Path file = ledger.directory(id).resolve("ledger.json");
        Files.writeString(file, "{\"format\":99,\"template\":\"tpl1\",\"colour\":\"blue\"}");
        Ledger.Found.OtherFormat later = new Ledger.Found.OtherFormat(id, 99, "tpl1");
        assertThat(ledger.scan()).containsExactly(later);
        assertThat(later.isLater()).isTrue();
        assertThat(later.problem()).contains("version 99").contains("knows 2");
        assertThat(ledger.templates()).contains("tpl1");
        Files.writeString(file, "{\"format\":1,\"template\":\"tpl1\"}");
        assertThat(ledger.scan())
                .singleElement()
                .satisfies(found ->
                        assertThat(((Ledger.Found.OtherFormat) found).isLater()).isFalse());
    }

    @Test
    void statesOnlyFollowTheTable() {
        assertThatThrownBy(() -> entry(new SandboxState.Destroying()).with(new SandboxState.Running(MACHINE)))
                .isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() ->
                        entry(new SandboxState.Paused("cd".repeat(32), true)).with(new SandboxState.Running(MACHINE)))
                .isInstanceOf(IllegalStateException.class);
        assertThat(entry(new SandboxState.Creating())
                        .with(new SandboxState.Running(MACHINE))
                        .with(new SandboxState.Stopped("x"))
                        .with(new SandboxState.Destroying())
                        .state())
                .isEqualTo(new SandboxState.Destroying());
    }

    @Test
    void aMachinesTokenIsNotPrinted() {
        assertThat(entry(new SandboxState.Running(MACHINE)).toString()).doesNotContain("abab");
        assertThat(entry(new SandboxState.Paused("ab".repeat(32), true)).toString())
                .doesNotContain("abab");
        assertThat(entry(new SandboxState.Resuming(MACHINE, "ab".repeat(32))).toString())
                .doesNotContain("abab");
    }
}
