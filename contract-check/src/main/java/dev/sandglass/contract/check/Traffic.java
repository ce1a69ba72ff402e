package dev.sandglass.contract.check;

import dev.sandglass.contract.check.OpenApi.Operation;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;

/** What all clients of this JVM have sent and got: which operations, and in what they differed. Thread-safe. */
final class Traffic {
    private static final int DIFFERENCES_MAX = 50; // of one kind there may be thousands

    private static final ExchangeCheck CHECK = new ExchangeCheck(OpenApi.document());
    private static final ConcurrentLinkedQueue<String> DIFFERENCES = new ConcurrentLinkedQueue<>();
    private static final Set<String> SEEN = ConcurrentHashMap.newKeySet();

    private Traffic() {}

    static void add(Exchange exchange) {
        List<String> found = CHECK.differences(exchange);
        Optional<Operation> operation = CHECK.operation(exchange);
        operation.ifPresent(asked -> SEEN.add(asked + " " + exchange.status()));
        found.forEach(difference -> differ(exchange + ": " + difference));
    }

    /** A WebSocket was opened; the headers of the answer are not to be had. */
    static void upgraded(Exchange exchange) {
        CHECK.operation(exchange).ifPresent(asked -> SEEN.add(asked + " 101"));
        CHECK.upgradeDifferences(exchange).forEach(difference -> differ(exchange + ": " + difference));
    }

    static void differ(String difference) {
        if (DIFFERENCES.size() < DIFFERENCES_MAX) {
            DIFFERENCES.add(difference);
        }
    }

    static ExchangeCheck check() {
        return CHECK;
    }

    /** Differences since this was called before. */
    static List<String> takeDifferences() {
        List<String> taken = new ArrayList<>();
        for (String next = DIFFERENCES.poll(); next != null; next = DIFFERENCES.poll()) {
            taken.add(next);
        }
        return taken;
    }

    static boolean seen(Operation operation, String status) {
        return SEEN.contains(operation + " " + status);
    }
}
