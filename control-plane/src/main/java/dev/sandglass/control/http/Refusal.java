package dev.sandglass.control.http;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import java.time.Duration;
import java.util.Map;

/** A failure whose answer needs headers of its own. */
public final class Refusal extends RuntimeException {
    private static final long serialVersionUID = 1;

    private final transient PlatformException failure;
    private final transient Map<String, String> headers;

    public Refusal(PlatformException failure, Map<String, String> headers) {
        super(failure);
        this.failure = failure;
        this.headers = Map.copyOf(headers);
    }

    /** 429, to be tried again after a while. */
    public static Refusal rateLimited(String message, Duration retryAfter) {
        long seconds = Math.max(1, retryAfter.plusMillis(999).toSeconds());
        return new Refusal(
                new PlatformException(ErrorCode.RATE_LIMITED, message), Map.of("Retry-After", Long.toString(seconds)));
    }

    PlatformException failure() {
        return failure;
    }

    Map<String, String> headers() {
        return headers;
    }
}
