package dev.sandglass.host.disk;

import dev.sandglass.host.linux.Command;
import dev.sandglass.host.linux.CommandFailed;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.DeadlineExceeded;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/**
 * Makes one qcow2 layer of several, by QEMU's storage daemon: the new, empty one is put below them and all they have is
 * committed into it. Of QEMU's jobs this is the one that copies exactly what is allocated, 2 KiB subclusters and zeroes
 * included, without looking at what lies below; streaming and mirroring would copy whole clusters up from the base.
 *
 * <pre>
 * scratch (empty) → layers, top first → merged        commit of the layers into "merged"
 * </pre>
 */
final class LayerMerge {
    private static final String CAPABILITIES = "{\"execute\":\"qmp_capabilities\"}";
    private static final String COMMIT = "{\"execute\":\"block-commit\",\"arguments\":{\"job-id\":\"merge\","
            + "\"device\":\"scratch\",\"top-node\":\"layer0\",\"base-node\":\"merged\"}}";
    private static final String QUIT = "{\"execute\":\"quit\"}";

    /** The daemon says a dozen lines; from more, the last tell what is wrong. */
    private static final int LINES_KEPT = 20;

    private static final JsonMapper JSON = JsonMapper.shared();
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    private final Process daemon;
    private final Deadline deadline;
    private final List<String> said = new ArrayList<>();

    private LayerMerge(Process daemon, Deadline deadline) {
        this.daemon = daemon;
        this.deadline = deadline;
    }

    /**
     * @param layers top first, of images that {@link Qcow2Image#isPlain}
     * @param merged an empty image; holds what they do afterwards, unsynced
     * @param scratch another; its content is nothing to anybody
     */
    static void run(List<Path> layers, Path merged, Path scratch, Deadline deadline) throws IOException {
        Process daemon = new ProcessBuilder(argv(layers, merged, scratch))
                .redirectErrorStream(true)
                .start();
        try {
            new LayerMerge(daemon, deadline).converse();
        } finally {
            daemon.destroyForcibly();
        }
    }

    private static List<String> argv(List<Path> layers, Path merged, Path scratch) {
        List<String> argv =
                new ArrayList<>(List.of("qemu-storage-daemon", "--chardev", "stdio,id=q", "--monitor", "chardev=q"));
        // Zeroes that were written as such stay holes.
        add(argv, node("merged", merged, true).put("discard", "unmap").put("detect-zeroes", "unmap"), "");
        String below = "merged";
        for (int i = layers.size() - 1; i >= 0; i--) {
            String name = "layer" + i;
            add(argv, node(name, layers.get(i), true), below);
            below = name;
        }
        add(argv, node("scratch", scratch, false), below);
        return argv;
    }

    private static ObjectNode node(String name, Path file, boolean readOnly) {
        return image(new DiskLayer(file, DiskLayer.Format.QCOW2))
                .put("node-name", name)
                .put("read-only", readOnly);
    }

    private static ObjectNode image(DiskLayer layer) {
        ObjectNode image =
                NODES.objectNode().put("driver", layer.format().name().toLowerCase(Locale.ROOT));
        image.putObject("file")
                .put("driver", "file")
                .put("filename", layer.file().toString());
        return image;
    }

    private static void add(List<String> argv, ObjectNode node, String below) {
        if (below.isEmpty()) {
            node.putNull("backing");
        } else {
            node.put("backing", below);
        }
        argv.addAll(List.of("--blockdev", node.toString()));
    }

    private void converse() throws IOException {
        Thread watch = Thread.ofVirtual().name("disk-merge-deadline").start(this::endAtDeadline);
        try (BufferedReader answers = daemon.inputReader(StandardCharsets.UTF_8);
                Writer commands = daemon.outputWriter(StandardCharsets.UTF_8)) {
            commands.write(CAPABILITIES + "\n" + COMMIT + "\n");
            commands.flush();
            awaitCompletion(answers);
            commands.write(QUIT + "\n");
            commands.flush();
            drain(answers);
            int status = daemon.waitFor();
            if (status != 0) {
                throw failed("exit status " + status);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw failed("interrupted");
        } catch (IOException e) {
            deadline.check("merge a disk's layers");
            throw e;
        } finally {
            watch.interrupt();
        }
    }

    private void endAtDeadline() {
        try {
            if (!daemon.waitFor(deadline.remaining().toNanos(), TimeUnit.NANOSECONDS)) {
                daemon.destroyForcibly();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void awaitCompletion(BufferedReader answers) throws IOException {
        for (String line = answers.readLine(); line != null; line = answers.readLine()) {
            keep(line);
            JsonNode message = parsed(line);
            if (message.has("error")) {
                throw failed(message.path("error").path("desc").asString(""));
            }
            if (message.path("event").asString("").equals("BLOCK_JOB_COMPLETED")) {
                if (message.path("data").has("error")) {
                    throw failed(message.path("data").path("error").asString(""));
                }
                return;
            }
        }
        throw failed("it ended");
    }

    private void drain(BufferedReader answers) throws IOException {
        for (String line = answers.readLine(); line != null; line = answers.readLine()) {
            keep(line);
        }
    }

    private void keep(String line) {
        said.add(line);
        if (said.size() > LINES_KEPT) {
            said.removeFirst();
        }
    }

    /** Warnings are no JSON. */
    private static JsonNode parsed(String line) {
        try {
            return JSON.readTree(line);
        } catch (JacksonException e) {
            return NODES.objectNode();
        }
    }

    private IOException failed(String why) {
        return new IOException("qemu-storage-daemon: " + why + "; it said " + String.join(" | ", said));
    }

    /** Reads both in full where anything is allocated, the base included. */
    static void requireSame(List<DiskLayer> one, List<DiskLayer> other, Deadline deadline) throws IOException {
        try {
            Command.of("qemu-img", "compare", chain(one), chain(other))
                    .timeout(deadline.remaining())
                    .run();
        } catch (CommandFailed e) {
            if (deadline.expired()) {
                throw new DeadlineExceeded("compare merged layers of a disk");
            }
            throw new IOException("a merged layer of a disk is not what it was merged from", e);
        }
    }

    /** As an image name. */
    private static String chain(List<DiskLayer> topFirst) {
        ObjectNode chain = image(topFirst.getLast());
        if (topFirst.getLast().format() == DiskLayer.Format.QCOW2) {
            chain.putNull("backing");
        }
        for (DiskLayer layer : topFirst.reversed().subList(1, topFirst.size())) {
            ObjectNode above = image(layer);
            above.set("backing", chain);
            chain = above;
        }
        return "json:" + chain;
    }
}
