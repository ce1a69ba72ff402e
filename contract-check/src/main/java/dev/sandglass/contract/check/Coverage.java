package dev.sandglass.contract.check;

import java.util.List;

/** What of the document the traffic of this JVM has reached. */
public final class Coverage {
    private Coverage() {}

    /** Documented successes that no client has met, like {@code "GET /v1/me 200"}. */
    public static List<String> successesNotSeen() {
        return OpenApi.document().operations().stream()
                .flatMap(operation -> operation.statuses().stream()
                        .filter(status -> status.compareTo("400") < 0)
                        .filter(status -> !Traffic.seen(operation, status))
                        .map(status -> operation + " " + status))
                .toList();
    }

    /** Documented errors that no client has met. Many need a host that fails or an attack. */
    public static List<String> errorsNotSeen() {
        return OpenApi.document().operations().stream()
                .flatMap(operation -> operation.statuses().stream()
                        .filter(status -> status.compareTo("400") >= 0)
                        .filter(status -> !Traffic.seen(operation, status))
                        .map(status -> operation + " " + status))
                .toList();
    }
}
