package dev.sandglass.control.oauth;

import java.net.URI;

/**
 * Who vouches for people: another provider is one class of this, a record of its settings, and a line in
 * {@link Providers#of}. Used by many threads at once.
 */
interface Provider {
    /** As in addresses and in the database: lower-case letters, digits and hyphens. Never changes. */
    String name();

    /**
     * Where a browser is sent to log in.
     *
     * @param state comes back with the answer
     * @param challenge of PKCE, method S256
     */
    URI authorizeUrl(String state, String challenge);

    /**
     * Turns the code of an answer into the person it stands for. Blocks, with a deadline.
     *
     * @param verifier what the challenge was made from
     * @throws ProviderFailure for whatever the provider does instead
     */
    Identity exchange(String code, String verifier);
}
