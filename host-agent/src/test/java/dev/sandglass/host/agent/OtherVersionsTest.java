package dev.sandglass.host.agent;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.host.v1.CreateSnapshotRequest;
import dev.sandglass.contract.host.v1.ExecResponse;
import dev.sandglass.contract.host.v1.ResumeSandboxRequest;
import dev.sandglass.contract.host.v1.ResumeSandboxResponse;
import dev.sandglass.contract.host.v1.SandboxStatus;
import dev.sandglass.contract.host.v1.SnapshotRequest;
import dev.sandglass.host.image.ImageBuilder;
import dev.sandglass.host.linux.Command;
import dev.sandglass.host.vmm.TestImages;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.io.TempDir;

/**
 * What other versions of Sandglass left: guests with agents of the past and of the future, frozen by a host of that time,
 * and files in other formats. With real VMs; the agents are compiled from the sources with another version of the protocol.
 */
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
final class OtherVersionsTest extends HostAgentFixture {
    private static final String PROTOCOL_MAX = "sandglass.guest-protocol-max";
    /** Counts in memory, so that it shows whether it went on. */
    private static final String COUNTER = "setsid python3 -c 'import os, time\nn = 0\nwhile True:\n"
            + " n += 1\n open(\"/tmp/new\", \"w\").write(str(n))\n os.rename(\"/tmp/new\", \"/tmp/count\")\n"
            + " time.sleep(0.05)' >/dev/null 2>&1 &"
            + " while [ ! -s /tmp/count ]; do sleep 0.1; done";

    @TempDir
    static Path scratch;

    private boolean freezes = true;

    @Override
    boolean freezes() {
        return freezes;
    }

    /** A copy of its own: others must not boot the agents of this test. */
    private static Path images() {
        return scratch.resolve("images");
    }

    @Override
    HostAgentConfiguration configuration(HostAgentConfiguration standard) {
        if (!Files.exists(images())) {
            Command.of("cp", "-al", standard.imagesDirectory().toString(), images().toString())
                    .run();
            use("1", "-DPROTOCOL_MAX=1");
        }
        return new HostAgentConfiguration(
                standard.home(),
                standard.installation(),
                standard.agentToken(),
                images(),
                standard.forcedAccelerator(),
                standard.dns(),
                standard.slotPoolSize(),
                standard.warmPoolSize(),
                standard.diskReserveBytes(),
                standard.memoryReserveMb(),
                standard.memoryOvercommit(),
                standard.rootDiskBytes(),
                standard.templatesMax());
    }

    /** From now on new templates have an agent that was compiled so. */
    private static void use(String name, String defines) {
        Path sources = TestImages.repository().resolve("guest-agent");
        Path build = scratch.resolve("agent-" + name);
        Command.of("make", "-s", "-C", sources.toString(), "BUILD=" + build, "DEFINES=" + defines)
                .timeout(Duration.ofMinutes(3))
                .run();
        new ImageBuilder(TestImages.repository().resolve("images"), build.resolve("sandglass-guest-agent"), images())
                .build(Progress.SILENT);
    }

    @AfterEach
    void aHostOfToday() {
        System.clearProperty(PROTOCOL_MAX);
    }

    private ResumeSandboxResponse resume(String id, boolean cold) {
        return stub().resumeSandbox(ResumeSandboxRequest.newBuilder()
                .setSandboxId(id)
                .setCold(cold)
                .build());
    }

    private String sh(String id, String script) {
        ExecResponse answer = exec(id, "/bin/sh", "-c", script);
        assertThat(answer.getExitCode()).as(answer.getStderr().toStringUtf8()).isZero();
        return answer.getStdout().toStringUtf8().strip();
    }

    private int count(String id) {
        return Integer.parseInt(sh(id, "cat /tmp/count"));
    }

    private SnapshotId snapshot(String id) {
        SnapshotId snapshot = SnapshotId.random();
        assertThat(stub().createSnapshot(CreateSnapshotRequest.newBuilder()
                                .setSandboxId(id)
                                .setSnapshotId(snapshot.value())
                                .build())
                        .getSizeBytes())
                .isPositive();
        return snapshot;
    }

    private String createFrom(SnapshotId snapshot) {
        String id = SandboxId.random().value();
        stub().createSandbox(specification(id).setTemplateId(snapshot.value()).build());
        return id;
    }

    private void delete(SnapshotId snapshot) {
        stub().deleteSnapshot(SnapshotRequest.newBuilder()
                .setSnapshotId(snapshot.value())
                .build());
    }

    private void restart() throws IOException {
        running.stop();
        startAgain();
    }

