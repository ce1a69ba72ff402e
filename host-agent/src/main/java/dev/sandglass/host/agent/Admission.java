package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Decides whether the host has room for one more sandbox, by what is really free now and by what has been promised.
 * Clones share their template's pages, so the promises may exceed the memory by a configured factor. Thread-safe.
 */
final class Admission {
    /** What a clone needs at once before it has done anything: VMM, translation cache, page tables, first writes. */
    private static final long CLONE_BYTES = 64L << 20;

    /** Below this on top of the reserve, nothing is kept ready. */
    private static final long SPARE_BYTES = 4 * CLONE_BYTES;

    private final HostAgentConfiguration configuration;
    private final Path meminfo;
    private long promisedMb;
    private int starting;

    /** @param meminfo as /proc/meminfo */
    Admission(HostAgentConfiguration configuration, Path meminfo) {
        this.configuration = configuration;
        this.meminfo = meminfo;
    }

    /** A promise of memory, held as long as its sandbox has a VM. Closing is idempotent. */
    final class Promise implements AutoCloseable {
        private final int memoryMb;
        private boolean startingUp;
        private boolean released;

        private Promise(int memoryMb, boolean startingUp) {
            this.memoryMb = memoryMb;
            this.startingUp = startingUp;
        }

        /** The VM is up: what it uses shows in the host's available memory from now on. */
        void started() {
            synchronized (Admission.this) {
                if (startingUp) {
                    startingUp = false;
                    starting--;
                }
            }
        }

        @Override
        public void close() {
            synchronized (Admission.this) {
                started();
                if (!released) {
                    released = true;
                    promisedMb -= memoryMb;
                }
            }
        }
    }

    /** Memory of a VM that is already there. */
    synchronized Promise adopt(int memoryMb) {
        promisedMb += memoryMb;
        return new Promise(memoryMb, false);
    }

    /**
     * Promises memory and checks the disk.
     *
     * @throws PlatformException NO_CAPACITY or DISK_FULL, naming the limit
     */
    synchronized Promise admit(int memoryMb) {
        long limitMb = (long) ((memory("MemTotal") >> 20) * configuration.memoryOvercommit());
        if (promisedMb + memoryMb > limitMb) {
            throw new PlatformException(
                    ErrorCode.NO_CAPACITY,
                    ("This host has promised %d MB of at most %d MB to its sandboxes; %d MB more do not fit. "
                                    + "Delete sandboxes or raise SANDGLASS_MEMORY_OVERCOMMIT.")
                            .formatted(promisedMb, limitMb, memoryMb));
        }
        long available = memory("MemAvailable");
        long needed = ((long) configuration.memoryReserveMb() << 20) + CLONE_BYTES * (starting + 1);
        if (available < needed) {
            throw new PlatformException(
                    ErrorCode.NO_CAPACITY,
                    ("This host has %d MB of memory available and keeps %d MB free. Delete sandboxes, "
                                    + "or lower SANDGLASS_MEMORY_RESERVE_MB.")
                            .formatted(available >> 20, needed >> 20));
        }
        requireDisk();
        promisedMb += memoryMb;
        starting++;
        return new Promise(memoryMb, true);
    }

    /** So little memory is available that what is only kept ready should go. */
    boolean isShortOfMemory() {
        return memory("MemAvailable") < ((long) configuration.memoryReserveMb() << 20) + SPARE_BYTES;
    }

    void requireDisk() {
        long free = diskFreeBytes();
        if (free < configuration.diskReserveBytes()) {
            throw new PlatformException(
                    ErrorCode.DISK_FULL,
                    ("The disk of SANDGLASS_HOME has %d MB free and %d MB are kept as reserve. Delete sandboxes, free "
                                    + "space, or lower SANDGLASS_DISK_RESERVE_MB.")
                            .formatted(free >> 20, configuration.diskReserveBytes() >> 20));
        }
    }

    long diskFreeBytes() {
        try {
            return Files.getFileStore(configuration.home()).getUsableSpace();
        } catch (IOException e) {
            throw new UncheckedIOException("read the free space of SANDGLASS_HOME", e);
        }
    }

    /** A field of /proc/meminfo in bytes (proc(5): "MemAvailable:  123 kB"). */
    long memory(String field) {
        try {
            List<String> lines = Files.readAllLines(meminfo);
            return lines.stream()
                    .filter(line -> line.startsWith(field + ":"))
                    .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) * 1024)
                    .findFirst()
                    .orElseThrow(() -> new IllegalStateException("no " + field + " in " + meminfo));
        } catch (IOException e) {
            throw new UncheckedIOException("read " + meminfo, e);
        }
    }
}
