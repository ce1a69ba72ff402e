package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.lifecycle.SandboxState;
import dev.sandglass.host.linux.DurableFile;
import dev.sandglass.host.linux.Linux;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * The named snapshots on disk, each in a folder under its id and never under its name:
 *
 * <pre>
 * snapshots/ID/{manifest.json, disk-….qcow2, memory/}
 * snapshots/.draft-ID/                                 one in the making, removed when the agent starts
 * </pre>
 *
 * Their files are hard links, shared with the sandbox they were taken from and the sandboxes made from them: each can be
 * removed without asking who else needs what. Thread-safe for different ids.
 */
final class Snapshots {
    private static final Logger log = LoggerFactory.getLogger(Snapshots.class);
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final int FORMAT = 1;
    private static final String MANIFEST = "manifest.json";
    private static final String DRAFT_PREFIX = ".draft-";

    private final Path directory;

    /** @param directory made if absent */
    Snapshots(Path directory) {
        this.directory = directory;
        Host.createDirectory(directory);
    }

    /**
     * A snapshot's manifest.
     *
     * @param template the frozen template whose disk and memory are below its own
     * @param booted its memory comes from a boot of its own: below it there are only zeroes
     * @param guestToken what its guest accepts
     */
    record Content(int format, String id, String template, boolean booted, int vcpus, int memoryMb, String guestToken) {
        Content {
            if (!SandboxState.isToken(guestToken) || vcpus < 1 || memoryMb < 1) {
                throw new IllegalArgumentException("not a snapshot's manifest");
            }
        }

        static Content of(SnapshotId id, Ledger.Entry entry, String guestToken) {
            return new Content(
                    FORMAT, id.value(), entry.template(), entry.booted(), entry.vcpus(), entry.memoryMb(), guestToken);
        }
    }

    Path directory(SnapshotId id) {
        return directory.resolve(id.value());
    }

    boolean exists(SnapshotId id) {
        return Files.exists(directory(id));
    }

    /**
     * @throws PlatformException NOT_FOUND; INCOMPATIBLE_SNAPSHOT if another version of Sandglass took it; INTERNAL_ERROR that
     *     says that it is damaged
     */
    Content require(SnapshotId id) {
        try {
            return read(directory(id));
        } catch (NoSuchFileException e) {
            throw new PlatformException(ErrorCode.NOT_FOUND, "No snapshot " + id + " on this host.", e);
        } catch (OtherFormat other) {
            throw new PlatformException(
                    ErrorCode.INCOMPATIBLE_SNAPSHOT,
                    "Snapshot " + id + " was taken by another version of Sandglass: " + other.getMessage()
                            + ". Nothing was changed. Go on with that version, or delete the snapshot.",
                    other);
        } catch (IOException | JacksonException | IllegalArgumentException | NullPointerException e) {
            throw new PlatformException(
                    ErrorCode.INTERNAL_ERROR, "Snapshot " + id + " is damaged: its manifest cannot be read.", e);
        }
    }

    /** Its manifest is not that of a snapshot of this version. */
    private static final class OtherFormat extends IOException {
        private static final long serialVersionUID = 1;
        private final String template;

        OtherFormat(int format, String template) {
            super("its format is version " + format + ", this Sandglass knows " + FORMAT);
            this.template = template;
        }
    }

    private static Content read(Path home) throws IOException {
        JsonNode manifest = JSON.readTree(Files.readAllBytes(home.resolve(MANIFEST)));
        int format = manifest.path("format").asInt(0);
        if (manifest.isObject() && format != FORMAT) {
            throw new OtherFormat(format, manifest.path("template").asString(""));
        }
        return JSON.treeToValue(manifest, Content.class);
    }

    /** A folder in which a snapshot is put together; {@link #publish} makes it one, {@link #abandon} removes it. */
    Path begin(SnapshotId id) {
        Path draft = directory.resolve(DRAFT_PREFIX + id.value());
        Host.removeDirectory(draft); // of an attempt that failed and could not be cleaned up
        Host.createDirectory(draft);
        return draft;
    }

    void abandon(Path draft) {
        Host.removeDirectory(draft);
    }

    /** Durable when it returns; gives the bytes that are allocated for it. */
    long publish(Path draft, SnapshotId id, Content content) {
        DurableFile.write(draft.resolve(MANIFEST), JSON.writeValueAsBytes(content));
        try {
            Files.move(draft, directory(id), StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            throw new UncheckedIOException("publish snapshot " + id, e);
        }
        Linux.fsyncDirectory(directory);
        return Host.allocatedBytes(directory(id));
    }

    /** Idempotent. What sandboxes made from it need stays theirs. */
    void remove(SnapshotId id) {
        Path home = directory(id);
        if (Files.exists(home)) {
            // First it stops to be a snapshot, as a whole.
            Path gone = directory.resolve(DRAFT_PREFIX + id.value());
            Host.removeDirectory(gone);
            try {
                Files.move(home, gone, StandardCopyOption.ATOMIC_MOVE);
            } catch (IOException e) {
                throw new UncheckedIOException("remove snapshot " + id, e);
            }
            Linux.fsyncDirectory(directory);
            Host.removeDirectory(gone);
        }
    }

    /** One on disk, whatever its state; the time is the host's. */
    record Kept(SnapshotId id, Instant createdAt) {}

    List<Kept> all() {
        List<Kept> all = new ArrayList<>();
        for (Path home : folders()) {
            String name = String.valueOf(home.getFileName());
            if (Ids.isValid(SnapshotId.PREFIX, name)) {
                try {
                    // Nothing in it changes once it has been published.
                    all.add(new Kept(
                            new SnapshotId(name),
                            Files.getLastModifiedTime(home).toInstant()));
                } catch (NoSuchFileException removedMeanwhile) {
                    // It is not there any more.
                } catch (IOException e) {
                    throw new UncheckedIOException("look at snapshot " + name, e);
                }
            }
        }
        return all;
    }

    /** Ids of the templates that a snapshot depends on. */
    Set<String> templates() {
        Set<String> templates = new HashSet<>();
        for (Path home : folders()) {
            try {
                templates.add(read(home).template());
            } catch (OtherFormat other) {
                templates.add(other.template); // called so in every format
            } catch (IOException | JacksonException | IllegalArgumentException | NullPointerException e) {
                log.error("snapshot={} is damaged and is left alone", home.getFileName(), e);
            }
        }
        return templates;
    }

    /** Removes what an earlier agent did not finish. */
    void reclaim() {
        folders().stream()
                .filter(folder -> String.valueOf(folder.getFileName()).startsWith(DRAFT_PREFIX))
                .forEach(Host::removeDirectory);
    }

    private List<Path> folders() {
        try (Stream<Path> folders = Files.list(directory)) {
            return folders.toList();
        } catch (IOException e) {
            throw new UncheckedIOException("list snapshots", e);
        }
    }
}
