package dev.sandglass.host.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.time.Duration;

/**
 * How fast the processor's time stamp counter runs. Nothing in /proc or /sys tells; so the instruction is executed from a
 * page of our own and compared with the monotonic clock. x86-64.
 */
public final class TimeStampCounter {
    /** {@code rdtsc; shl rdx, 32; or rax, rdx; ret}. */
    private static final byte[] READ = {
        0x0f, 0x31, 0x48, (byte) 0xc1, (byte) 0xe2, 0x20, 0x48, 0x09, (byte) 0xd0, (byte) 0xc3
    };

    private static final long PAGE = 4096;
    private static final int PROT_READ_WRITE = 1 | 2;
    private static final int PROT_READ_EXEC = 1 | 4;
    private static final int MAP_PRIVATE_ANONYMOUS = 2 | 0x20;

    /** Each end is known to a tenth of a microsecond: 1 in a million. */
    private static final Duration INTERVAL = Duration.ofMillis(100);

    private static final int TRIES = 20;

    private record Reading(long nanos, long ticks, long uncertainty) {}

    private TimeStampCounter() {}

    /** In kHz, measured for a tenth of a second. */
    public static long measureKhz() {
        try {
            Linker linker = Linker.nativeLinker();
            MemorySegment page = map(linker);
            MethodHandle read = linker.downcallHandle(page, FunctionDescriptor.of(JAVA_LONG));
            Reading first = read(read);
            Thread.sleep(INTERVAL);
            Reading last = read(read);
            return Math.round((last.ticks - first.ticks) * 1e6 / (last.nanos - first.nanos));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException("read the time stamp counter", e);
        }
    }

    /** The page stays: it is one, and measured once in a process's life. */
    private static MemorySegment map(Linker linker) throws Throwable {
        MethodHandle mmap = linker.downcallHandle(
                linker.defaultLookup().findOrThrow("mmap"),
                FunctionDescriptor.of(ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
        MethodHandle mprotect = linker.downcallHandle(
                linker.defaultLookup().findOrThrow("mprotect"),
                FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));
        MemorySegment page = (MemorySegment)
                mmap.invokeExact(MemorySegment.NULL, PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0L);
        if (page.address() == -1) {
            throw new IllegalStateException("mmap failed");
        }
        MemorySegment.copy(READ, 0, page.reinterpret(PAGE), ValueLayout.JAVA_BYTE, 0, READ.length);
        int result = (int) mprotect.invokeExact(page, PAGE, PROT_READ_EXEC);
        if (result != 0) {
            throw new IllegalStateException("mprotect failed");
        }
        return page;
    }

    /** The one of several during which least time passed. */
    private static Reading read(MethodHandle read) throws Throwable {
        Reading best = new Reading(0, 0, Long.MAX_VALUE);
        for (int i = 0; i < TRIES; i++) {
            long before = System.nanoTime();
            long ticks = (long) read.invokeExact();
            long after = System.nanoTime();
            if (after - before < best.uncertainty) {
                best = new Reading(before + (after - before) / 2, ticks, after - before);
            }
        }
        return best;
    }
}
