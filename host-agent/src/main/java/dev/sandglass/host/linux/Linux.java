package dev.sandglass.host.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;
import java.nio.file.Path;
import java.util.List;

/**
 * System calls, one method each, through the C library. A failure is a {@link LinuxException}; EINTR is retried where
 * that is harmless. Calls that wait ({@link #poll}) hold their thread: use platform threads for them. 64-bit Linux.
 */
public final class Linux {
    public static final int O_RDONLY = 0;
    public static final int O_WRONLY = 1;
    public static final int O_RDWR = 2;
    public static final int O_CREAT = 0x40;
    public static final int O_EXCL = 0x80;

    public static final int SEEK_DATA = 3;
    public static final int SEEK_HOLE = 4;

    public static final int F_SEAL_SEAL = 1;
    public static final int F_SEAL_SHRINK = 2;
    public static final int F_SEAL_GROW = 4;
    public static final int F_SEAL_WRITE = 8;

    public static final int SIGKILL = 9;
    public static final int SIGTERM = 15;

    public static final short POLLIN = 1;

    /** UIO_MAXIOV. */
    public static final int IOVEC_MAX = 1024;

    private static final int SYNC_FILE_RANGE_WRITE = 2;
    private static final int POSIX_FADV_WILLNEED = 3;

    private static final int O_CLOEXEC = 0x80000;
    private static final int MFD_CLOEXEC = 1;
    private static final int MFD_ALLOW_SEALING = 2;
    private static final int EFD_CLOEXEC = O_CLOEXEC;
    private static final int EFD_NONBLOCK = 0x800;
    private static final int F_ADD_SEALS = 1033;
    private static final int F_GET_SEALS = 1034;
    private static final int LOCK_EX = 2;
    private static final int LOCK_NB = 4;
    private static final int FALLOC_KEEP_SIZE_PUNCH_HOLE = 1 | 2;
    private static final int AT_FDCWD = -100;
    private static final int STATX_BASIC_STATS = 0x7ff;
    private static final int STATX_BYTES = 256;
    private static final int STATFS_BYTES = 256;
    private static final long NANOS_PER_SECOND = 1_000_000_000L;

    /** Numbers shared by all architectures since Linux 5.1; glibc before 2.36 has no functions for them. */
    private static final long SYS_PIDFD_SEND_SIGNAL = 424;

    private static final long SYS_PIDFD_OPEN = 434;

    private static final Linker LINKER = Linker.nativeLinker();
    private static final StructLayout CALL_STATE = Linker.Option.captureStateLayout();
    private static final VarHandle ERRNO = CALL_STATE.varHandle(MemoryLayout.PathElement.groupElement("errno"));

    private static final MethodHandle OPEN = variadic("open", 2, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT);
    private static final MethodHandle CLOSE = function("close", JAVA_INT, JAVA_INT);
    private static final MethodHandle READ = function("read", JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG);
    private static final MethodHandle WRITE = function("write", JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG);
    private static final MethodHandle FSYNC = function("fsync", JAVA_INT, JAVA_INT);
    private static final MethodHandle FTRUNCATE = function("ftruncate", JAVA_INT, JAVA_INT, JAVA_LONG);
    private static final MethodHandle FALLOCATE =
            function("fallocate", JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG);
    private static final MethodHandle LSEEK = function("lseek", JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT);
    private static final MethodHandle SENDFILE =
            function("sendfile", JAVA_LONG, JAVA_INT, JAVA_INT, ADDRESS, JAVA_LONG);
    private static final MethodHandle COPY_FILE_RANGE =
            function("copy_file_range", JAVA_LONG, JAVA_INT, ADDRESS, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT);
    private static final MethodHandle FCNTL = variadic("fcntl", 2, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT);
    private static final MethodHandle FLOCK = function("flock", JAVA_INT, JAVA_INT, JAVA_INT);
    private static final MethodHandle MEMFD_CREATE = function("memfd_create", JAVA_INT, ADDRESS, JAVA_INT);
    private static final MethodHandle EVENTFD = function("eventfd", JAVA_INT, JAVA_INT, JAVA_INT);
    private static final MethodHandle POLL = function("poll", JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT);
    private static final MethodHandle KILL = function("kill", JAVA_INT, JAVA_INT, JAVA_INT);
    private static final MethodHandle SYSCALL_PIDFD_OPEN =
            variadic("syscall", 1, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT);
    private static final MethodHandle SYSCALL_PIDFD_SEND_SIGNAL =
            variadic("syscall", 1, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT);
    private static final MethodHandle STATX =
            function("statx", JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT, ADDRESS);
    private static final MethodHandle STATFS = function("statfs", JAVA_INT, ADDRESS, ADDRESS);
    private static final MethodHandle SYNC_FILE_RANGE =
            function("sync_file_range", JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT);
    private static final MethodHandle POSIX_FADVISE =
            function("posix_fadvise", JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT);
    private static final MethodHandle PROCESS_VM_READV = processVm("process_vm_readv");
    private static final MethodHandle PROCESS_VM_WRITEV = processVm("process_vm_writev");
    private static final MethodHandle STRERROR = LINKER.downcallHandle(
            LINKER.defaultLookup().findOrThrow("strerror"), FunctionDescriptor.of(ADDRESS, JAVA_INT));

