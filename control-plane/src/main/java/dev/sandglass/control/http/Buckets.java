package dev.sandglass.control.http;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import io.github.bucket4j.Bucket;
import java.time.Duration;

/**
 * A token bucket for each of many names, in bounded memory: the longest unused are forgotten first, which for all but a
 * flood of names is only after they are full again. Each control plane counts for itself. Thread-safe.
 */
public final class Buckets {
    private static final int REMEMBERED_MAX = 50_000; // about 10 MB

    private final int perPeriod;
    private final Duration period;
    private final String refusal;
    private final Cache<String, Bucket> buckets;

    /**
     * @param perPeriod how much each name may take in a period, and at once
     * @param refusal what one who takes more is told
     */
    public Buckets(int perPeriod, Duration period, String refusal) {
        this.perPeriod = perPeriod;
        this.period = period;
        this.refusal = refusal;
        this.buckets = Caffeine.newBuilder()
                .maximumSize(REMEMBERED_MAX)
                .expireAfterAccess(period.multipliedBy(2))
                .build();
    }

    /** Takes one; throws RATE_LIMITED, with the time until there is one again, when there is none. */
    public void take(String name) {
        var probe = buckets.get(name, unknown -> bucket()).tryConsumeAndReturnRemaining(1);
        if (!probe.isConsumed()) {
            throw Refusal.rateLimited(refusal, Duration.ofNanos(probe.getNanosToWaitForRefill()));
        }
    }

    private Bucket bucket() {
        return Bucket.builder()
                .addLimit(limit -> limit.capacity(perPeriod).refillGreedy(perPeriod, period))
                .build();
    }

    long remembered() {
        buckets.cleanUp();
        return buckets.estimatedSize();
    }
}
