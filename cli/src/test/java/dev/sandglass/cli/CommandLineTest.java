package dev.sandglass.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.cli.client.Json;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class CommandLineTest {
    @TempDir
    @SuppressWarnings("NullAway.Init")
    private Path directory;

    @SuppressWarnings("NullAway.Init")
    private LocalServer server;

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();
    private final Map<String, String> environment = new HashMap<>();
    private InputStream in = new ByteArrayInputStream(new byte[0]);

    @BeforeEach
    void startServer() throws Exception {
        server = new LocalServer(Files.createDirectory(directory.resolve("sandboxes")));
        environment.put("SANDGLASS_URL", server.url());
        environment.put("SANDGLASS_API_KEY", LocalServer.KEY);
        environment.put("SANDGLASS_HOME", directory.resolve("home").toString());
    }

    @AfterEach
    void stopServer() {
        server.close();
    }

    private int sandglass(String... arguments) {
        out.reset();
        err.reset();
        Context context = new Context(
                environment,
                directory,
                in,
                new PrintStream(out, true, StandardCharsets.UTF_8),
                new PrintStream(err, true, StandardCharsets.UTF_8));
        return Main.execute(context, arguments);
    }

    private String out() {
        return out.toString(StandardCharsets.UTF_8);
    }

    private String err() {
        return err.toString(StandardCharsets.UTF_8);
    }

    @Test
    void runPrintsTheOutputAndLeavesNoSandboxBehind() {
        assertThat(sandglass("run", "--", "sh", "-c", "echo out; echo err >&2")).isZero();
        assertThat(out()).isEqualTo("out\n");
        assertThat(err()).isEqualTo("err\n");
        assertThat(server.sandboxes).isEmpty();
        assertThat(server.deleted).hasSize(1);
    }

    @Test
    void runEndsWithTheCommandsOwnExitCode() {
        assertThat(sandglass("run", "sh", "-c", "exit 7")).isEqualTo(7);
        assertThat(sandglass("run", "--", "sh", "-c", "kill -TERM $$")).isEqualTo(143);
        assertThat(sandglass("run", "--timeout", "1s", "--", "sleep", "30")).isEqualTo(124);
        assertThat(sandglass("run", "--", "no-such-command")).isEqualTo(127);
        assertThat(server.sandboxes).isEmpty();
    }

    @Test
    void runPassesStdinAndEnvironment() {
        in = new ByteArrayInputStream("line\n".getBytes(StandardCharsets.UTF_8));
        environment.put("FROM_HERE", "here");
        assertThat(sandglass("run", "-i", "-e", "A=b c", "-e", "FROM_HERE", "sh", "-c", "cat; echo $A $FROM_HERE"))
                .isZero();
        assertThat(out()).isEqualTo("line\nb c here\n");
    }

    @Test
    void runKeepsTheSandboxWhenAsked() {
        assertThat(sandglass("run", "--keep", "--", "true")).isZero();
        assertThat(server.sandboxes).containsOnlyKeys(out().strip());
    }

    @Test
    void runPrintsOneJsonObjectWhenAsked() {
        assertThat(sandglass("run", "--json", "--", "sh", "-c", "echo é; exit 3"))
                .isEqualTo(3);
        var json = Json.parse(out());
        assertThat(json.path("stdout").asString("")).isEqualTo("é\n");
        assertThat(json.path("exit_code").asInt(0)).isEqualTo(3);
    }

    @Test
    void aRefusedSandboxIsOneLineAndExitCode125() {
        server.createStatus = 503;
        assertThat(sandglass("run", "--", "true")).isEqualTo(125);
        assertThat(err()).isEqualTo("sandglass: Could not create the sandbox: No host has 512 MiB left for it.\n");
    }

    @Test
    void execAttachesAgainWithoutLosingOrRepeatingAByte() throws Exception {
        String id = server.add();
        byte[] bytes = new byte[3_000_000];
        new Random(42).nextBytes(bytes);
        Files.write(server.fileOf(id, "/data"), bytes);
        server.cutAfterMessages = 20;
        assertThat(sandglass("exec", id, "--", "cat", "data")).isZero();
        assertThat(sha256(out.toByteArray())).isEqualTo(sha256(bytes));
        assertThat(server.connections.get()).isGreaterThan(5);
    }

    @Test
    void execPassesManyBytesOfStdinThrough() throws Exception {
        String id = server.add();
        byte[] bytes = new byte[5_000_000];
        new Random(7).nextBytes(bytes);
        in = new ByteArrayInputStream(bytes);
        assertThat(sandglass("exec", "-i", id, "--", "cat")).isZero();
        assertThat(sha256(out.toByteArray())).isEqualTo(sha256(bytes));
    }

    @Test
    void execInAnUnknownSandboxSaysSo() {
        assertThat(sandglass("exec", "sb00000000000000000000", "--", "true")).isEqualTo(125);
        assertThat(err()).contains("No sandbox sb00000000000000000000.").doesNotContain("\tat ");
        assertThat(sandglass("exec", "zz", "--", "true")).isEqualTo(125);
        assertThat(err()).isEqualTo("sandglass: No sandbox 'zz'. `sandglass ps` lists yours.\n");
    }

    @Test
    void psListsAndRmDeletesByPrefix() throws Exception {
        String id = server.add();
        String other = server.add();
        assertThat(sandglass("ps")).isZero();
        assertThat(out()).contains(id, other, "running", "512 MiB").startsWith("SANDBOX");
        assertThat(sandglass("ps", "--json")).isZero();
        assertThat(Json.parse(out()).size()).isEqualTo(2);
        assertThat(sandglass("rm", "sb")).isEqualTo(1);
        assertThat(err()).contains("could be any of 2 sandboxes");
        assertThat(sandglass("rm", id.substring(0, 12))).isZero();
        assertThat(out()).isEqualTo(id + "\n");
        assertThat(sandglass("rm", "--all")).isZero();
        assertThat(server.deleted).containsExactly(id, other);
    }

    @Test
    void createPrintsTheIdAlone() {
        assertThat(sandglass("create", "--memory", "1g", "--vcpus", "2")).isZero();
        String id = out().strip();
        assertThat(server.sandboxes).containsOnlyKeys(id);
        assertThat(sandglass("create", "--json")).isZero();
        assertThat(Json.parse(out()).path("memory_mb").asInt(0)).isEqualTo(512);
    }

    @Test
    void pauseAndResumeTakeSeveralAndPrintEach() throws Exception {
        String id = server.add();
        String other = server.add();
        assertThat(sandglass("pause", id.substring(0, 14), other)).isZero();
        assertThat(out()).isEqualTo(id + "\n" + other + "\n");
        assertThat(server.sandbox(id).path("status").asString("")).isEqualTo("paused");
        assertThat(sandglass("exec", id, "--", "true")).isEqualTo(125);
        assertThat(err()).contains("The sandbox is paused").contains("`sandglass resume` lets it go on.");
        assertThat(sandglass("resume", "--json", id)).isZero();
        assertThat(Json.parse(out()).path("status").asString("")).isEqualTo("running");
        assertThat(err()).isEmpty();
        assertThat(sandglass("pause", "sb00000000000000000000", id)).isEqualTo(1);
        assertThat(out()).as("one that fails does not keep the others").isEqualTo(id + "\n");
        assertThat(err()).contains("No sandbox sb00000000000000000000.");
    }

    @Test
    void aMemoryThatCannotBeLoadedIsAnsweredWithTheWayOut() throws Exception {
        String id = server.add();
        sandglass("pause", id);
        server.resumeRefused = "incompatible_snapshot";
        assertThat(sandglass("resume", id)).isEqualTo(1);
        assertThat(err()).contains("QEMU 7.2.1").contains("`sandglass resume --cold " + id + "` boots it");
        assertThat(sandglass("resume", "--cold", id)).isZero();
        assertThat(err()).isEmpty();
        server.sandbox(id).put("status", "stopped");
        server.resumeRefused = "";
        assertThat(sandglass("resume", id)).isZero();
        assertThat(err()).contains(id + " was booted from its disk");
    }

    @Test
    void psTellsPausedIdleAndTheTimeout() throws Exception {
        String id = server.add();
        server.sandbox(id)
                .put("status", "paused")
                .put("timeout_sec", 600)
                .put("last_active_at", "2026-01-01T12:00:00Z")
                .put("last_updated", "2026-01-01T12:10:01Z");
        assertThat(sandglass("ps")).isZero();
        assertThat(out()).contains("paused (idle)").contains("10 min");
        server.sandbox(id).put("last_updated", "2026-01-01T12:05:00Z");
        assertThat(sandglass("ps")).isZero();
        assertThat(out()).contains("paused").doesNotContain("(idle)");
    }

    @Test
    void snapshotsAreMadeListedClonedAndDeleted() throws Exception {
        String id = server.add();
        assertThat(sandglass("snapshot", "create", id)).isZero();
        assertThat(out()).isEqualTo("snapshot-0000000a\n");
        assertThat(sandglass("snapshot", "create", id, "--name", "warm", "--pause", "--json"))
                .isZero();
        assertThat(Json.parse(out()).path("name").asString("")).isEqualTo("warm");
        assertThat(server.sandbox(id).path("status").asString("")).isEqualTo("paused");
        assertThat(sandglass("snapshot", "create", id, "--name", "warm")).isEqualTo(1);
        assertThat(err()).contains("There is a snapshot warm already.").contains("--overwrite replaces it");
        assertThat(sandglass("snapshot", "create", id, "--name", "warm", "--overwrite"))
                .isZero();

        assertThat(sandglass("snapshot", "list")).isZero();
        assertThat(out()).startsWith("SNAPSHOT").contains("warm", "6.3 MB", "512 MiB");
        assertThat(sandglass("snapshot", "ls", "--json")).isZero();
        assertThat(Json.parse(out()).size()).isEqualTo(2);

        assertThat(sandglass("create", "--from", "warm", "--json")).isZero();
        assertThat(Json.parse(out()).path("template").asString("")).isEqualTo("warm");
        assertThat(sandglass("run", "--from", "warm", "--", "true")).isZero();
        assertThat(sandglass("run", "--from", "cold", "--", "true")).isEqualTo(125);
        assertThat(err()).contains("no template with this name").contains("`sandglass snapshot list`");

        assertThat(sandglass("snapshot", "rm", "none", "warm")).isEqualTo(1);
        assertThat(out()).isEqualTo("warm\n");
        assertThat(err()).contains("No snapshot none.");
        assertThat(server.snapshots).containsOnlyKeys("snapshot-0000000a");
    }

    @Test
    void cpCopiesAFileThereAndBack() throws Exception {
        String id = server.add();
        Path file = directory.resolve("a file");
        Files.writeString(file, "content é");
        assertThat(sandglass("cp", file.toString(), id + ":/work/")).isZero();
        assertThat(server.fileOf(id, "/work/a file")).hasContent("content é");
        assertThat(sandglass("cp", file.toString(), id + ":/work")).isZero(); // a directory by now
        Path back = directory.resolve("back");
        assertThat(sandglass("cp", id + ":/work/a file", back.toString())).isZero();
        assertThat(back).hasContent("content é");
        in = new ByteArrayInputStream("from stdin".getBytes(StandardCharsets.UTF_8));
        assertThat(sandglass("cp", "-", id + ":/tmp/stdin")).isZero();
        assertThat(sandglass("cp", id + ":/tmp/stdin", "-")).isZero();
        assertThat(out()).isEqualTo("from stdin");
    }

    @Test
    void cpOfWhatIsNotThereLeavesNothing() throws Exception {
        String id = server.add();
        Path back = directory.resolve("back");
        assertThat(sandglass("cp", id + ":/nothing", back.toString())).isEqualTo(1);
        assertThat(err()).contains("Could not read /nothing in " + id + ": No such file.");
        assertThat(directory).isDirectoryNotContaining("glob:**back**");
        assertThat(sandglass("cp", "/no/such", id + ":/x")).isEqualTo(1);
        assertThat(err()).isEqualTo("sandglass: /no/such does not exist.\n");
        assertThat(sandglass("cp", "a", "b")).isEqualTo(2);
        assertThat(sandglass("cp", "a", id + ":relative")).isEqualTo(2);
    }

    @Test
    void withoutAServerItSaysHowToStartOne() {
        String url = server.url();
        server.close();
        assertThat(sandglass("ps")).isEqualTo(1);
        assertThat(err())
                .isEqualTo("sandglass: No server answers at " + url
                        + ". Start one with `./sandglass up`, or set SANDGLASS_URL.\n");
        assertThat(sandglass("run", "--", "true")).isEqualTo(125);
    }

    @Test
    void aWrongKeySaysWhereTheRightOneIs() {
        environment.put("SANDGLASS_API_KEY", "sgk_other");
        assertThat(sandglass("ps")).isEqualTo(1);
        assertThat(err()).contains("does not accept this API key");
        environment.remove("SANDGLASS_API_KEY");
        assertThat(sandglass("ps")).isEqualTo(1);
        assertThat(err()).contains("SANDGLASS_API_KEY is not set");
    }

    @Test
    void wrongUsageIsExitCode2AndPointsToTheHelp() {
        assertThat(sandglass("frobnicate")).isEqualTo(2);
        assertThat(sandglass("run", "--memory", "many", "--", "true")).isEqualTo(2);
        assertThat(err()).contains("'many' is not an amount of memory").contains("sandglass run --help");
        assertThat(sandglass("run")).isEqualTo(2);
        assertThat(sandglass("rm")).isEqualTo(2);
    }

    @Test
    void everyCommandHasHelp() {
        for (String command : new String[] {
            "up", "down", "run", "create", "ps", "exec", "cp", "pause", "resume", "snapshot", "rm", "doctor"
        }) {
            assertThat(sandglass(command, "--help")).as(command).isZero();
            assertThat(out()).as(command).contains("Usage: sandglass " + command);
        }
        assertThat(sandglass("snapshot", "create", "--help")).isZero();
        assertThat(out()).contains("Usage: sandglass snapshot create", "--overwrite");
        assertThat(sandglass("snapshot")).isZero();
        assertThat(out()).contains("create", "list", "rm");
        assertThat(sandglass("snapshot", "create")).isEqualTo(2);
        assertThat(err()).contains("sandglass snapshot create --help");
    }

    private static String sha256(byte[] bytes) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    }
}
