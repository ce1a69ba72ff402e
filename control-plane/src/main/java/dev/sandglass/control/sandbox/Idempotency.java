package dev.sandglass.control.sandbox;

/**
 * What a caller sends so that a repeated request makes nothing twice.
 *
 * @param key Idempotency-Key, 1 to 255 printable characters
 * @param requestHash of the body, in which the repetition must not differ
 */
record Idempotency(String key, String requestHash) {}
