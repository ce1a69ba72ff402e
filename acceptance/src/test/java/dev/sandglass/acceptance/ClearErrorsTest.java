package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.acceptance.Api.Answer;
import dev.sandglass.acceptance.Shell.Result;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** A machine that is not as it must be: one message, which says what to do, and an exit code that is not 0. */
@Order(15)
@ExtendWith(Shared.class)
@SuppressWarnings("NullAway.Init")
class ClearErrorsTest {
    private static final Duration SOON = Duration.ofSeconds(60);
    private Path home;

    @BeforeEach
    void makeHome() throws IOException {
        home = Files.createTempDirectory("sandglass-errors-");
    }

    @AfterEach
    void removeHome() {
        Set<String> left = Footprint.of(home, "no-installation", Set.of()).of(Footprint.PROCESSES);
        Shell.of("rm", "-rf", home.toString()).run();
        assertThat(left).isEmpty();
    }

    private Map<String, String> environment(Map<String, String> more) {
        Map<String, String> all = new HashMap<>();
        all.put("SANDGLASS_HOME", home.toString());
        all.put("CP_LISTEN_ADDR", "127.0.0.1:" + Installation.freePort());
        all.putAll(more);
        return all;
    }

    private void assertRefused(Shell command, String... words) {
        Result result = command.within(SOON).run();
        assertThat(result.exitCode()).as(result.everything()).isNotZero();
        assertThat(result.stderr()).contains(words).doesNotContain("Exception", "\tat ");
        assertThat(result.stderr().lines().count()).as(result.stderr()).isLessThan(12);
    }

    private Shell up(Map<String, String> more) {
        return Shell.of(Repository.SCRIPT, "up").with(environment(more));
    }

    /** With mounts that end with it. */
    private Shell upAfter(String mounts) {
        return Shell.of("unshare", "--mount", "sh", "-ec", mounts + "\nexec \"$0\" up", Repository.SCRIPT)
                .with(environment(Map.of()));
    }

    @Test
    void whoIsNotRootIsToldToBecomeIt() {
        Shell up = Shell.of(
                        "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", Repository.SCRIPT, "up")
                .with(environment(Map.of("SANDGLASS_HOME", "/tmp/sandglass-of-nobody")));
        assertRefused(up, "root", "sudo");
        assertThat(Path.of("/tmp/sandglass-of-nobody")).doesNotExist();
    }

    @Test
    void aPortInUseIsNamedWithTheSettingForAnother() throws IOException {
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            String address = "127.0.0.1:" + taken.getLocalPort();
            assertRefused(up(Map.of("CP_LISTEN_ADDR", address)), address, "CP_LISTEN_ADDR=");
        }
    }

    @Test
    void aMachineWithoutTunIsToldHowToGetIt() {
        assertRefused(upAfter("mount -t tmpfs none /dev/net"), "/dev/net/tun", "modprobe tun");
    }

    @Test
    void aFullDiskIsSaidBeforeAnythingIsWritten() {
        assertRefused(upAfter("mount -t tmpfs -o size=64m none " + home), "must be free", "SANDGLASS_HOME");
    }

    @Test
    void tooLittleMemoryIsSaidBeforeAnythingStarts() throws IOException {
        Path fake = Files.writeString(
                home.resolveSibling(home.getFileName() + "-meminfo"),
                "MemTotal: 1048576 kB\nMemFree: 102400 kB\nMemAvailable: 204800 kB\n");
        try {
            assertRefused(upAfter("mount --bind " + fake + " /proc/meminfo"), "memory", "must be available");
        } finally {
            Files.delete(fake);
        }
    }

    @Test
    void aWrongJdkIsNamedAndWhereToGetTheRightOne() throws IOException {
        Path old = home.resolve("jdk-17");
        Files.createDirectories(old.resolve("bin"));
        Files.writeString(old.resolve("release"), "JAVA_VERSION=\"17.0.1\"\n");
        for (String program : List.of("java", "javac")) {
            Path file = Files.writeString(old.resolve("bin").resolve(program), "#!/bin/sh\nexit 1\n");
            assertThat(file.toFile().setExecutable(true, false)).isTrue();
        }
        Shell.of("chmod", "-R", "a+rX", home.toString()).run().require();
        // Not as root, who would get one installed where the distribution has it.
        String script = "mount -t tmpfs none /usr/lib/jvm; for d in /opt/java /opt/jdk*; do"
                + " [ ! -d $d ] || mount -t tmpfs none $d; done; exec \"$@\"";
        Shell up = Shell.of(
                        "unshare",
                        "--mount",
                        "sh",
                        "-ec",
                        script,
                        "sh",
                        "setpriv",
                        "--reuid",
                        "65534",
                        "--regid",
                        "65534",
                        "--clear-groups",
                        Repository.SCRIPT,
                        "up")
                .with(environment(
                        Map.of("JAVA_HOME", old.toString(), "PATH", "/usr/sbin:/usr/bin:/sbin:/bin", "HOME", "/")));
        assertRefused(up, "JDK 25", "Java 17, too old", "Get");
    }

    @Test
    void allWrongSettingsAreNamedAtOnce() {
        assertRefused(
                up(Map.of(
                        "CP_LISTEN_ADDR", "nowhere",
                        "JWT_SECRET", "short",
                        "SANDGLASS_SLOTPOOL", "7",
                        "SANDGLASS_MEMORY_RESERVE_MB", "much")),
                "CP_LISTEN_ADDR",
                "JWT_SECRET",
                "SANDGLASS_SLOTPOOL",
                "SANDGLASS_MEMORY_RESERVE_MB");
        assertThat(home).isEmptyDirectory();
    }

    @Test
    void aHostWithoutRoomRefusesNewSandboxesAndNamesTheLimit(Installation shared) {
        try (Installation server = Installation.of("room").withTemplatesOf(shared)) {
            server.with("SANDGLASS_MEMORY_RESERVE_MB", "100000000").start();
            assertNoCapacity(server, "memory");
            server.stop();
            server.with("SANDGLASS_MEMORY_RESERVE_MB", "512").with("SANDGLASS_DISK_RESERVE_MB", "1000000000");
            server.start();
            assertNoCapacity(server, "disk");
        }
    }

    private static void assertNoCapacity(Installation server, String word) {
        Answer answer = server.api().post("/v1/sandboxes", Map.of());
        assertThat(answer.status()).as(answer.text()).isIn(503, 507);
        assertThat(answer.errorCode()).isIn("no_capacity", "disk_full");
        assertThat(answer.errorMessage())
                .contains(word)
                .doesNotContain(server.home().toString());
        Result run = server.cli("run", "--", "true").run();
        assertThat(run.exitCode()).isEqualTo(125);
        assertThat(run.stderr()).contains(word);
        assertThat(server.vms()).isEmpty();
    }

    @Test
    void aTeamHasAQuotaAndTheAnswerNamesIt(Installation shared) {
        try (Installation server =
                Installation.of("quota").withTemplatesOf(shared).with("SANDGLASS_TEAM_SANDBOXES_MAX", "1")) {
            server.start();
            try (Sandbox only = server.api().create()) {
                Answer answer = server.api().post("/v1/sandboxes", Map.of());
                assertThat(answer.status()).isEqualTo(429);
                assertThat(answer.errorCode()).isEqualTo("quota_exceeded");
                assertThat(answer.errorMessage()).contains("1");
                assertThat(only.exec("true").exitCode()).isZero();
            }
        }
    }
}
