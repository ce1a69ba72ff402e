package dev.sandglass.control.apikey;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.HexFormat;

/** The text of a key: {@code sgk_} and 40 characters of base62, 238 random bits. */
record KeyText(String value) {
    private static final String PREFIX = "sgk_";
    private static final int RANDOM_CHARACTERS = 40;
    private static final int SHOWN_CHARACTERS = 12;
    private static final String ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    private static final SecureRandom RANDOM = new SecureRandom();
    private static final MessageDigest SHA_256 = sha256(); // only ever cloned

    static KeyText random() {
        StringBuilder text = new StringBuilder(PREFIX);
        for (int i = 0; i < RANDOM_CHARACTERS; i++) {
            text.append(ALPHABET.charAt(RANDOM.nextInt(ALPHABET.length())));
        }
        return new KeyText(text.toString());
    }

    static boolean isPlausible(String text) {
        return text.length() == PREFIX.length() + RANDOM_CHARACTERS && text.startsWith(PREFIX);
    }

    /** What a list of keys may show. */
    String shownPrefix() {
        return value.substring(0, SHOWN_CHARACTERS) + "...";
    }

    String hash() {
        try {
            // Looking the algorithm up costs as much as the digest, and each request with a key needs one.
            MessageDigest digest = (MessageDigest) SHA_256.clone();
            return HexFormat.of().formatHex(digest.digest(value.getBytes(StandardCharsets.UTF_8)));
        } catch (CloneNotSupportedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public String toString() {
        return "KeyText";
    }
}
