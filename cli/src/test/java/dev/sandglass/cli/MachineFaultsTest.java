package dev.sandglass.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.sandglass.cli.Programs.Outcome;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What {@code up} says on a machine where a server cannot run: really such a machine, made by mount namespaces. */
final class MachineFaultsTest {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    private final Map<String, String> environment = new HashMap<>();

    @BeforeEach
    void requireRoot() {
        assumeTrue(Programs.isRoot(), "needs root");
        environment.put("SANDGLASS_HOME", directory.resolve("home").toString());
        environment.put("CP_LISTEN_ADDR", "127.0.0.1:0");
    }

    private void upSays(List<String> command, String problem, String remedy) throws Exception {
        Outcome outcome = Programs.run(directory, environment, command);
        assertThat(outcome.output()).contains("Sandglass cannot run here yet.", problem, remedy);
        assertThat(outcome.output()).doesNotContain("Exception", "\tat ");
        assertThat(outcome.exitCode()).isEqualTo(1);
        assertThat(directory.resolve("home/installation")).doesNotExist();
    }

    private static List<String> up() {
        return Programs.sandglass("up");
    }

    @Test
    void withoutRootItSaysSudo() throws Exception {
        List<String> command = new java.util.ArrayList<>(List.of("unshare", "--user", "--map-user=1000"));
        assumeTrue(Programs.run(directory, Map.of(), List.of("unshare", "--user", "true"))
                        .exitCode()
                == 0);
        command.addAll(up());
        upSays(command, "root: not root", "sudo ./sandglass up");
    }

    @Test
    void withoutTunItSaysHowToGetIt() throws Exception {
        upSays(
                Programs.after("mount -t tmpfs none /dev/net", up()),
                "/dev/net/tun: does not exist",
                "modprobe tun; in a container: docker run --device /dev/net/tun");
    }

    @Test
    void aPortInUseIsNamedWithAnotherChoice() throws Exception {
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            String address = "127.0.0.1:" + taken.getLocalPort();
            environment.put("CP_LISTEN_ADDR", address);
            upSays(up(), "port: " + address + " cannot be used: address already in use", "CP_LISTEN_ADDR=127.0.0.1:");
        }
    }

    @Test
    void aFullDiskIsNamedWithWhatIsNeeded() throws Exception {
        Path home = Files.createDirectory(directory.resolve("home"));
        upSays(
                Programs.after("mount -t tmpfs -o size=8m none " + home, up()),
                "disk: 8 MiB free in " + home,
                "At least 3.0 GiB must be free: make room there, or set SANDGLASS_HOME to another disk.");
    }

    @Test
    void tooLittleMemoryIsNamedWithWhatIsNeeded() throws Exception {
        Path information = directory.resolve("meminfo");
        Files.writeString(information, "MemTotal: 1048576 kB\nMemFree: 90000 kB\nMemAvailable: 204800 kB\n");
        upSays(
                Programs.after("mount --bind " + information + " /proc/meminfo", up()),
                "memory: 200 MiB available",
                "At least 1.0 GiB must be available");
    }

    @Test
    void severalProblemsAreNamedAtOnce() throws Exception {
        Path home = Files.createDirectory(directory.resolve("home"));
        List<String> command =
                Programs.after("mount -t tmpfs none /dev/net; mount -t tmpfs -o size=8m none " + home, up());
        upSays(command, "/dev/net/tun: does not exist", "modprobe tun");
        upSays(command, "disk: 8 MiB free", "SANDGLASS_HOME");
    }

    @Test
    void wrongSettingsAreNamedAllAtOnceBeforeAnythingStarts() throws Exception {
        environment.put("CP_LISTEN_ADDR", "nowhere");
        environment.put("JWT_SECRET", "short");
        environment.put("SANDGLASS_DNS", "dns.example");
        environment.put("SANDGLASS_MEMROY_RESERVE_MB", "1");
        Outcome outcome = Programs.run(directory, environment, up());
        assertThat(outcome.output())
                .contains("CP_LISTEN_ADDR", "JWT_SECRET", "SANDGLASS_DNS", "SANDGLASS_MEMROY_RESERVE_MB")
                .doesNotContain("Exception", "short");
        assertThat(outcome.exitCode()).isEqualTo(1);
        assertThat(directory.resolve("home")).doesNotExist();
    }

    @Test
    void doctorReportsTheSameAndEndsWith1() throws Exception {
        List<String> command = Programs.after("mount -t tmpfs none /dev/net", Programs.sandglass("doctor"));
        Outcome outcome = Programs.run(directory, environment, command);
        assertThat(outcome.output()).contains("FAIL  /dev/net/tun does not exist");
        assertThat(outcome.exitCode()).isEqualTo(1);
    }

    @Test
    void destroyingWithoutATerminalAndWithoutYesChangesNothing() throws Exception {
        Files.createDirectory(directory.resolve("home"));
        Outcome outcome = Programs.run(directory, environment, Programs.sandglass("down", "--destroy"));
        assertThat(outcome.output()).contains("add --yes if that is wanted");
        assertThat(outcome.exitCode()).isEqualTo(1);
    }
}
