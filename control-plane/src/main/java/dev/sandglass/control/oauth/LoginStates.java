package dev.sandglass.control.oauth;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.time.Clock;
import java.time.Duration;
import java.util.Base64;
import java.util.Optional;
import javax.crypto.KDF;
import javax.crypto.Mac;
import javax.crypto.SecretKey;
import javax.crypto.spec.HKDFParameterSpec;

/**
 * What ties a provider's answer to the browser that asked, without anything kept here: a cookie
 *
 * <pre>{@code nonce "." provider "." expiry "." mac}</pre>
 *
 * <p>where the nonce is 32 random bytes and also the {@code state} parameter, expiry is in seconds since 1970, and mac is
 * HMAC-SHA256 over what is before it; binary parts are base64url without padding. PKCE's verifier is another HMAC of the
 * nonce: who sees the state cannot know it, and every control plane with the same secret can. Both keys are derived from
 * JWT_SECRET for their purpose alone.
 */
final class LoginStates {
    static final Duration LIFETIME = Duration.ofMinutes(10);
    private static final int NONCE_BYTES = 32;
    private static final Base64.Encoder BASE64 = Base64.getUrlEncoder().withoutPadding();

    /** A log-in that has begun. */
    record Begun(String state, String challenge, String cookie) {}

    private final SecretKey cookieKey;
    private final SecretKey verifierKey;
    private final Clock clock;
    private final SecureRandom random = new SecureRandom();

    LoginStates(String secret, Clock clock) {
        this.cookieKey = derive(secret, "sandglass oauth state cookie v1");
        this.verifierKey = derive(secret, "sandglass oauth pkce verifier v1");
        this.clock = clock;
    }

    Begun begin(String provider) {
        byte[] bytes = new byte[NONCE_BYTES];
        random.nextBytes(bytes);
        String nonce = BASE64.encodeToString(bytes);
        String content =
                nonce + "." + provider + "." + clock.instant().plus(LIFETIME).getEpochSecond();
        return new Begun(nonce, challenge(verifier(nonce)), content + "." + mac(cookieKey, content));
    }

    /** PKCE's verifier, if the cookie is one of ours, still good, and made for this provider and state; else empty. */
    Optional<String> verifier(String cookie, String provider, String state) {
        String[] parts = cookie.split("\\.", -1);
        if (parts.length != 4) {
            return Optional.empty();
        }
        String content = parts[0] + "." + parts[1] + "." + parts[2];
        boolean ours = isEqual(parts[3], mac(cookieKey, content)) && parts[2].matches("[0-9]{1,12}");
        boolean good = ours && clock.instant().getEpochSecond() < Long.parseLong(parts[2]);
        return good && parts[1].equals(provider) && isEqual(parts[0], state)
                ? Optional.of(verifier(state))
                : Optional.empty();
    }

    private String verifier(String nonce) {
        return mac(verifierKey, nonce);
    }

    /** RFC 7636, S256. */
    static String challenge(String verifier) {
        try {
            MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
            return BASE64.encodeToString(sha256.digest(verifier.getBytes(StandardCharsets.US_ASCII)));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("compute a PKCE challenge", e);
        }
    }

    private static boolean isEqual(String one, String other) {
        return MessageDigest.isEqual(one.getBytes(StandardCharsets.UTF_8), other.getBytes(StandardCharsets.UTF_8));
    }

    private static String mac(SecretKey key, String text) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(key);
            return BASE64.encodeToString(mac.doFinal(text.getBytes(StandardCharsets.UTF_8)));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("compute a MAC", e);
        }
    }

    private static SecretKey derive(String secret, String purpose) {
        try {
            return KDF.getInstance("HKDF-SHA256")
                    .deriveKey(
                            "HmacSHA256",
                            HKDFParameterSpec.ofExtract()
                                    .addIKM(secret.getBytes(StandardCharsets.UTF_8))
                                    .thenExpand(purpose.getBytes(StandardCharsets.UTF_8), 32));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("derive a key", e);
        }
    }
}
