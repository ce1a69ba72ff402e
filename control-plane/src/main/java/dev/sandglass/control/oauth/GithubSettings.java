package dev.sandglass.control.oauth;

import java.net.URI;

/**
 * An OAuth app at GitHub or a GitHub Enterprise server.
 *
 * @param baseUrl where people log in and codes are exchanged, without a slash at its end
 * @param apiUrl where profiles are, without a slash at its end
 */
public record GithubSettings(String clientId, String clientSecret, URI baseUrl, URI apiUrl) {
    public static final URI BASE_URL = URI.create("https://github.com");
    public static final URI API_URL = URI.create("https://api.github.com");

    /** Without the secret. */
    @Override
    public String toString() {
        return "app " + clientId + " at " + baseUrl;
    }
}
