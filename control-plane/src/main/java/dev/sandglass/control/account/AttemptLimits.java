package dev.sandglass.control.account;

/** How often sign-up and log-in may be tried in a minute, from one address and for one account. */
public record AttemptLimits(int perAddress, int perAccount) {
    public AttemptLimits {
        if (perAddress < 1 || perAccount < 1) {
            throw new IllegalArgumentException("a limit below one lets nobody in");
        }
    }
}
