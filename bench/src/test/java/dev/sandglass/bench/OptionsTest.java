package dev.sandglass.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

class OptionsTest {
    private static Options parsed(String... arguments) {
        Options options = new Options();
        new CommandLine(options).parseArgs(arguments);
        options.validate();
        return options;
    }

    @Test
    void withoutOptionsEverythingIsMeasured() {
        Options options = parsed();

        assertThat(options.rounds()).isEqualTo(25);
        assertThat(options.sandboxes()).isEqualTo(100);
        assertThat(options.wants(Part.MEMORY)).isTrue();
        assertThat(options.wants(Part.SOAK)).as("it takes a quarter of an hour").isFalse();
        assertThat(options.check()).isFalse();
    }

    @Test
    void onlyNamesTheParts() {
        Options options = parsed("--only", "create,cold-boot", "--rounds=3");

        assertThat(options.wants(Part.CREATE)).isTrue();
        assertThat(options.wants(Part.COLD_BOOT)).isTrue();
        assertThat(options.wants(Part.PODMAN)).isFalse();
        assertThat(options.coldBoots()).isEqualTo(3);
    }

    @Test
    void quickIsSmallAndOtherOptionsStillCount() {
        assertThat(parsed("--quick").rounds()).isLessThan(parsed().rounds());
        assertThat(parsed("--quick", "--sandboxes", "50").sandboxes()).isEqualTo(50);
    }

    @ParameterizedTest
    @ValueSource(strings = {"--rounds=0", "--rounds=many", "--sandboxes=1001", "--only=everything", "--unknown"})
    void nonsenseIsAUsageErrorThatPointsToTheHelp(String argument) {
        var printed = new ByteArrayOutputStream();
        var err = new PrintStream(printed, true, StandardCharsets.UTF_8);

        int status = Main.run(new String[] {argument}, Map.of(), Path.of("."), err, err);

        assertThat(status).isEqualTo(2);
        assertThat(printed.toString(StandardCharsets.UTF_8)).contains("sandglass bench --help");
    }

    @Test
    void helpNamesThePartsAndMeasuresNothing() {
        var printed = new ByteArrayOutputStream();
        var out = new PrintStream(printed, true, StandardCharsets.UTF_8);

        assertThat(Main.run(new String[] {"--help"}, Map.of(), Path.of("."), out, out))
                .isZero();
        assertThat(printed.toString(StandardCharsets.UTF_8)).contains("cold-boot, create, exec, python");
    }
}