    private static void assertIncompatible(ThrowingCallable call, String... told) {
        assertThatThrownBy(call).isInstanceOfSatisfying(StatusRuntimeException.class, refused -> {
            assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.FAILED_PRECONDITION);
            assertThat(refused.getStatus().getDescription()).contains(told);
        });
    }

    // ---- Files in other formats

    /** The manifest of the template as it is now. */
    private Path manifestOfTheTemplateOf(String id) throws IOException {
        String ledger = Files.readString(home.resolve("sandboxes/" + id + "/ledger.json"));
        String template = ledger.replaceFirst("(?s).*\"template\":\"(tpl[0-9a-z]+)\".*", "$1");
        return home.resolve("templates").resolve(template).resolve("manifest.json");
    }

    private static String edit(Path file, String pattern, String replacement) throws IOException {
        String before = Files.readString(file);
        String after = before.replaceFirst(pattern, replacement);
        assertThat(after).isNotEqualTo(before);
        Files.writeString(file, after);
        return before;
    }

    @Test
    @Order(1)
    void aTemplateOfAnotherFormatIsFrozenAnewAndKeptForWhatDependsOnIt() throws IOException {
        String id = create();
        sh(id, COUNTER);
        stub().pauseSandbox(sandbox(id));
        Path manifest = manifestOfTheTemplateOf(id);
        running.stop();
        String written = edit(manifest, "\"format\" *: *1,", ""); // as one that has no version
        startAgain(); // which freezes the standard template, as `up` does
        String anew = create();
        assertThat(sh(anew, "echo works")).isEqualTo("works");
        assertThat(manifestOfTheTemplateOf(anew)).isNotEqualTo(manifest);
        assertIncompatible(() -> resume(id, false), "version 0, this Sandglass knows 1", "Nothing was changed");
        assertThat(listed(id).orElseThrow().getStatus()).isEqualTo(SandboxStatus.PAUSED);
        assertThat(manifest).exists();
        Files.writeString(manifest, written);
        resume(id, false);
        assertThat(count(id)).isPositive();
    }

    @Test
    @Order(2)
    void snapshotsAndLedgersOfALaterVersionAreNamedAndKept() throws IOException {
        String id = create();
        SnapshotId snapshot = snapshot(id);
        Path manifest = home.resolve("snapshots/" + snapshot + "/manifest.json");
        String written = edit(manifest, "\"format\":1", "\"format\":7,\"colour\":\"blue\"");
        assertIncompatible(() -> createFrom(snapshot), "version 7, this Sandglass knows 1", "Nothing was changed");
        Files.writeString(manifest, written);
        assertThat(sh(createFrom(snapshot), "echo works")).isEqualTo("works");
        delete(snapshot);

        Path ledger = home.resolve("sandboxes/" + id + "/ledger.json");
        running.stop();
        written = edit(ledger, "\"format\":2", "\"format\":9");
        assertThatThrownBy(this::startAgain)
                .isInstanceOfSatisfying(
                        PlatformException.class,
                        refused -> assertThat(refused.code()).isEqualTo(ErrorCode.INCOMPATIBLE_SNAPSHOT))
                .hasMessageContaining(id)
                .hasMessageContaining("version 9, this Sandglass knows 2");
        Files.writeString(ledger, written);
        startAgain();
        assertThat(sh(id, "echo still here")).isEqualTo("still here");
    }

    // ---- Agents of other times

    @Test
    @Order(3)
    void whatTheFirstVersionOfTheAgentPausedIsResumedByTheHostOfToday() throws IOException {
        String id = create();
        sh(id, COUNTER);
        SnapshotId snapshot = snapshot(id);
        int before = count(id);
        stub().pauseSandbox(sandbox(id));
        assertThat(guestProtocol(id)).isEqualTo("1");

        use("2", "");
        freezes = false;
        restart();
        assertThat(resume(id, false).getCold()).isFalse();
        assertThat(count(id)).isGreaterThanOrEqualTo(before);
        assertThat(sh(id, "hostname")).isEqualTo(id);
        String clone = createFrom(snapshot);
        assertThat(count(clone)).isPositive();
        assertThat(sh(clone, "hostname")).isEqualTo(clone);
        SnapshotId second = snapshot(clone); // goes on as the first agent can: its connections do not survive
        assertThat(sh(clone, "echo goes on")).isEqualTo("goes on");
        stub().pauseSandbox(sandbox(clone));
        assertThat(resume(clone, true).getCold()).isTrue();
        assertThat(sh(clone, "echo booted")).isEqualTo("booted");
        delete(snapshot);
        delete(second);
    }

    @Test
    @Order(4)
    void whatALaterAgentIsFrozenInIsRefusedAndKept() throws IOException {
        use("3", "-DPROTOCOL_MIN=3 -DPROTOCOL_MAX=3");
        System.setProperty(PROTOCOL_MAX, "3");
        freezes = true;
        restart();
        String id = create();
        sh(id, COUNTER);
        int before = count(id);
        SnapshotId snapshot = snapshot(id);
        stub().pauseSandbox(sandbox(id));
        assertThat(guestProtocol(id)).isEqualTo("3");
        List<String> kept = files(id);

        System.clearProperty(PROTOCOL_MAX);
        freezes = false;
        restart();
        assertIncompatible(() -> resume(id, false), "guest_protocol: 3", "Nothing was changed");
        assertIncompatible(() -> resume(id, true), "guest_protocol: 3", "Nothing was changed");
        assertIncompatible(() -> createFrom(snapshot), "guest_protocol: 3", "Nothing was changed");
        assertThat(listed(id).orElseThrow().getStatus()).isEqualTo(SandboxStatus.PAUSED);
        assertThat(files(id)).isEqualTo(kept);

        System.setProperty(PROTOCOL_MAX, "3");
        resume(id, false);
        assertThat(count(id)).isGreaterThanOrEqualTo(before);
        delete(snapshot);
    }

    private String guestProtocol(String id) throws IOException {
        try (Stream<Path> files = Files.walk(home.resolve("sandboxes/" + id + "/memory"))) {
            Path identity =
                    files.filter(file -> file.endsWith("identity")).findFirst().orElseThrow();
            return Files.readString(identity).replaceFirst("(?s).*\"guest_protocol\":\"(\\d+)\".*", "$1");
        }
    }

    private List<String> files(String id) throws IOException {
        try (Stream<Path> files = Files.walk(home.resolve("sandboxes/" + id))) {
            return files.map(String::valueOf).sorted().toList();
        }
    }
}
