package dev.sandglass.host.vmm.qemu;

import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.vmm.BlockLayer;
import dev.sandglass.host.vmm.DiskSwitch;
import dev.sandglass.host.vmm.VmmFailed;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
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
    private static final Set<PosixFilePermission> TOP = PosixFilePermissions.fromString("rw-------");
    private static final Set<PosixFilePermission> FROZEN = PosixFilePermissions.fromString("r--r--r--");

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

    /**
     * Gives a machine that has run nothing yet its disk.
     *
     * @param own top first
     * @param base node of the uppermost shared layer
     * @param uid as in {@link #prepare}
     */
    void attach(List<BlockLayer> own, Optional<String> base, int uid, Deadline deadline) {
        String node = base.orElse("");
        for (BlockLayer layer : own.reversed()) {
            String above = node(layer.file());
            ObjectNode description = layer(above, layer.qcow2());
            if (layer.qcow2()) {
                backing(description, node);
            }
            if (layer.equals(own.getFirst())) {
                add(layer.file(), description, uid, deadline);
            } else {
                addFrozen(layer.file(), description, deadline);
            }
            node = above;
        }
        commands.execute(
                "qom-set",
                QmpClient.arguments()
                        .put("path", "/machine/peripheral/" + QemuCommand.DISK)
                        .put("property", "drive")
                        .put("value", node),
                deadline);
    }

    /** @param uid whose process opens the file; it is its owner while that happens */
    DiskSwitch prepare(Path file, int uid, Deadline deadline) {
        String node = node(file);
        // It gets its backing layer when it becomes the top.
        add(file, backing(layer(node, true), ""), uid, deadline);
        return new Prepared(node);
    }

    private void add(Path file, ObjectNode description, int uid, Deadline deadline) {
        linked(file, description, () -> {
            try {
                Files.setPosixFilePermissions(file, TOP);
                ControlDirectory.give(file, uid);
                commands.execute("blockdev-add", description, deadline);
            } finally {
                ControlDirectory.give(file, 0);
            }
        });
    }

    /**
     * A layer that is never written again is opened by many at once, so it has no owner among them. One of them may be the
     * machine that wrote it, which keeps its lock on it after having been given a new top layer.
     */
    private void addFrozen(Path file, ObjectNode description, Deadline deadline) {
        description.put("read-only", true);
        ((ObjectNode) description.get("file")).put("read-only", true).put("locking", "off");
        linked(file, description, () -> {
            Files.setPosixFilePermissions(file, FROZEN);
            commands.execute("blockdev-add", description, deadline);
        });
    }

    @FunctionalInterface
    private interface Handing {
        void run() throws IOException;
    }

    /** While {@code handing} runs, QEMU can open the file under its node's name. */
    private void linked(Path file, ObjectNode description, Handing handing) {
        Path link = control.file(description.get("node-name").asString());
        try {
            Files.deleteIfExists(link);
            Files.createLink(link, file);
            try {
                handing.run();
            } finally {
                Files.delete(link);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(machine + ": hand a disk layer over", e);
        }
    }

    private static ObjectNode layer(String node, boolean qcow2) {
        ObjectNode layer = QmpClient.arguments()
                .put("driver", qcow2 ? "qcow2" : "raw")
                .put("node-name", node)
                .put("discard", "unmap");
        layer.putObject("file")
                .put("driver", "file")
                .put("filename", ControlDirectory.name(node))
                .put("discard", "unmap");
        return layer;
    }

    /** Backing files named inside qcow2 are ignored. */
    private static ObjectNode backing(ObjectNode layer, String node) {
        return node.isEmpty() ? layer.putNull("backing") : layer.put("backing", node);
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
