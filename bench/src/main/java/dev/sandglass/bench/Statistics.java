package dev.sandglass.bench;

import java.time.Duration;
import java.util.List;

/**
 * A series of times, at least one.
 *
 * @param sorted ascending
 */
record Statistics(List<Duration> sorted) {
    /** With fewer, one value decides alone what the 99th percentile is: then the greatest is shown as what it is. */
    static final int TAIL_SAMPLES_MIN = 100;

    Statistics {
        sorted = sorted.stream().sorted().toList();
        if (sorted.isEmpty()) {
            throw new IllegalArgumentException("no samples");
        }
    }

    int count() {
        return sorted.size();
    }

    /** Nearest rank: the smallest sample that at least this share of all does not exceed. */
    Duration percentile(double share) {
        if (share <= 0 || share > 1) {
            throw new IllegalArgumentException("not a share: " + share);
        }
        int rank = (int) Math.ceil(share * sorted.size());
        return sorted.get(Math.max(rank, 1) - 1);
    }

    Duration median() {
        return percentile(0.5);
    }

    Duration least() {
        return sorted.getFirst();
    }

    Duration greatest() {
        return sorted.getLast();
    }

    Duration mean() {
        return sorted.stream().reduce(Duration.ZERO, Duration::plus).dividedBy(sorted.size());
    }

    boolean knowsTail() {
        return sorted.size() >= TAIL_SAMPLES_MIN;
    }

    /** How many times as long the other's median is. */
    double timesFasterThan(Statistics other) {
        return (double) other.median().toNanos() / Math.max(1, median().toNanos());
    }
}
