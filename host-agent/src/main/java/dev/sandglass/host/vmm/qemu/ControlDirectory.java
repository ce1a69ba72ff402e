package dev.sandglass.host.vmm.qemu;

import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.process.ProcessIdentity;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;

/**
 * The one directory that a QEMU process shares with us, as its descriptor 7: how files reach it after its start. It is the
 * VM's user's until we have connected to the socket in it, and root's from then on, before any guest code runs: QEMU may
 * open what we put there by name, and can put nothing there itself.
 */
record ControlDirectory(Path path) {
    static final FileAttribute<Set<PosixFilePermission>> OWNER_ONLY_FILE =
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));

    private static final FileAttribute<Set<PosixFilePermission>> OWNER_ONLY =
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));
    private static final String SOCKET = "qmp";
    private static final String SEEN_BY_QEMU = "/proc/self/fd/7/";

    /** Anew: what an earlier machine in this place left would be mistaken for ours. */
    static ControlDirectory create(Path path, int uid) throws IOException {
        ControlDirectory control = new ControlDirectory(path);
        control.removeOld();
        Files.createDirectory(path, OWNER_ONLY);
        give(path, uid);
        return control;
    }

    private void removeOld() throws IOException {
        try (DirectoryStream<Path> files = Files.newDirectoryStream(path)) {
            for (Path file : files) {
                Files.delete(file);
            }
        } catch (NoSuchFileException e) {
            return;
        }
        Files.delete(path);
    }

    /** The VM's user may still open by name what is put there for it. */
    void take() throws IOException {
        give(path, 0);
        Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rwx--x--x"));
    }

    Path file(String name) {
        return path.resolve(name);
    }

    /** QEMU's name of a file in it. */
    static String name(String file) {
        return SEEN_BY_QEMU + file;
    }

    static String socketName() {
        return name(SOCKET);
    }

    /** Opened, since a socket's address holds about 100 bytes, and paths here may be longer. */
    FileDescriptor open() {
        return Linux.open(path, Linux.O_RDONLY, 0);
    }

    static UnixDomainSocketAddress socket(FileDescriptor opened) {
        return UnixDomainSocketAddress.of(opened.path().resolve(SOCKET));
    }

    static void give(Path file, int uid) throws IOException {
        Files.setAttribute(file, "unix:gid", uid);
        Files.setAttribute(file, "unix:uid", uid);
    }

    /** The user that a VM's process runs as. */
    static int user(ProcessIdentity process) {
        return Linux.statx(Path.of("/proc", Integer.toString(process.pid()))).uid();
    }
}
