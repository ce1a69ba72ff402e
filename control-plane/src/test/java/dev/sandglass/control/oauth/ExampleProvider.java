package dev.sandglass.control.oauth;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import dev.sandglass.control.testing.FakeGithub;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** Another provider, of the kind Google is (OpenID Connect with its userinfo): all of what adding one takes. */
final class ExampleProvider implements Provider {
    record Settings(String clientId, String clientSecret, URI url) {}

    record TokenAnswer(@Nullable String accessToken) {}

    record UserInfo(
            @Nullable String sub,
            @Nullable String name,
            @Nullable String email,
            @Nullable Boolean emailVerified) {}

    private final Settings settings;
    private final URI callback;
    private final ProviderClient client;

    ExampleProvider(Settings settings, URI callback, ProviderClient client) {
        this.settings = settings;
        this.callback = callback;
        this.client = client;
    }

    @Override
    public String name() {
        return "example";
    }

    @Override
    public URI authorizeUrl(String state, String challenge) {
        return URI.create(settings.url() + "/authorize?"
                + Forms.encode(Map.of(
                        "client_id",
                        settings.clientId(),
                        "redirect_uri",
                        callback.toString(),
                        "response_type",
                        "code",
                        "scope",
                        "openid email profile",
                        "state",
                        state,
                        "code_challenge",
                        challenge,
                        "code_challenge_method",
                        "S256")));
    }

    @Override
    public Identity exchange(String code, String verifier) {
        ProviderClient.Calls calls = client.begin();
        String form = Forms.encode(Map.of(
                "grant_type",
                "authorization_code",
                "client_id",
                settings.clientId(),
                "client_secret",
                settings.clientSecret(),
                "redirect_uri",
                callback.toString(),
                "code",
                code,
                "code_verifier",
                verifier));
        TokenAnswer token = calls.json(
                "exchange the code",
                HttpRequest.newBuilder(URI.create(settings.url() + "/token"))
                        .header("Content-Type", "application/x-www-form-urlencoded")
                        .POST(BodyPublishers.ofString(form)),
                TokenAnswer.class);
        UserInfo user = calls.json(
                "read the profile",
                HttpRequest.newBuilder(URI.create(settings.url() + "/userinfo"))
                        .header("Authorization", "Bearer " + token.accessToken()),
                UserInfo.class);
        if (user.sub() == null || user.email() == null || !Boolean.TRUE.equals(user.emailVerified())) {
            throw new ProviderFailure("the profile has no id or no verified e-mail address");
        }
        return new Identity(
                user.sub(), user.email(), Optional.ofNullable(user.name()).orElse(""));
    }

    /** Its server: everybody who comes is the same person. */
    static final class Server implements AutoCloseable {
        private final HttpServer server;
        private final Map<String, String> challenges = new ConcurrentHashMap<>();
        volatile String person = "{}";

        Server() {
            try {
                server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
            server.createContext("/authorize", this::authorize);
            server.createContext("/token", this::token);
            server.createContext("/userinfo", this::userInfo);
            server.start();
        }

        URI url() {
            return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
        }

        private void authorize(HttpExchange exchange) throws IOException {
            Map<String, String> query = FakeGithub.form(exchange.getRequestURI().getRawQuery());
            challenges.put("the-code", query.getOrDefault("code_challenge", ""));
            String location = query.get("redirect_uri") + "?code=the-code&state=" + query.get("state");
            exchange.getResponseHeaders().set("Location", location);
            FakeGithub.reply(exchange, 302, "text/plain", "");
        }

        private void token(HttpExchange exchange) throws IOException {
            Map<String, String> form =
                    FakeGithub.form(new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8));
            String challenge = challenges.remove(form.getOrDefault("code", ""));
            boolean good =
                    FakeGithub.challenge(form.getOrDefault("code_verifier", "")).equals(challenge);
            FakeGithub.reply(
                    exchange,
                    good ? 200 : 400,
                    "application/json",
                    good ? "{\"access_token\":\"t\",\"token_type\":\"Bearer\"}" : "{\"error\":\"invalid_grant\"}");
        }

        private void userInfo(HttpExchange exchange) throws IOException {
            boolean known = "Bearer t".equals(exchange.getRequestHeaders().getFirst("Authorization"));
            FakeGithub.reply(exchange, known ? 200 : 401, "application/json", known ? person : "{}");
        }

        @Override
        public void close() {
            server.stop(0);
        }
    }
}
