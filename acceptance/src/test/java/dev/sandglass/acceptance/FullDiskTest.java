package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.host.v1.SandboxStatus;
import io.grpc.Status;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** A home on a file system that fills up: what does not fit fails, says so and harms nothing. */
@Order(44)
@ExtendWith(Shared.class)
class FullDiskTest {
    private static final int MEGABYTE = 1 << 20;

    /** A small file system of its own; images and templates, which are only read, stay outside of it. */
    private static final class SmallDisk implements AutoCloseable {
        private final Path mount;
        private final Path image;

        SmallDisk(Installation agent, int megabytes) {
            mount = agent.home();
            image = Path.of(mount + ".disk");
            sh("truncate -s " + megabytes + "M " + image + " && mkfs.ext4 -q -m 0 -O ^has_journal " + image
                    + " && mkdir " + mount + ".kept && mv " + mount + "/images " + mount + "/templates " + mount
                    + ".kept/ && mount -o loop " + image + " " + mount + " && cd " + mount
                    + " && rmdir lost+found && mkdir images templates && mount --bind " + mount + ".kept/images images"
                    + " && mount --bind " + mount + ".kept/templates templates");
        }

        /** Leaves so many bytes free. */
        void fill(long free) {
            sh("""
                    cd %s && rm -f filler
                    available() { echo $(($(stat -f -c '%%a * %%S' .))); }
                    fallocate -l "$(available)" filler 2>/dev/null || true # its own map has no room any more
                    if [ "$(available)" -lt %d ]; then truncate -s "-$((%d - $(available)))" filler; fi
                    """.formatted(mount, free, free));
        }

        void free() {
            sh("rm -f " + mount + "/filler");
        }

        private static void sh(String script) {
            Shell.of("sh", "-ec", script).run().require();
        }

        @Override
        public void close() {
            Shell.of(
                            "sh",
                            "-c",
                            "cd / && umount -l " + mount + "/images " + mount + "/templates; umount -l " + mount
                                    + "; rm -rf " + mount + " " + mount + ".kept " + image)
                    .run();
        }
    }

    @Test
    void whatDoesNotFitHarmsNothing(Installation shared) throws IOException {
        Installation agent = Host.agent("full-disk").withTemplatesOf(shared).with("SANDGLASS_DISK_RESERVE_MB", "0");
        try (SmallDisk disk = new SmallDisk(agent, 1400);
                Installation _ = agent) {
            agent.start();
            try (Host host = Host.of(agent)) {
                String id = host.create();
                // Its files would fail like anything that needs space: it only remembers.
                Oracle.startWithoutFiles(host.guest(id));
                int seen = Oracle.check(host.guest(id));
                int failed = 0;
                for (int free : List.of(0, 16 << 10, 128 << 10, MEGABYTE, 4 * MEGABYTE, 16 * MEGABYTE, 40 * MEGABYTE)) {
                    disk.fill(free);
                    Status.Code pausing = Host.refusal(() -> host.pause(id));
                    if (pausing != Status.Code.OK) {
                        failed++;
                        assertThat(pausing).as("%d bytes free", free).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
                        assertThat(host.status(id)).isEqualTo(SandboxStatus.RUNNING);
                    } else {
                        assertThat(host.status(id)).isEqualTo(SandboxStatus.PAUSED);
                        Status.Code resuming = Host.refusal(() -> host.resume(id));
                        if (resuming != Status.Code.OK) {
                            assertThat(resuming).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
                            assertThat(host.status(id)).isEqualTo(SandboxStatus.PAUSED);
                            disk.free();
                            var _ = host.resume(id);
                            disk.fill(free);
                        }
                    }
                    seen = Oracle.check(host.guest(id), seen);

                    String snapshot = Host.newSnapshotId();
                    Status.Code taking = Host.refusal(() -> host.snapshot(id, snapshot, false));
                    assertThat(taking).isIn(Status.Code.OK, Status.Code.RESOURCE_EXHAUSTED);
                    seen = Oracle.check(host.guest(id), seen);
                    assertThat(agent.footprint().of(Footprint.SNAPSHOTS)).hasSize(taking == Status.Code.OK ? 1 : 0);
                    host.deleteSnapshot(snapshot);

                    String other = Host.newId();
                    Status.Code creating = Host.refusal(() -> host.create(other, "base", 0));
                    assertThat(creating).isIn(Status.Code.OK, Status.Code.RESOURCE_EXHAUSTED);
                    assertThat(host.list().keySet()).hasSize(creating == Status.Code.OK ? 2 : 1);
                    host.destroy(other);
                    System.out.printf(
                            "%d KiB free: pause %s, snapshot %s, create %s%n", free >> 10, pausing, taking, creating);
                }
                assertThat(failed).as("pauses that did not fit").isGreaterThan(2);

                // The same for one that is paused because nobody uses it: tried again until there is space.
                disk.free();
                host.pause(id);
                var _ = host.resume(id, 1, false);
                disk.fill(0);
                Awaitility.await()
                        .atMost(Duration.ofSeconds(20))
                        .until(() -> agent.logText().contains("is idle and could not be paused"));
                assertThat(host.status(id)).isEqualTo(SandboxStatus.RUNNING);
                disk.free();
                Awaitility.await().atMost(Duration.ofSeconds(30)).until(() -> host.status(id) == SandboxStatus.PAUSED);
                assertThat(host.listing().getAutoPausedSandboxIdsList()).containsExactly(id);
                var _ = host.resume(id);
                var _ = Oracle.check(host.guest(id), seen);
                host.destroyAll();
            }
            assertThat(Files.exists(agent.home())).isTrue();
        }
    }
}
