package dev.sandglass.control.database;

import dev.sandglass.contract.Progress;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.tukaani.xz.XZInputStream;

/** PostgreSQL's programs, unpacked once from the archive on the class path into a directory named by its checksum. */
final class PostgresBinaries {
    /** The release the archive holds; part of the data directory's name, since files of one major fit no other. */
    static final int MAJOR_VERSION = 18;

    private static final String ARCHIVE = "/postgres-linux-x86_64.txz";

    private PostgresBinaries() {}

    /** The directory that holds {@code bin/}. Safe against being killed half-way: the last step is a rename. */
    static Path ensure(Path parent, Progress progress) {
        try {
            Path directory = parent.resolve(MAJOR_VERSION + "-" + checksum().substring(0, 16));
            if (!Files.isDirectory(directory)) {
                progress.step("unpacking PostgreSQL");
                unpack(parent, directory, progress);
            }
            return directory;
        } catch (IOException e) {
            throw new UncheckedIOException("unpack PostgreSQL into " + parent, e);
        }
    }

    private static void unpack(Path parent, Path directory, Progress progress) throws IOException {
        Path partial = Files.createTempDirectory(Files.createDirectories(parent), "unpacking-");
        try {
            Process tar = new ProcessBuilder("tar", "-x", "--no-same-owner", "-C", partial.toString())
                    .redirectErrorStream(true)
                    .start();
            try (InputStream archive = open();
                    InputStream plain = new XZInputStream(archive);
                    OutputStream into = tar.getOutputStream()) {
                copy(plain, into, progress);
            }
            String complaint = new String(tar.getInputStream().readNBytes(4096), StandardCharsets.UTF_8);
            if (!exitsWithZero(tar)) {
                throw new IOException("tar: " + complaint.strip());
            }
            Files.setPosixFilePermissions(partial, PosixFilePermissions.fromString("rwxr-xr-x"));
            Files.move(partial, directory, StandardCopyOption.ATOMIC_MOVE);
        } catch (FileAlreadyExistsException | DirectoryNotEmptyException e) {
            delete(partial); // another process was quicker
        } catch (IOException e) {
            delete(partial);
            throw e;
        }
    }

    private static void copy(InputStream from, OutputStream into, Progress progress) throws IOException {
        byte[] buffer = new byte[1 << 16];
        long done = 0;
        for (int n = from.read(buffer); n >= 0; n = from.read(buffer)) {
            into.write(buffer, 0, n);
            done += n;
            progress.advance(done, 0, "bytes");
        }
    }

    private static boolean exitsWithZero(Process process) {
        try {
            return process.waitFor(1, TimeUnit.MINUTES) && process.exitValue() == 0;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        } finally {
            process.destroyForcibly();
        }
    }

    private static String checksum() throws IOException {
        try (InputStream archive = open()) {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            byte[] buffer = new byte[1 << 16];
            for (int n = archive.read(buffer); n >= 0; n = archive.read(buffer)) {
                digest.update(buffer, 0, n);
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private static InputStream open() {
        InputStream archive = PostgresBinaries.class.getResourceAsStream(ARCHIVE);
        if (archive == null) {
            throw new IllegalStateException(ARCHIVE + " is not on the class path");
        }
        return archive;
    }

    static void delete(Path directory) throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(file);
            }
        }
    }
}
