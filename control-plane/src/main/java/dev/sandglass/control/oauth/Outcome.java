package dev.sandglass.control.oauth;

import dev.sandglass.control.http.Caller;
import java.util.Locale;

/** How a provider's answer ended. */
sealed interface Outcome {
    record LoggedIn(Caller.ByUser user) implements Outcome {}

    /** Each constant in lower case is what the page after log-in is told. */
    enum Refused implements Outcome {
        ACCESS_DENIED,
        INVALID_STATE,
        MISSING_CODE,
        EXCHANGE_FAILED,
        EMAIL_TAKEN;

        String wireName() {
            return name().toLowerCase(Locale.ROOT);
        }
    }
}
