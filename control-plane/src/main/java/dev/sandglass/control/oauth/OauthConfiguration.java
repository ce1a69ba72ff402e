package dev.sandglass.control.oauth;

import java.net.URI;
import java.util.Optional;

/**
 * What log-in through providers is told at the start. Addresses have no slash at their end.
 *
 * @param publicUrl where browsers reach the API
 * @param redirectUrl what serves the page after log-in: the API itself or a site of its own
 * @param github empty: no log-in with GitHub
 */
public record OauthConfiguration(URI publicUrl, URI redirectUrl, Optional<GithubSettings> github) {
    /** Where a provider sends browsers back to. */
    URI callbackUrl(String provider) {
        return URI.create(publicUrl + "/v1/auth/oauth/" + provider + "/callback");
    }

    /** The page that takes the result. */
    String pageUrl(String provider) {
        return redirectUrl + "/auth/" + provider + "/callback";
    }
}
