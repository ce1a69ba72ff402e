package dev.sandglass.control.account;

/**
 * How often somebody may try to get in, in a minute.
 *
 * @param perAddress sign-ups and log-ins with a password, from one address
 * @param perAccount the same, for one account
 * @param externalPerAddress steps of log-ins through providers, of which each log-in has two, from one address
 */
public record AttemptLimits(int perAddress, int perAccount, int externalPerAddress) {
    public AttemptLimits {
        if (perAddress < 1 || perAccount < 1 || externalPerAddress < 1) {
            throw new IllegalArgumentException("a limit below one lets nobody in");
        }
    }
}