    private static final int PID = Math.toIntExact(ProcessHandle.current().pid());

    private Linux() {}

    public static int getpid() {
        return PID;
    }

    /** open(2) with O_CLOEXEC; {@code mode} counts only with {@link #O_CREAT}. */
    public static FileDescriptor open(Path path, int flags, int mode) {
        String subject = path.toString();
        return new FileDescriptor(
                (int) call("open", subject, true, (arena, state) ->
                        (int) OPEN.invokeExact(state, arena.allocateFrom(subject), flags | O_CLOEXEC, mode)),
                subject);
    }

    static void close(int fd, String subject) {
        // No retry: Linux has closed the descriptor even when it says EINTR.
        call("close", subject, false, (arena, state) -> (int) CLOSE.invokeExact(state, fd));
    }

    /** Reads up to {@code into}'s size at the file position; 0 at the end. */
    public static long read(FileDescriptor file, MemorySegment into) {
        return call("read", file.toString(), true, (arena, state) ->
                (long) READ.invokeExact(state, file.number(), into, into.byteSize()));
    }

    /** Writes up to {@code from}'s size at the file position. */
    public static long write(FileDescriptor file, MemorySegment from) {
        return call("write", file.toString(), true, (arena, state) ->
                (long) WRITE.invokeExact(state, file.number(), from, from.byteSize()));
    }

    public static void fsync(FileDescriptor file) {
        call("fsync", file.toString(), true, (arena, state) -> (int) FSYNC.invokeExact(state, file.number()));
    }

    /** Makes the names in a directory durable. */
    public static void fsyncDirectory(Path directory) {
        try (FileDescriptor opened = open(directory, O_RDONLY, 0)) {
            fsync(opened);
        }
    }

    public static void ftruncate(FileDescriptor file, long bytes) {
        call("ftruncate", file.toString(), true, (arena, state) ->
                (int) FTRUNCATE.invokeExact(state, file.number(), bytes));
    }

    /** Gives the blocks of a range back; it reads as zeroes afterwards and the length stays. */
    public static void punchHole(FileDescriptor file, long offset, long bytes) {
        call("fallocate", file.toString(), true, (arena, state) ->
                (int) FALLOCATE.invokeExact(state, file.number(), FALLOC_KEEP_SIZE_PUNCH_HOLE, offset, bytes));
    }

    /** {@code whence} is {@link #SEEK_DATA} or {@link #SEEK_HOLE}; ENXIO when there is none behind {@code offset}. */
    public static long lseek(FileDescriptor file, long offset, int whence) {
        return call("lseek", file.toString(), false, (arena, state) ->
                (long) LSEEK.invokeExact(state, file.number(), offset, whence));
    }

