package dev.sandglass.control.account;

/**
 * Somebody as a provider of log-ins knows them.
 *
 * @param providerId never changes, whatever else does
 * @param email as {@link Accounts#normalEmail} has it
 * @param displayName what their team is named after
 */
public record ExternalIdentity(String provider, String providerId, String email, String displayName) {}
