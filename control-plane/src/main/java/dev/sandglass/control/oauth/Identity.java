package dev.sandglass.control.oauth;

import dev.sandglass.control.account.Accounts;

/**
 * A person, as a provider knows them. The constructor throws {@link ProviderFailure} for what we could not keep.
 *
 * @param providerId never changes and is never given to somebody else
 * @param email verified by the provider
 * @param displayName fit for a team's name; the e-mail where there is none
 */
record Identity(String providerId, String email, String displayName) {
    private static final int PROVIDER_ID_LENGTH_MAX = 255;
    private static final int NAME_LENGTH_MAX = 200;

    Identity {
        if (!providerId.matches("[\\x21-\\x7e]{1," + PROVIDER_ID_LENGTH_MAX + "}")) {
            throw new ProviderFailure("the profile's id cannot be used");
        }
        email = Accounts.normalEmail(email)
                .orElseThrow(() -> new ProviderFailure("the profile's e-mail address cannot be used"));
        displayName = printable(displayName);
        if (displayName.isEmpty()) {
            displayName = email;
        }
    }

    private static String printable(String name) {
        return name.codePoints()
                .filter(c -> !Character.isISOControl(c) && Character.getType(c) != Character.SURROGATE)
                .limit(NAME_LENGTH_MAX)
                .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                .toString()
                .strip();
    }
}