    /** Copies between the two file positions inside the kernel, across file systems too; how much was copied. */
    public static long sendfile(FileDescriptor to, FileDescriptor from, long bytes) {
        return call("sendfile", from + " to " + to, true, (arena, state) ->
                (long) SENDFILE.invokeExact(state, to.number(), from.number(), MemorySegment.NULL, bytes));
    }

    /** Copies by reflink where the file system can; EXDEV across file systems. How much was copied. */
    public static long copyFileRange(
            FileDescriptor from, long fromOffset, FileDescriptor to, long toOffset, long bytes) {
        return call("copy_file_range", from + " to " + to, true, (arena, state) -> (long) COPY_FILE_RANGE.invokeExact(
                state,
                from.number(),
                arena.allocateFrom(JAVA_LONG, fromOffset),
                to.number(),
                arena.allocateFrom(JAVA_LONG, toOffset),
                bytes,
                0));
    }

    /** Begins to read a whole file into the page cache; advice, which may be ignored. */
    public static void startReadahead(FileDescriptor file) {
        call("posix_fadvise", file.toString(), false, (arena, state) ->
                (int) POSIX_FADVISE.invokeExact(state, file.number(), 0L, 0L, POSIX_FADV_WILLNEED));
    }

    /** Begins to write what is dirty of a file, so that a later fsync of several has less to wait for. */
    public static void startWriteback(FileDescriptor file) {
        call("sync_file_range", file.toString(), false, (arena, state) ->
                (int) SYNC_FILE_RANGE.invokeExact(state, file.number(), 0L, 0L, SYNC_FILE_RANGE_WRITE));
    }

    /**
     * Reads ranges of a process's memory, one behind the other. ESRCH when there is no process of this number.
     *
     * @param ranges {@code count} pairs of address and length, at most {@link #IOVEC_MAX}; together as long as {@code
     *     into}
     * @return how much was read; less when a page is not there
     */
    public static long processVmRead(int pid, MemorySegment ranges, int count, MemorySegment into) {
        return processVm("process_vm_readv", PROCESS_VM_READV, pid, ranges, count, into);
    }

    /** Like {@link #processVmRead}, the other way round. */
    public static long processVmWrite(int pid, MemorySegment ranges, int count, MemorySegment from) {
        return processVm("process_vm_writev", PROCESS_VM_WRITEV, pid, ranges, count, from);
    }

    private static long processVm(
            String name, MethodHandle function, int pid, MemorySegment ranges, int count, MemorySegment local) {
        return call(name, "pid " + pid, false, (arena, state) -> {
            MemorySegment here = arena.allocate(2 * ADDRESS.byteSize(), ADDRESS.byteAlignment());
            here.set(ADDRESS, 0, local);
            here.set(JAVA_LONG, ADDRESS.byteSize(), local.byteSize());
            return (long) function.invokeExact(state, pid, here, 1L, ranges, (long) count, 0L);
        });
    }

    /** An empty anonymous file in memory that can be sealed. */
    public static FileDescriptor memfdCreate(String name) {
        return new FileDescriptor(
                (int) call("memfd_create", name, false, (arena, state) -> (int)
                        MEMFD_CREATE.invokeExact(state, arena.allocateFrom(name), MFD_CLOEXEC | MFD_ALLOW_SEALING)),
                "memfd " + name);
    }

    /** Or of {@code F_SEAL_*}. EBUSY for {@link #F_SEAL_WRITE} while a writable shared mapping exists. */
    public static void addSeals(FileDescriptor memfd, int seals) {
        call("fcntl(F_ADD_SEALS)", memfd.toString(), false, (arena, state) ->
                (int) FCNTL.invokeExact(state, memfd.number(), F_ADD_SEALS, seals));
    }

    public static int seals(FileDescriptor memfd) {
        return (int) call("fcntl(F_GET_SEALS)", memfd.toString(), false, (arena, state) ->
                (int) FCNTL.invokeExact(state, memfd.number(), F_GET_SEALS, 0));
    }

