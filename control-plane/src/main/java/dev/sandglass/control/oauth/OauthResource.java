package dev.sandglass.control.oauth;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.account.Tokens;
import dev.sandglass.control.http.Access;
import dev.sandglass.control.http.Caller;
import dev.sandglass.control.http.HttpRequest;
import dev.sandglass.control.http.Reply;
import dev.sandglass.control.http.Route;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** /v1/auth/oauth and the page after it. */
final class OauthResource {
    private static final Logger log = LoggerFactory.getLogger(OauthResource.class);
    private static final String COOKIE = "oauth_state";

    record Offered(List<String> providers) {}

    private final Providers providers;
    private final OauthConfiguration configuration;
    private final LoginStates states;
    private final OauthLogin login;
    private final Tokens tokens;
    private final CallbackPage page = new CallbackPage();

    OauthResource(
            Providers providers,
            OauthConfiguration configuration,
            LoginStates states,
            OauthLogin login,
            Tokens tokens) {
        this.providers = providers;
        this.configuration = configuration;
        this.states = states;
        this.login = login;
        this.tokens = tokens;
    }

    List<Route> routes() {
        return List.of(
                Route.of("GET", "/v1/auth/oauth", Access.OPEN, this::list),
                Route.of("GET", "/v1/auth/oauth/{provider}", Access.OPEN, this::begin),
                Route.of("GET", "/v1/auth/oauth/{provider}/callback", Access.OPEN, this::callback),
                Route.of("GET", "/auth/{provider}/callback", Access.OPEN, this::page));
    }

    /** For pages, which offer what there is. */
    private Reply list(HttpRequest request) {
        return Reply.ok(new Offered(providers.names()));
    }

    private Reply begin(HttpRequest request) {
        Provider provider = require(request);
        login.count(request.network());
        LoginStates.Begun begun = states.begin(provider.name());
        return redirect(
                provider.authorizeUrl(begun.state(), begun.challenge()).toString(),
                cookie(request, begun.cookie(), LoginStates.LIFETIME.toSeconds()));
    }

    /** Whatever comes of it, the browser goes on to the page, and the cookie has served. */
    private Reply callback(HttpRequest request) {
        Provider provider = require(request);
        login.count(request.network());
        String result = result(outcome(provider, request));
        return redirect(configuration.pageUrl(provider.name()) + result, cookie(request, "", 0));
    }

    private Outcome outcome(Provider provider, HttpRequest request) {
        if (query(request, "error").isPresent()) {
            return Outcome.Refused.ACCESS_DENIED;
        }
        Optional<String> verifier = cookie(request)
                .flatMap(cookie ->
                        query(request, "state").flatMap(state -> states.verifier(cookie, provider.name(), state)));
        if (verifier.isEmpty()) {
            return Outcome.Refused.INVALID_STATE;
        }
        Optional<String> code = query(request, "code").filter(text -> !text.isEmpty());
        if (code.isEmpty()) {
            return Outcome.Refused.MISSING_CODE;
        }
        try {
            return login.finish(provider, code.get(), verifier.get());
        } catch (RuntimeException e) {
            log.error("log-in through {} failed", provider.name(), e);
            return Outcome.Refused.EXCHANGE_FAILED;
        }
    }

    /** In the fragment, which no server and no Referer header gets to see. */
    private String result(Outcome outcome) {
        return switch (outcome) {
            case Outcome.Refused refused -> "?error=" + refused.wireName();
            case Outcome.LoggedIn in -> "#" + Forms.encode(session(in.user()));
        };
    }

    private Map<String, String> session(Caller.ByUser user) {
        Map<String, String> session = new LinkedHashMap<>();
        session.put("token", tokens.issue(user));
        session.put("user_id", user.user().value());
        session.put("team_id", user.team().value());
        session.put("email", user.email());
        return session;
    }

    private Reply page(HttpRequest request) {
        require(request);
        return new Reply.Bytes(
                200,
                page.html(),
                Map.of(
                        "Content-Type", "text/html; charset=utf-8",
                        "Content-Security-Policy", page.policy(),
                        "Cache-Control", "no-store",
                        "Referrer-Policy", "no-referrer"));
    }

    private Provider require(HttpRequest request) {
        return providers
                .find(request.parameter("provider"))
                .orElseThrow(() -> new PlatformException(
                        ErrorCode.PROVIDER_NOT_FOUND, "There is no log-in through a provider of this name here."));
    }

    /** A query that cannot be decoded has nothing we could use. */
    private static Optional<String> query(HttpRequest request, String name) {
        try {
            return request.query(name);
        } catch (PlatformException e) {
            return Optional.empty();
        }
    }

    /** The state cookie; of two, one is not ours, and which one nobody can tell. */
    private static Optional<String> cookie(HttpRequest request) {
        List<String> found = request.headers("Cookie").stream()
                .flatMap(header -> Stream.of(header.split(";")))
                .map(String::strip)
                .filter(pair -> pair.startsWith(COOKIE + "="))
                .map(pair -> pair.substring(COOKIE.length() + 1))
                .toList();
        return found.size() == 1 ? Optional.of(found.getFirst()) : Optional.empty();
    }

    private static String cookie(HttpRequest request, String value, long maxAgeSeconds) {
        return COOKIE + "=" + value + "; Path=/; Max-Age=" + maxAgeSeconds + "; HttpOnly; SameSite=Lax"
                + (request.isSecure() ? "; Secure" : "");
    }

    private static Reply redirect(String location, String cookie) {
        return new Reply.Empty(
                302,
                Map.of(
                        "Location",
                        location,
                        "Set-Cookie",
                        cookie,
                        "Cache-Control",
                        "no-store",
                        "Referrer-Policy",
                        "no-referrer"));
    }
}
