package dev.sandglass.cli.server;

import dev.sandglass.cli.client.Access;
import dev.sandglass.cli.client.Json;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Optional;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * SANDGLASS_HOME as the command line sees it:
 *
 * <pre>
 * control-plane.lock, agent.lock   locked by the process that has this role here, for as long as it lives
 * control-plane.json, agent.json   its pid and address
 * client.json                      the API's address and the local key, readable by the owner only
 * log/                             what servers log
 * </pre>
 */
public record Home(Path path) {
    /** What a process does for this home; {@code up} does both. */
    public enum Role {
        CONTROL_PLANE("control-plane"),
        AGENT("agent");

        private final String file;

        Role(String file) {
            this.file = file;
        }

        String label() {
            return file;
        }
    }

    /** The process that has a role. */
    public record Running(long pid, URI url) {}

    /** Held by a running server. */
    public static final class Lock implements AutoCloseable {
        private final FileChannel channel;

        private Lock(FileChannel channel) {
            this.channel = channel;
        }

        @Override
        public void close() {
            try {
                channel.close();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    public Path log() {
        return path.resolve("log/sandglass.log");
    }

    /**
     * Makes the folders that are missing. Others may pass through, since the unprivileged processes of the sandboxes
     * have to; what is inside has rights of its own.
     */
    public void create() throws IOException {
        if (!Files.exists(path)) {
            Files.createDirectories(path);
            Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rwx--x--x"));
        }
        Files.createDirectories(path.resolve("log"));
    }

    /** Empty when another process holds it. */
    public Optional<Lock> tryLock(Role role) throws IOException {
        FileChannel channel = FileChannel.open(
                path.resolve(role.file + ".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        try {
            FileLock lock = channel.tryLock();
            if (lock != null) {
                return Optional.of(new Lock(channel));
            }
        } catch (OverlappingFileLockException e) {
            // held within this JVM
        }
        channel.close();
        return Optional.empty();
    }

    /** Who has this role now; empty when nobody has, or when that is not for this user to know. */
    public Optional<Running> findRunning(Role role) throws IOException {
        if (!Files.isWritable(path.resolve(role.file + ".lock"))) {
            return Optional.empty();
        }
        Optional<Lock> lock = tryLock(role);
        if (lock.isPresent()) {
            lock.get().close();
            return Optional.empty();
        }
        return Optional.of(read(role.file + ".json")
                .map(json -> new Running(
                        json.path("pid").asLong(0), URI.create(json.path("url").asString(""))))
                .orElse(new Running(0, URI.create(""))));
    }

    public void writeRunning(Role role, Running running) throws IOException {
        write(
                role.file + ".json",
                Json.object().put("pid", running.pid()).put("url", running.url().toString()));
    }

    public void writeAccess(Access access) throws IOException {
        write("client.json", toJson(access));
    }

    static ObjectNode toJson(Access access) {
        return Json.object().put("url", access.url().toString()).put("api_key", access.apiKey());
    }

    public Optional<Access> readAccess() {
        return read("client.json")
                .map(json -> new Access(
                        URI.create(json.path("url").asString("")),
                        json.path("api_key").asString("")))
                .filter(access -> !access.apiKey().isEmpty());
    }

    boolean accessIsUnreadable() {
        Path file = path.resolve("client.json");
        return (Files.exists(file) && !Files.isReadable(file))
                || (Files.isDirectory(path) && !Files.isExecutable(path));
    }

    private Optional<JsonNode> read(String name) {
        try {
            return Optional.of(Json.parse(Files.readString(path.resolve(name))));
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    /** Whole or not at all, and never readable by others, not even for a moment. */
    private void write(String name, ObjectNode json) throws IOException {
        Path temporary = Files.createTempFile(
                path, name, ".new", PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        try {
            Files.writeString(temporary, Json.writeIndented(json) + "\n");
            Files.move(temporary, path.resolve(name), StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(temporary);
        }
    }
}
