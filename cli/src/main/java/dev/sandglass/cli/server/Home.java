package dev.sandglass.cli.server;

import dev.sandglass.cli.client.Access;
import dev.sandglass.cli.client.Json;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.AtomicMoveNotSupportedException;
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
 * server.lock   locked by the server that runs for this home, for as long as it lives
 * server.json   its pid and address
 * client.json   the local account and its API key, readable by the owner only
 * log/          the server's log
 * </pre>
 */
public record Home(Path path) {
    private static final String OWNER_ONLY = "rw-------";

    /** The running server's. */
    public record Server(long pid, URI url) {}

    /** The first account, which `up` makes; the password is random and only there to renew the key. */
    public record Account(String email, String password) {}

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

    /** Makes the folders that are missing. */
    public void create() throws IOException {
        Files.createDirectories(path);
        Files.createDirectories(log().getParent());
    }

    /** Empty when another process holds it. */
    public Optional<Lock> tryLock() throws IOException {
        FileChannel channel =
                FileChannel.open(path.resolve("server.lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
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

    /** Whether a server runs for this home. */
    public boolean isServed() throws IOException {
        if (!Files.isWritable(path.resolve("server.lock"))) {
            return false; // none ever ran, or not one of this user
        }
        Optional<Lock> lock = tryLock();
        lock.ifPresent(Lock::close);
        return lock.isEmpty();
    }

    public void writeServer(Server server) throws IOException {
        ObjectNode json =
                Json.object().put("pid", server.pid()).put("url", server.url().toString());
        write("server.json", json);
    }

    /** What was written by the server that holds the lock; without that lock it is out of date. */
    public Optional<Server> readServer() {
        return read("server.json")
                .map(json -> new Server(
                        json.path("pid").asLong(0), URI.create(json.path("url").asString(""))));
    }

    public void writeAccess(Access access, Account account) throws IOException {
        ObjectNode json = Json.object()
                .put("url", access.url().toString())
                .put("api_key", access.apiKey())
                .put("email", account.email())
                .put("password", account.password());
        write("client.json", json);
    }

    public Optional<Access> readAccess() {
        return read("client.json")
                .map(json -> new Access(
                        URI.create(json.path("url").asString("")),
                        json.path("api_key").asString("")))
                .filter(access -> !access.apiKey().isEmpty());
    }

    public Optional<Account> readAccount() {
        return read("client.json")
                .map(json -> new Account(
                        json.path("email").asString(""), json.path("password").asString("")))
                .filter(account -> !account.email().isEmpty());
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
        Path file = path.resolve(name);
        Path temporary = Files.createTempFile(
                path, name, ".new", PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(OWNER_ONLY)));
        try {
            Files.writeString(temporary, Json.writeIndented(json) + "\n");
            Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE);
        } catch (AtomicMoveNotSupportedException e) {
            throw new IllegalStateException(e);
        } finally {
            Files.deleteIfExists(temporary);
        }
    }
}
