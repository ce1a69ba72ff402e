package dev.sandglass.host.network;

import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Who has which slot index on this machine: one file per index in a directory that all installations share. A claim is
 * linked into place with its content, so it is whole, and of two only one succeeds. It survives the agent; it is given
 * up by its installation, or by others once the installation's home is gone.
 */
final class SlotRegistry {
    private static final Pattern INDEX = Pattern.compile("0|[1-9]\\d{0,4}");
    private static final Pattern CLAIM = Pattern.compile("([a-z0-9]{8,64}) (\\d{1,10}) (/[^\n]*)\n");

    /** @param pid of the agent that made it */
    record Claim(String installation, long pid, Path home) {
        Claim {
            if (!home.isAbsolute()) {
                throw new IllegalArgumentException("not absolute: " + home);
            }
        }

        String text() {
            return installation + " " + pid + " " + home + "\n";
        }

        static Optional<Claim> parse(String text) {
            Matcher fields = CLAIM.matcher(text);
            // A damaged home must not look like one that is gone.
            if (!fields.matches() || text.indexOf('\uFFFD') >= 0) {
                return Optional.empty();
            }
            try {
                return Optional.of(
                        new Claim(fields.group(1), Long.parseLong(fields.group(2)), Path.of(fields.group(3))));
            } catch (IllegalArgumentException e) {
                return Optional.empty();
            }
        }

        /**
         * Nobody can come back for it: its home is gone, or has become that of {@code mine}. A home may also be out of our
         * sight only, in a container's file system: so not while the agent that made the claim is alive.
         */
        boolean abandoned(Claim mine) {
            return !installation.equals(mine.installation)
                    && (home.equals(mine.home) || (Files.notExists(home) && !claimantLives()));
        }

        private boolean claimantLives() {
            return Files.exists(Path.of("/proc", Long.toString(pid)));
        }
    }

    private final Path directory;
    private final Claim mine;

    SlotRegistry(NetworkConfiguration configuration) {
        this.directory = configuration.registry();
        this.mine = new Claim(configuration.installation(), Linux.getpid(), configuration.home());
        try {
            Files.createDirectories(
                    directory, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        } catch (IOException e) {
            throw new UncheckedIOException("make " + directory, e);
        }
        removeUnfinished();
    }

    /** What an agent of this installation was writing when it was killed; there is one at a time. */
    private void removeUnfinished() {
        try (DirectoryStream<Path> unfinished = Files.newDirectoryStream(directory, draftPrefix() + "*")) {
            for (Path draft : unfinished) {
                Files.deleteIfExists(draft);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("clear " + directory, e);
        }
    }

    private String draftPrefix() {
        return ".claim-" + mine.installation + "-";
    }

    Claim mine() {
        return mine;
    }

    /** False if somebody has it, ourselves included. */
    boolean claim(int index) {
        try {
            Path claim = Files.createTempFile(directory, draftPrefix(), "");
            try {
                Files.writeString(claim, mine.text());
                Files.createLink(file(index), claim);
                return true;
            } catch (FileAlreadyExistsException e) {
                return false;
            } finally {
                Files.deleteIfExists(claim);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("claim slot " + index, e);
        }
    }

    /** Idempotent; the claim of another is left alone. */
    void release(int index) {
        release(index, mine.installation);
    }

    void release(int index, String installation) {
        try {
            if (claimed(index)
                    .filter(claim -> claim.installation.equals(installation))
                    .isPresent()) {
                Files.deleteIfExists(file(index));
            }
        } catch (IOException e) {
            throw new UncheckedIOException("give up slot " + index, e);
        }
    }

    /** By index; what cannot be read is somebody's and is left out here, but cannot be claimed. */
    Map<Integer, Claim> claims() {
        Map<Integer, Claim> claims = new TreeMap<>();
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : files.toList()) {
                String name = String.valueOf(file.getFileName());
                if (INDEX.matcher(name).matches()) {
                    claimed(Integer.parseInt(name)).ifPresent(claim -> claims.put(Integer.parseInt(name), claim));
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("list " + directory, e);
        }
        return claims;
    }

    /** One installation at a time clears up after those that are gone. */
    void exclusively(Runnable work) {
        try (FileDescriptor lock = Linux.open(directory.resolve(".lock"), Linux.O_RDWR | Linux.O_CREAT, 0600)) {
            Linux.flock(lock);
            work.run();
        }
    }

    private Optional<Claim> claimed(int index) throws IOException {
        try {
            return Claim.parse(new String(Files.readAllBytes(file(index)), StandardCharsets.UTF_8));
        } catch (NoSuchFileException e) {
            return Optional.empty();
        }
    }

    private Path file(int index) {
        return directory.resolve(Integer.toString(index));
    }
}
