package dev.sandglass.control.account;

import dev.sandglass.control.http.Buckets;
import java.time.Duration;

/** Counts tries to sign up and to log in. Each control plane counts for itself. */
final class Attempts {
    private static final Duration PERIOD = Duration.ofMinutes(1);
    private static final String REFUSAL = "Too many attempts: try again later.";

    private final Buckets addresses;
    private final Buckets accounts;
    private final Buckets external;

    Attempts(AttemptLimits limits) {
        addresses = new Buckets(limits.perAddress(), PERIOD, REFUSAL);
        accounts = new Buckets(limits.perAccount(), PERIOD, REFUSAL);
        external = new Buckets(limits.externalPerAddress(), PERIOD, REFUSAL);
    }

    /** Counts one try; throws RATE_LIMITED when it is one too many. */
    void count(String network, String email) {
        addresses.take(network);
        accounts.take(email);
    }

    /** As the other, for a step of a log-in through a provider. */
    void countExternal(String network) {
        external.take(network);
    }
}
