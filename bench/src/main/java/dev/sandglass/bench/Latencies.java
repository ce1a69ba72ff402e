package dev.sandglass.bench;

import java.time.Duration;

/** How many of a million answers took how long, to about 3 %, in constant memory. Used by one thread. */
final class Latencies {
    /** Each power of two of nanoseconds is divided into so many. */
    private static final int STEPS_LOG2 = 5;

    private final long[] counts = new long[64 << STEPS_LOG2];
    private long count;

    void add(long nanos) {
        counts[index(Math.max(1, nanos))]++;
        count++;
    }

    void add(Latencies other) {
        for (int i = 0; i < counts.length; i++) {
            counts[i] += other.counts[i];
        }
        count += other.count;
    }

    long count() {
        return count;
    }

    Duration percentile(double share) {
        long rank = (long) Math.ceil(share * count);
        long seen = 0;
        for (int i = 0; i < counts.length; i++) {
            seen += counts[i];
            if (seen >= rank && seen > 0) {
                return Duration.ofNanos(greatest(i));
            }
        }
        throw new IllegalStateException("no samples");
    }

    private static int index(long nanos) {
        int exponent = 63 - Long.numberOfLeadingZeros(nanos);
        if (exponent < STEPS_LOG2) {
            return (int) nanos;
        }
        int step = (int) (nanos >>> (exponent - STEPS_LOG2)) & ((1 << STEPS_LOG2) - 1);
        return ((exponent - STEPS_LOG2 + 1) << STEPS_LOG2) + step;
    }

    private static long greatest(int index) {
        int group = index >>> STEPS_LOG2;
        if (group == 0) {
            return index;
        }
        long step = (index & ((1 << STEPS_LOG2) - 1)) + (1L << STEPS_LOG2);
        return ((step + 1) << (group - 1)) - 1;
    }
}
