package dev.sandglass.host.process;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What is read from the kernel and from files that a crash may have cut. */
class RecordParsersTest {
    private static String stat(String comm) {
        return "4711 (" + comm + ") S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 10 "
                + "18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0\n";
    }

    @ParameterizedTest
    @ValueSource(strings = {"sh", "", "a b", "a) S 1 2", ") R 9 9 9", "((((", "Web Content)", "x\ny", "é\u0001"})
    void theCommandNameMayBeAnything(String comm) {
        assertThat(ProcStat.parse(stat(comm))).isEqualTo(new ProcStat(4711, 'S', 987654));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "4711",
                "4711 (sh",
                "4711 (sh) ",
                "4711 (sh) S 1 2 3",
                "(sh) S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654",
                "x (sh) S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654",
                "1 (sh) S 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 soon",
                "1 (sh) SS 1 4711 4711 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654",
            })
    void whatIsNoStatLineIsRefused(String line) {
        assertThatThrownBy(() -> ProcStat.parse(line)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void aPidRecordNamesProcessAndSupervisor() {
        assertThat(ProcessFiles.parseRecorded("12 345 11 344\n"))
                .contains(new ProcessFiles.Recorded(new ProcessIdentity(12, 345), new ProcessIdentity(11, 344)));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "\n",
                "12",
                "12 345\n",
                "12 345 11 344",
                "12 345 11 344\n\n",
                " 12 345 11 344\n",
                "12 345 11 344 5\n",
                "-1 345 11 344\n",
                "0 345 11 344\n",
                "1 345 11 344\n",
                "12 x 11 344\n",
                "99999999999 345 11 344\n",
                "9999999999 345 11 344\n",
                "12 9999999999999999999 11 344\n",
                "12\u0000345 11 344\n",
            })
    void aDamagedPidRecordNamesNoProcess(String text) {
        assertThat(ProcessFiles.parseRecorded(text)).isEmpty();
    }

    @Test
    void anExitRecordIsReadAsAShellMeansIt() {
        assertThat(ProcessFiles.parseExit("0\n")).contains(new ExitStatus.Exited(0));
        assertThat(ProcessFiles.parseExit("127\n")).contains(new ExitStatus.Exited(127));
        assertThat(ProcessFiles.parseExit("128\n")).contains(new ExitStatus.Exited(128));
        assertThat(ProcessFiles.parseExit("137\n")).contains(new ExitStatus.Signalled(9));
        assertThat(ProcessFiles.parseExit("255\n")).contains(new ExitStatus.Exited(255));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "\n", "0", "0 \n", "-1\n", "256\n", "1000\n", "x\n", "0\n0\n"})
    void aDamagedExitRecordSaysNothing(String text) {
        assertThat(ProcessFiles.parseExit(text)).isEqualTo(Optional.empty());
    }
}
