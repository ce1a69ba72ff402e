package dev.sandglass.control.http;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Stream;

/** Finds the caller of a request. If a key and a token are both sent, the key decides. */
public final class Authenticator {
    private static final int CREDENTIAL_LENGTH_MAX = 4096;

    private final Function<String, Optional<Caller.ByUser>> tokens;
    private final Function<String, Optional<Caller.ByKey>> keys;

    /** Both functions answer empty for what they do not know. */
    public Authenticator(
            Function<String, Optional<Caller.ByUser>> tokens, Function<String, Optional<Caller.ByKey>> keys) {
        this.tokens = tokens;
        this.keys = keys;
    }

    Caller require(Access access, HttpRequest request) {
        Optional<String> key = request.header("X-API-Key");
        if (access != Access.USER && key.isPresent()) {
            return key.filter(Authenticator::plausible)
                    .flatMap(keys)
                    .map(Caller.class::cast)
                    .orElseThrow(() -> unauthorized("The API key in X-API-Key is not valid: make one with"
                            + " POST /v1/api-keys, or check that it was not deleted."));
        }
        Optional<String> token = bearer(request);
        if (token.isEmpty() && access == Access.TEAM_WEBSOCKET) {
            return offered(request)
                    .flatMap(this::callerOf)
                    .orElseThrow(() -> unauthorized("Send an API key in X-API-Key, or offer the token as one of the"
                            + " protocols in Sec-WebSocket-Protocol, beside sandglass.v1."));
        }
        if (token.isEmpty()) {
            throw unauthorized(
                    access == Access.USER
                            ? "Send the token of a log-in as Authorization: Bearer <token>."
                            : "Send an API key in X-API-Key, or the token of a log-in as Authorization: Bearer"
                                    + " <token>.");
        }
        return token.filter(Authenticator::plausible)
                .flatMap(tokens)
                .orElseThrow(() -> unauthorized("The token is not valid or has expired: log in again."));
    }

    private Optional<Caller> callerOf(String credential) {
        Optional<Caller> user = tokens.apply(credential).map(Caller.class::cast);
        return user.isPresent() ? user : keys.apply(credential).map(Caller.class::cast);
    }

    private static Optional<String> bearer(HttpRequest request) {
        return request.header("Authorization").map(value -> {
            boolean bearer = value.toLowerCase(Locale.ROOT).startsWith("bearer ");
            return bearer ? value.substring("bearer ".length()).strip() : "";
        });
    }

    private static Optional<String> offered(HttpRequest request) {
        return protocols(request)
                .filter(protocol -> !protocol.equals(HttpRequest.WEBSOCKET_PROTOCOL))
                .filter(Authenticator::plausible)
                .findFirst();
    }

    static Stream<String> protocols(HttpRequest request) {
        List<String> values = request.headers("Sec-WebSocket-Protocol");
        return values.stream().flatMap(value -> Arrays.stream(value.split(",")).map(String::strip));
    }

    private static boolean plausible(String credential) {
        return !credential.isEmpty() && credential.length() <= CREDENTIAL_LENGTH_MAX;
    }

    private static PlatformException unauthorized(String message) {
        return new PlatformException(ErrorCode.UNAUTHORIZED, message);
    }
}
