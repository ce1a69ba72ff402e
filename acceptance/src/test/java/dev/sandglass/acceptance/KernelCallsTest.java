package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.host.v1.SandboxStatus;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** Every call by which an operation changes the host lies in a step, so that {@link DeathAtAnyStepTest} dies around it. */
@Order(42)
@ExtendWith(Shared.class)
class KernelCallsTest {
    @Test
    void noOperationChangesTheHostOutsideOfAStep(Installation shared, @TempDir Path here) throws IOException {
        Path report = here.resolve("report");
        String watch = "-javaagent:" + jar(here.resolve("watch.jar")) + "=" + report;
        try (Installation agent = Host.agent("watched").withTemplatesOf(shared).with("SANDGLASS_WARM_POOL", "1")) {
            agent.start(watch);
            try (Host host = Host.of(agent)) {
                doEverything(agent, host);
            }
            agent.stop();
            String said = Installation.read(report);
            assertThat(said.lines().filter(line -> line.startsWith("OUTSIDE"))).isEmpty();
            Map<String, Long> seen = KernelCallWatch.counts(said);
            System.out.println("calls that change the host, all in steps: " + seen);
            assertThat(seen.keySet())
                    .as("what the watch must have seen")
                    .contains(
                            "Files.move",
                            "Files.createLink",
                            "Files.deleteIfExists",
                            "FileChannel.force",
                            "Linux.fsyncDirectory",
                            "ProcessBuilder.start",
                            "Qmp.stop",
                            "Qmp.cont");
        }
    }

    private static void doEverything(Installation agent, Host host) {
        String id = host.create();
        host.sh(id, "echo kept >/root/file; sync");
        String snapshot = Host.newSnapshotId();
        var _ = host.snapshot(id, snapshot, false);
        host.pause(id);
        var _ = host.resume(id);
        var _ = host.snapshot(id, Host.newSnapshotId(), true);
        var _ = host.resume(id, 0, true);
        assertThat(host.sh(id, "cat /root/file")).isEqualTo("kept");
        String clone = host.create(Host.newId(), snapshot, 1);
        Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> host.status(clone) == SandboxStatus.PAUSED);
        host.deleteSnapshot(snapshot);
        Shell.of("kill", "-9", Integer.toString(agent.vm(id).pid())).run().require();
        Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> host.status(id) == SandboxStatus.STOPPED);
        host.destroyAll();
    }

    private static Path jar(Path file) throws IOException {
        Manifest manifest = new Manifest();
        manifest.getMainAttributes().put(Attributes.Name.MANIFEST_VERSION, "1.0");
        manifest.getMainAttributes().put(new Attributes.Name("Premain-Class"), KernelCallWatch.class.getName());
        try (OutputStream out = Files.newOutputStream(file);
                JarOutputStream jar = new JarOutputStream(out, manifest)) {
            String folder = KernelCallWatch.class.getPackageName().replace('.', '/');
            Path classes = Path.of(KernelCallWatch.class
                            .getProtectionDomain()
                            .getCodeSource()
                            .getLocation()
                            .getPath())
                    .resolve(folder);
            for (String name : Footprint.named(classes, KernelCallWatch.class.getSimpleName())) {
                jar.putNextEntry(new JarEntry(folder + "/" + name));
                try (InputStream in = Files.newInputStream(classes.resolve(name))) {
                    in.transferTo(jar);
                }
            }
        }
        return file;
    }
}
