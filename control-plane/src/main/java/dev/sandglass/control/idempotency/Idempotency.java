package dev.sandglass.control.idempotency;

import dev.sandglass.control.http.Json;
import dev.sandglass.control.http.Texts;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Optional;

/**
 * What a caller sends so that a repeated request makes nothing twice.
 *
 * @param key Idempotency-Key, 1 to 255 printable characters
 * @param requestHash of what is asked for, in which the repetition must not differ
 */
public record Idempotency(String key, String requestHash) {
    public static final String HEADER = "Idempotency-Key";

    /** {@code canonical}: what is asked for, not how it was written down; it is hashed as JSON. */
    public static Optional<Idempotency> of(Optional<String> header, Object canonical) {
        return header.map(key -> new Idempotency(checked(key), hash(Json.writeText(canonical))));
    }

    private static String checked(String key) {
        if (key.isEmpty() || key.length() > 255 || !key.chars().allMatch(c -> c >= ' ' && c < 127)) {
            throw Texts.invalid("The header Idempotency-Key must be 1 to 255 printable ASCII characters.");
        }
        return key;
    }

    private static String hash(String canonical) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            return HexFormat.of().formatHex(digest.digest(canonical.getBytes(StandardCharsets.UTF_8)));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
