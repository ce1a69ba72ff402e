package dev.sandglass.control.oauth;

import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** GitHub and GitHub Enterprise: OAuth 2.0 with PKCE; the profile is in the REST API. */
final class GithubProvider implements Provider {
    static final String NAME = "github";

    /** An error of GitHub's arrives with status 200 as well, in {@code error}. */
    record TokenAnswer(
            @Nullable String accessToken,
            @Nullable String tokenType,
            @Nullable String error) {}

    record Profile(
            @Nullable Long id,
            @Nullable String login,
            @Nullable String name,
            @Nullable String email) {}

    record Address(
            @Nullable String email,
            @Nullable Boolean primary,
            @Nullable Boolean verified) {}

    private final GithubSettings settings;
    private final URI callback;
    private final ProviderClient client;

    GithubProvider(GithubSettings settings, URI callback, ProviderClient client) {
        this.settings = settings;
        this.callback = callback;
        this.client = client;
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public URI authorizeUrl(String state, String challenge) {
        Map<String, String> query = new LinkedHashMap<>();
        query.put("client_id", settings.clientId());
        query.put("redirect_uri", callback.toString());
        query.put("response_type", "code");
        query.put("scope", "user:email");
        query.put("state", state);
        query.put("code_challenge", challenge);
        query.put("code_challenge_method", "S256");
        return URI.create(settings.baseUrl() + "/login/oauth/authorize?" + Forms.encode(query));
    }

    @Override
    public Identity exchange(String code, String verifier) {
        ProviderClient.Calls calls = client.begin();
        String token = token(calls, code, verifier);
        Profile profile = calls.json("read the profile", api("/user", token), Profile.class);
        if (profile.id() == null || profile.id() < 1) {
            throw new ProviderFailure("read the profile: it has no id");
        }
        String email = present(profile.email()).orElseGet(() -> verifiedEmail(calls, token));
        String name = present(profile.name()).or(() -> present(profile.login())).orElse("");
        return new Identity(Long.toString(profile.id()), email, name);
    }

    private String token(ProviderClient.Calls calls, String code, String verifier) {
        String form = Forms.encode(Map.of(
                "grant_type",
                "authorization_code",
                "client_id",
                settings.clientId(),
                "client_secret",
                settings.clientSecret(),
                "code",
                code,
                "redirect_uri",
                callback.toString(),
                "code_verifier",
                verifier));
        HttpRequest.Builder request = HttpRequest.newBuilder(
                        URI.create(settings.baseUrl() + "/login/oauth/access_token"))
                .header("Accept", "application/json")
                .header("Content-Type", "application/x-www-form-urlencoded")
                .POST(BodyPublishers.ofString(form));
        TokenAnswer answer = calls.json("exchange the code", request, TokenAnswer.class);
        if (answer.error() != null) {
            throw new ProviderFailure("exchange the code: the provider says " + shown(answer.error()));
        }
        if (!"bearer".equalsIgnoreCase(answer.tokenType())
                || answer.accessToken() == null
                || !answer.accessToken().matches("[\\x21-\\x7e]{1,4096}")) {
            throw new ProviderFailure("exchange the code: the answer has no bearer token");
        }
        return answer.accessToken();
    }

    /** Words like bad_verification_code or incorrect_client_credentials tell an operator what is wrong. */
    private static String shown(String error) {
        return error.matches("[a-z_]{1,64}") ? error : "an error";
    }

    /** The one that is primary and verified: others may not belong to this person. */
    private String verifiedEmail(ProviderClient.Calls calls, String token) {
        Address[] addresses = calls.json("read the e-mail addresses", api("/user/emails", token), Address[].class);
        return Arrays.stream(addresses)
                .filter(Objects::nonNull)
                .filter(address -> Boolean.TRUE.equals(address.primary()) && Boolean.TRUE.equals(address.verified()))
                .flatMap(address -> present(address.email()).stream())
                .findFirst()
                .orElseThrow(() -> new ProviderFailure("the profile has no primary, verified e-mail address"));
    }

    private HttpRequest.Builder api(String path, String token) {
        return HttpRequest.newBuilder(URI.create(settings.apiUrl() + path))
                .header("Authorization", "Bearer " + token)
                .header("Accept", "application/vnd.github+json")
                .header("X-GitHub-Api-Version", "2022-11-28")
                .header("User-Agent", "sandglass"); // GitHub refuses requests without one
    }

    private static Optional<String> present(@Nullable String text) {
        return Optional.ofNullable(text).filter(value -> !value.isBlank());
    }
}
