package dev.sandglass.control.http;

import dev.sandglass.contract.Id.Ids;
import org.eclipse.jetty.server.Request;

/** What tells one request from another in logs and answers: the caller's X-Request-Id if it is sane, else our own. */
final class RequestIds {
    static final String HEADER = "X-Request-Id";
    private static final int LENGTH_MAX = 128;

    private RequestIds() {}

    static String of(Request request) {
        String sent = request.getHeaders().get(HEADER);
        return sent != null && isSane(sent) ? sent : "req" + Ids.randomCharacters(16);
    }

    private static boolean isSane(String id) {
        return !id.isEmpty()
                && id.length() <= LENGTH_MAX
                && id.chars().allMatch(c -> (Character.isLetterOrDigit(c) && c < 128) || "._-:".indexOf(c) >= 0);
    }
}