    /** Waits for the exclusive flock(2) of this open file; it ends with the descriptor. */
    public static void flock(FileDescriptor file) {
        call("flock", file.toString(), true, (arena, state) -> (int) FLOCK.invokeExact(state, file.number(), LOCK_EX));
    }

    /** Like {@link #flock}, but false when somebody else has it. */
    public static boolean tryFlock(FileDescriptor file) {
        try {
            call("flock", file.toString(), true, (arena, state) ->
                    (int) FLOCK.invokeExact(state, file.number(), LOCK_EX | LOCK_NB));
            return true;
        } catch (LinuxException e) {
            if (e.errno() == Errno.EAGAIN) {
                return false;
            }
            throw e;
        }
    }

    /** A non-blocking counter that {@link #poll} can wait for. */
    public static FileDescriptor eventfd() {
        return new FileDescriptor(
                (int) call("eventfd", "", false, (arena, state) ->
                        (int) EVENTFD.invokeExact(state, 0, EFD_CLOEXEC | EFD_NONBLOCK)),
                "eventfd");
    }

    /** Adds one to an eventfd: who polls it wakes up. */
    public static void signalEvent(FileDescriptor eventfd) {
        try (Arena arena = Arena.ofConfined()) {
            write(eventfd, arena.allocateFrom(JAVA_LONG, 1L));
        }
    }

    /** Sets an eventfd back to zero. */
    public static void clearEvent(FileDescriptor eventfd) {
        try (Arena arena = Arena.ofConfined()) {
            read(eventfd, arena.allocate(JAVA_LONG));
        } catch (LinuxException e) {
            if (e.errno() != Errno.EAGAIN) {
                throw e;
            }
        }
    }

    /**
     * Waits until one of {@code files} is readable or {@code timeoutMillis} have passed (negative: for ever).
     *
     * @return for each file whether it has an event; all false after the timeout or a signal
     */
    public static boolean[] poll(List<FileDescriptor> files, int timeoutMillis) {
        boolean[] ready = new boolean[files.size()];
        try {
            call("poll", files.size() + " files", false, (arena, state) -> {
                MemorySegment entries = pollEntries(arena, files);
                int count = (int) POLL.invokeExact(state, entries, (long) files.size(), timeoutMillis);
                for (int i = 0; count > 0 && i < ready.length; i++) {
                    ready[i] = entries.get(JAVA_SHORT, i * 8L + 6) != 0;
                }
                return count;
            });
        } catch (LinuxException e) {
            if (e.errno() != Errno.EINTR) {
                throw e;
            }
        }
        return ready;
    }

    /** struct pollfd: int fd, short events, short revents. */
    private static MemorySegment pollEntries(Arena arena, List<FileDescriptor> files) {
        MemorySegment entries = arena.allocate(8L * Math.max(1, files.size()), 4);
        for (int i = 0; i < files.size(); i++) {
            entries.set(JAVA_INT, i * 8L, files.get(i).number());
            entries.set(JAVA_SHORT, i * 8L + 4, POLLIN);
        }
        return entries;
    }

    /** By number: prefer {@link #pidfdSendSignal}, which cannot hit a process that got the number later. */
    public static void kill(int pid, int signal) {
        call("kill", "pid " + pid + " signal " + signal, false, (arena, state) ->
                (int) KILL.invokeExact(state, pid, signal));
    }

    /** Readable once the process has ended. ESRCH when there is none. */
    public static FileDescriptor pidfdOpen(int pid) {
        return new FileDescriptor(
                (int) call("pidfd_open", "pid " + pid, false, (arena, state) ->
                        (long) SYSCALL_PIDFD_OPEN.invokeExact(state, SYS_PIDFD_OPEN, pid, 0)),
                "pidfd of " + pid);
    }

