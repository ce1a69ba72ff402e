package dev.sandglass.host.agent;

import dev.sandglass.host.guest.GuestClient;
import java.security.SecureRandom;

/** What makes one guest different from all others. Thread-safe. */
final class Secrets {
    private static final int ENTROPY_BYTES = 64;
    private static final SecureRandom RANDOM = new SecureRandom();

    private Secrets() {}

    static byte[] guestToken() {
        return random(GuestClient.TOKEN_BYTES);
    }

    static byte[] entropy() {
        return random(ENTROPY_BYTES);
    }

    private static byte[] random(int length) {
        byte[] bytes = new byte[length];
        RANDOM.nextBytes(bytes);
        return bytes;
    }
}
