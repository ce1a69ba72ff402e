package dev.sandglass.host.linux;

/**
 * What statfs(2) says of the file system that holds a path.
 *
 * @param type its magic number, as in linux/magic.h
 * @param availableBytes free for an unprivileged writer
 */
public record FileSystemStatus(long type, long totalBytes, long availableBytes) {
    public static final long CGROUP2 = 0x63677270L;
    public static final long TMPFS = 0x01021994L;
}
