package dev.sandglass.control.observe;

import java.util.Map;
import java.util.Optional;
import org.slf4j.MDC;

/** The request that log lines belong to, taken along to the other threads that work for it. Immutable. */
public final class RequestContext {
    /** Of the fields of a log line. */
    public static final String REQUEST = "request";

    private final Map<String, String> fields;

    private RequestContext(Map<String, String> fields) {
        this.fields = fields;
    }

    /** That of this thread now. */
    public static RequestContext here() {
        return new RequestContext(Optional.ofNullable(MDC.getCopyOfContextMap()).orElse(Map.of()));
    }

    /** {@code work}, for a thread of its own. */
    public Runnable around(Runnable work) {
        return () -> {
            MDC.setContextMap(fields);
            try {
                work.run();
            } finally {
                MDC.clear();
            }
        };
    }
}
