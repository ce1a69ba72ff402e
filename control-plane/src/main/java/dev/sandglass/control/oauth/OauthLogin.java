package dev.sandglass.control.oauth;

import dev.sandglass.control.account.Accounts;
import dev.sandglass.control.account.ExternalIdentity;
import dev.sandglass.control.account.ExternalLogin;
import java.time.Duration;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** From a provider's code to one of our users. */
final class OauthLogin {
    private static final Logger log = LoggerFactory.getLogger(OauthLogin.class);

    /** Anybody can make us ask a provider; more than this many at once wait for each other, and not for long. */
    private static final int EXCHANGES_MAX = 64;

    private static final Duration TURN_MAX = Duration.ofSeconds(10);

    private final Accounts accounts;
    private final Semaphore turns = new Semaphore(EXCHANGES_MAX);

    OauthLogin(Accounts accounts) {
        this.accounts = accounts;
    }

    /** Throws RATE_LIMITED when this is one step too many from there. */
    void count(String network) {
        accounts.countExternal(network);
    }

    Outcome finish(Provider provider, String code, String verifier) {
        Identity identity;
        try {
            identity = exchange(provider, code, verifier);
        } catch (ProviderFailure e) {
            log.atInfo()
                    .addKeyValue("provider", provider.name())
                    .addKeyValue("reason", e.getMessage())
                    .log("log-in through a provider failed");
            return Outcome.Refused.EXCHANGE_FAILED;
        }
        ExternalLogin login = accounts.logInWith(
                new ExternalIdentity(provider.name(), identity.providerId(), identity.email(), identity.displayName()));
        return switch (login) {
            case ExternalLogin.LoggedIn in -> new Outcome.LoggedIn(in.user());
            case ExternalLogin.EmailTaken taken -> Outcome.Refused.EMAIL_TAKEN;
        };
    }

    private Identity exchange(Provider provider, String code, String verifier) {
        try {
            if (!turns.tryAcquire(TURN_MAX.toMillis(), TimeUnit.MILLISECONDS)) {
                throw new ProviderFailure("too many log-ins at once");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ProviderFailure("interrupted");
        }
        try {
            return provider.exchange(code, verifier);
        } finally {
            turns.release();
        }
    }
}