    /** ESRCH when the process has ended. */
    public static void pidfdSendSignal(FileDescriptor pidfd, int signal) {
        call(
                "pidfd_send_signal",
                pidfd + " signal " + signal,
                false,
                (arena, state) -> (long) SYSCALL_PIDFD_SEND_SIGNAL.invokeExact(
                        state, SYS_PIDFD_SEND_SIGNAL, pidfd.number(), signal, MemorySegment.NULL, 0));
    }

    /** Follows symbolic links. */
    public static FileStatus statx(Path path) {
        String subject = path.toString();
        FileStatus[] status = new FileStatus[1];
        call("statx", subject, true, (arena, state) -> {
            MemorySegment buffer = arena.allocate(STATX_BYTES, 8);
            int result =
                    (int) STATX.invokeExact(state, AT_FDCWD, arena.allocateFrom(subject), 0, STATX_BASIC_STATS, buffer);
            status[0] = fileStatus(buffer);
            return result;
        });
        return status[0];
    }

    /** Offsets of struct statx, the same on every architecture. */
    private static FileStatus fileStatus(MemorySegment statx) {
        return new FileStatus(
                ((long) statx.get(JAVA_INT, 136) << 32) | statx.get(JAVA_INT, 140),
                statx.get(JAVA_LONG, 32),
                Short.toUnsignedInt(statx.get(JAVA_SHORT, 28)),
                statx.get(JAVA_INT, 20),
                statx.get(JAVA_LONG, 40),
                statx.get(JAVA_LONG, 48),
                statx.get(JAVA_LONG, 112) * NANOS_PER_SECOND + statx.get(JAVA_INT, 120),
                statx.get(JAVA_LONG, 96) * NANOS_PER_SECOND + statx.get(JAVA_INT, 104));
    }

    public static FileSystemStatus statfs(Path path) {
        String subject = path.toString();
        FileSystemStatus[] status = new FileSystemStatus[1];
        call("statfs", subject, true, (arena, state) -> {
            MemorySegment buffer = arena.allocate(STATFS_BYTES, 8);
            int result = (int) STATFS.invokeExact(state, arena.allocateFrom(subject), buffer);
            long blockSize = buffer.get(JAVA_LONG, 8);
            status[0] = new FileSystemStatus(
                    buffer.get(JAVA_LONG, 0),
                    blockSize * buffer.get(JAVA_LONG, 16),
                    blockSize * buffer.get(JAVA_LONG, 32));
            return result;
        });
        return status[0];
    }

    static String strerror(int errno) {
        try {
            MemorySegment text = (MemorySegment) STRERROR.invokeExact(errno);
            return text.reinterpret(256).getString(0);
        } catch (Throwable e) {
            throw new IllegalStateException("strerror", e);
        }
    }

    @FunctionalInterface
    private interface NativeCall {
        /** @param state where the C library's errno is caught right after the call */
        long run(Arena arena, MemorySegment state) throws Throwable;
    }

    private static long call(String name, String subject, boolean retryInterrupted, NativeCall body) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment state = arena.allocate(CALL_STATE);
            while (true) {
                long result = body.run(arena, state);
                if (result != -1) {
                    return result;
                }
                int errno = (int) ERRNO.get(state, 0L);
                if (!retryInterrupted || errno != Errno.EINTR) {
                    throw new LinuxException(name, errno, subject);
                }
            }
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException(name, e);
        }
    }

    private static MethodHandle function(String name, MemoryLayout result, MemoryLayout... arguments) {
        return LINKER.downcallHandle(
                LINKER.defaultLookup().findOrThrow(name),
                FunctionDescriptor.of(result, arguments),
                Linker.Option.captureCallState("errno"));
    }

    private static MethodHandle processVm(String name) {
        return function(name, JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG, ADDRESS, JAVA_LONG, JAVA_LONG);
    }

    private static MethodHandle variadic(String name, int fixed, MemoryLayout result, MemoryLayout... arguments) {
        return LINKER.downcallHandle(
                LINKER.defaultLookup().findOrThrow(name),
                FunctionDescriptor.of(result, arguments),
                Linker.Option.captureCallState("errno"),
                Linker.Option.firstVariadicArg(fixed));
    }
}
