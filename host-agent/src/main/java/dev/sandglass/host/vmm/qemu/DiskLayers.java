package dev.sandglass.host.vmm.qemu;

import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.vmm.DiskSwitch;
import dev.sandglass.host.vmm.VmmFailed;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * The layers of one QEMU's disk. A layer that is the top, or was once, is a node named after the inode of its file: so the
 * process itself tells which layer it writes to, whoever asks.
 */
final class DiskLayers {
    private static final Logger LOG = LoggerFactory.getLogger(DiskLayers.class);
    private static final String PREFIX = "disk-";

    /** Of the command that undoes a preparation; what it leaves undone is one open file. */
    private static final Duration UNDO = Duration.ofSeconds(5);

    /** QMP commands; the connection may be another one each time. */
    interface Commands {
        JsonNode execute(String command, ObjectNode arguments, Deadline deadline);
    }

    private final String machine;
    private final ControlDirectory control;
    private final Commands commands;

    DiskLayers(String machine, ControlDirectory control, Commands commands) {
        this.machine = machine;
        this.control = control;
        this.commands = commands;
    }

    static String node(Path file) {
        return PREFIX + Linux.statx(file).inode();
    }

    long topInode(Deadline deadline) {
        return Long.parseLong(top(deadline).substring(PREFIX.length()));
    }

    private String top(Deadline deadline) {
        JsonNode devices = commands.execute("query-block", QmpClient.arguments(), deadline);
        for (JsonNode device : devices) {
            String node = device.path("inserted").path("node-name").asString("");
            if (node.startsWith(PREFIX)) {
                return node;
            }
        }
        throw new VmmFailed(machine + ": its disk's top layer is unknown: " + devices);
    }

    /** @param uid whose process opens the file; it is its owner while that happens */
    DiskSwitch prepare(Path file, int uid, Deadline deadline) {
        String node = node(file);
        Path link = control.file(node);
        try {
            Files.deleteIfExists(link);
            Files.createLink(link, file);
            try {
                ControlDirectory.give(file, uid);
                commands.execute("blockdev-add", layer(node), deadline);
            } finally {
                Files.delete(link);
                ControlDirectory.give(file, 0);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(machine + ": hand a disk layer over", e);
        }
        return new Prepared(node);
    }

    /** As in the command line that starts a machine, but for the backing layer, which it gets when it becomes the top. */
    private static ObjectNode layer(String node) {
        ObjectNode layer = QmpClient.arguments()
                .put("driver", "qcow2")
                .put("node-name", node)
                .put("discard", "unmap")
                .putNull("backing");
        layer.putObject("file")
                .put("driver", "file")
                .put("filename", ControlDirectory.name(node))
                .put("discard", "unmap");
        return layer;
    }

    private final class Prepared implements DiskSwitch {
        private final String node;
        private boolean done;

        Prepared(String node) {
            this.node = node;
        }

        @Override
        public synchronized void commit(Deadline deadline) {
            if (done) {
                throw new IllegalStateException(machine + ": " + node + " was committed or closed before");
            }
            // Flushes the old top: its metadata are in its file afterwards.
            commands.execute(
                    "blockdev-snapshot",
                    QmpClient.arguments().put("node", top(deadline)).put("overlay", node),
                    deadline);
            done = true;
        }

        @Override
        public synchronized void close() {
            if (done) {
                return;
            }
            done = true;
            try {
                commands.execute("blockdev-del", QmpClient.arguments().put("node-name", node), Deadline.after(UNDO));
            } catch (RuntimeException e) {
                // Also when the commit was carried out and only its answer got lost: then the layer is in use.
                LOG.warn("machine {} keeps the unused disk layer {} open", machine, node, e);
            }
        }
    }
}
