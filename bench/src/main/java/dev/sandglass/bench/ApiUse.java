package dev.sandglass.bench;

import java.time.Duration;
import java.util.List;

/**
 * Many reads of one sandbox by its id, by so many clients at once.
 *
 * @param perSecond answers, of each round
 * @param peerPerSecond transactions of {@code pgbench -S}, of each round; empty when it was not measured
 * @param slices the long series in equal parts
 */
record ApiUse(
        int clients, List<Double> perSecond, List<Double> peerPerSecond, Latencies latencies, List<Slice> slices) {
    /** In steps of the median's size, so little can be told apart on a busy machine. */
    private static final double LATENCY_GROWTH_MAX = 1.5;

    private static final long HEAP_GROWTH_BYTES_MAX = 16_000_000;

    /**
     * A part of the series.
     *
     * @param liveHeapBytes of the server after a collection at its end; 0 when it cannot be told
     */
    record Slice(long requests, Duration median, Duration tail, long liveHeapBytes) {}

    ApiUse {
        perSecond = List.copyOf(perSecond);
        peerPerSecond = List.copyOf(peerPerSecond);
        slices = List.copyOf(slices);
    }

    long requests() {
        return slices.stream().mapToLong(Slice::requests).sum();
    }

    double medianPerSecond() {
        return median(perSecond);
    }

    double medianPeerPerSecond() {
        return median(peerPerSecond);
    }

    /** Share of the peer's transactions, the median of the rounds' ratios. */
    double share() {
        List<Double> ratios = java.util.stream.IntStream.range(0, peerPerSecond.size())
                .mapToObj(i -> perSecond.get(i) / peerPerSecond.get(i))
                .toList();
        return median(ratios);
    }

    private static double median(List<Double> values) {
        return values.stream().sorted().toList().get((values.size() - 1) / 2);
    }

    /** Of the last slice's median to that of the first: above 1 it became slower. */
    double latencyGrowth() {
        return (double) slices.getLast().median().toNanos()
                / Math.max(1, slices.getFirst().median().toNanos());
    }

    long heapGrowthBytes() {
        return slices.getLast().liveHeapBytes() - slices.getFirst().liveHeapBytes();
    }

    boolean isFlat() {
        return latencyGrowth() <= LATENCY_GROWTH_MAX && heapGrowthBytes() <= HEAP_GROWTH_BYTES_MAX;
    }
}
