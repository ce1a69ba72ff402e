package dev.sandglass.control.http;

import dev.sandglass.contract.Id.Ids;
import java.util.concurrent.atomic.AtomicLong;
import org.eclipse.jetty.server.Request;

/** What tells one request from another in logs and answers: the caller's X-Request-Id if it is sane, else our own. */
final class RequestIds {
    static final String HEADER = "X-Request-Id";
    private static final int LENGTH_MAX = 128;

    /** Ours only have to be no other's: random once for the process, then counted. */
    private static final String PREFIX = "req" + Ids.randomCharacters(12);

    private static final AtomicLong NEXT = new AtomicLong(32 * 32 * 32);

    private RequestIds() {}

    static String of(Request request) {
        String sent = request.getHeaders().get(HEADER);
        return sent != null && isSane(sent) ? sent : PREFIX + Long.toString(NEXT.getAndIncrement(), 32);
    }

    private static boolean isSane(String id) {
        return !id.isEmpty()
                && id.length() <= LENGTH_MAX
                && id.chars().allMatch(c -> (Character.isLetterOrDigit(c) && c < 128) || "._-:".indexOf(c) >= 0);
    }
}
