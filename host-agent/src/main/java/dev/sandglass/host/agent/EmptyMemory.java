package dev.sandglass.host.agent;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import java.util.HashMap;
import java.util.Map;

/**
 * Memory that nothing has been written to: what a guest has that boots on its own instead of being cloned. One sealed
 * memfd for each size, which all such guests map privately. Thread-safe.
 */
final class EmptyMemory implements AutoCloseable {
    private static final int SEALS = Linux.F_SEAL_WRITE | Linux.F_SEAL_SHRINK | Linux.F_SEAL_GROW | Linux.F_SEAL_SEAL;

    @GuardedBy("this")
    private final Map<Integer, FileDescriptor> files = new HashMap<>();

    /** Belongs to this. */
    synchronized FileDescriptor of(int memoryMb) {
        return files.computeIfAbsent(memoryMb, EmptyMemory::make);
    }

    private static FileDescriptor make(int memoryMb) {
        FileDescriptor memory = Linux.memfdCreate("empty-memory");
        try {
            Linux.ftruncate(memory, (long) memoryMb << 20);
            Linux.addSeals(memory, SEALS);
            return memory;
        } catch (RuntimeException failure) {
            memory.close();
            throw failure;
        }
    }

    @Override
    public synchronized void close() {
        files.values().forEach(FileDescriptor::close);
        files.clear();
    }
}
