package dev.sandglass.contract;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.EnumSet;
import java.util.Optional;
import java.util.function.Supplier;

/** A small secret in a file of its own that only its owner may read (mode 0600), written whole or not at all. */
public final class SecretFile {
    private SecretFile() {}

    /** What the file holds, surrounding white space removed; empty when there is no file. */
    public static Optional<String> find(Path file) {
        try {
            return Optional.of(Files.readString(file).strip());
        } catch (NoSuchFileException e) {
            return Optional.empty();
        } catch (IOException e) {
            throw new UncheckedIOException("read the secret in " + file, e);
        }
    }

    /** What the file holds; made from {@code fresh} first where it does not exist. Two callers get the same secret. */
    public static String ensure(Path file, Supplier<String> fresh) {
        Optional<String> kept = find(file);
        if (kept.isPresent()) {
            return kept.get();
        }
        String secret = fresh.get();
        try {
            Path written = writeTemporary(file, secret);
            try {
                Files.createLink(file, written); // unlike a rename it does not replace what somebody else just made
            } catch (FileAlreadyExistsException e) {
                return find(file).orElseThrow();
            } finally {
                Files.deleteIfExists(written);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("keep the secret in " + file, e);
        }
        return secret;
    }

    /** Replaces what the file holds. */
    public static void write(Path file, String secret) {
        try {
            Files.move(
                    writeTemporary(file, secret),
                    file,
                    StandardCopyOption.ATOMIC_MOVE,
                    StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            throw new UncheckedIOException("keep the secret in " + file, e);
        }
    }

    private static Path writeTemporary(Path file, String secret) throws IOException {
        Path directory = file.toAbsolutePath().getParent();
        if (directory == null) {
            throw new IllegalArgumentException("not a file: " + file);
        }
        Files.createDirectories(
                directory, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        Path temporary = directory.resolve("." + file.getFileName() + "." + Id.Ids.randomCharacters(8));
        try (FileChannel channel = FileChannel.open(
                temporary,
                EnumSet.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))) {
            channel.write(StandardCharsets.UTF_8.encode(secret + "\n"));
            channel.force(true);
        }
        return temporary;
    }
}
