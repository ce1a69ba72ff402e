package dev.sandglass.control.http;

import dev.sandglass.contract.Id.TeamId;
import java.time.Duration;
import java.util.concurrent.ConcurrentHashMap;

/** Counts requests, and refuses those beyond {@link RequestLimits}. Thread-safe. */
final class Throttle {
    private static final Duration SECOND = Duration.ofSeconds(1);

    /** A request that is under way, until it is closed. */
    interface Turn extends AutoCloseable {
        @Override
        void close();
    }

    private final RequestLimits limits;
    private final Buckets credentials;
    private final Buckets teams;
    private final Buckets addresses;
    private final ConcurrentHashMap<TeamId, Integer> underWay = new ConcurrentHashMap<>();

    Throttle(RequestLimits limits) {
        this.limits = limits;
        this.credentials = new Buckets(
                limits.perCredential(), SECOND, refusal("with one credential", limits.perCredential() + " a second"));
        this.teams = new Buckets(limits.perTeam(), SECOND, refusal("of one team", limits.perTeam() + " a second"));
        this.addresses = new Buckets(
                limits.perAddress(),
                SECOND,
                refusal("without a valid credential from one address", limits.perAddress() + " a second"));
    }

    private static String refusal(String whose, String limit) {
        return "Too many requests " + whose + " (at most " + limit + "): try again later.";
    }

    /** A request that is nobody's. */
    void countAnonymous(String network) {
        addresses.take(network);
    }

    /** Throws RATE_LIMITED when it is one too many. */
    Turn begin(Caller caller) {
        credentials.take(
                switch (caller) {
                    case Caller.ByKey key -> key.key().value();
                    case Caller.ByUser user -> user.user().value();
                });
        teams.take(caller.team().value());
        if (underWay.merge(caller.team(), 1, Integer::sum) > limits.teamAtOnce()) {
            end(caller.team());
            throw Refusal.rateLimited(refusal("of one team", limits.teamAtOnce() + " at the same time"), SECOND);
        }
        return () -> end(caller.team());
    }

    private void end(TeamId team) {
        underWay.computeIfPresent(team, (id, count) -> count == 1 ? null : count - 1);
    }
}
