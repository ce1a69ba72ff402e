package dev.sandglass.control.account;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import dev.sandglass.control.http.Refusal;
import io.github.bucket4j.Bucket;
import java.time.Duration;

/** Counts tries to sign up and to log in. Each control plane counts for itself. */
final class Attempts {
    private static final Duration PERIOD = Duration.ofMinutes(1);
    private static final int REMEMBERED_MAX = 100_000; // about 20 MB; the longest unused is forgotten first

    private final AttemptLimits limits;
    private final Cache<String, Bucket> addresses = cache();
    private final Cache<String, Bucket> accounts = cache();

    Attempts(AttemptLimits limits) {
        this.limits = limits;
    }

    /** Counts one try; throws RATE_LIMITED when it is one too many. */
    void count(String address, String email) {
        consume(addresses.get(address, a -> bucket(limits.perAddress())));
        consume(accounts.get(email, e -> bucket(limits.perAccount())));
    }

    private static void consume(Bucket bucket) {
        var probe = bucket.tryConsumeAndReturnRemaining(1);
        if (!probe.isConsumed()) {
            throw Refusal.rateLimited(
                    "Too many attempts: try again later.", Duration.ofNanos(probe.getNanosToWaitForRefill()));
        }
    }

    private static Bucket bucket(int perPeriod) {
        return Bucket.builder()
                .addLimit(limit -> limit.capacity(perPeriod).refillGreedy(perPeriod, PERIOD))
                .build();
    }

    private static Cache<String, Bucket> cache() {
        return Caffeine.newBuilder()
                .maximumSize(REMEMBERED_MAX)
                .expireAfterAccess(PERIOD.multipliedBy(2))
                .build();
    }
}
