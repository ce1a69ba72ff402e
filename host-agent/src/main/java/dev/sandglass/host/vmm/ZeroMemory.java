package dev.sandglass.host.vmm;

import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.FileStatus;
import dev.sandglass.host.linux.Linux;
import java.nio.file.Path;

/**
 * What a machine maps privately that begins with empty memory: {@code /dev/zero}. An empty memfd would do the same at twice
 * the price: each page that a guest touches, were it only to read, becomes a page of the memfd as well, and is charged to
 * that guest's cgroup.
 */
public final class ZeroMemory {
    private static final Path FILE = Path.of("/dev/zero");

    private ZeroMemory() {}

    /** For {@link BootSource} and {@link Vmm#prepare}; closed by the caller. */
    public static FileDescriptor open() {
        return Linux.open(FILE, Linux.O_RDWR, 0);
    }

    /** How {@code bytes} of it are known among a process's mappings. */
    public static FileStatus mapped(long bytes) {
        FileStatus file = Linux.statx(FILE);
        return new FileStatus(
                file.device(),
                file.inode(),
                file.mode(),
                file.uid(),
                bytes,
                0,
                file.modifiedNanos(),
                file.changedNanos());
    }
}
