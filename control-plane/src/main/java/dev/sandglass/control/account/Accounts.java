package dev.sandglass.control.account;

import static dev.sandglass.control.http.Texts.invalid;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.account.AccountStore.Account;
import dev.sandglass.control.database.Database;
import dev.sandglass.control.http.Caller;
import dev.sandglass.control.http.Texts;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jdbi.v3.core.JdbiException;
import org.jspecify.annotations.Nullable;

/** Sign-up and log-in. */
public final class Accounts implements AutoCloseable {
    private static final Pattern EMAIL = Pattern.compile(
            "[^\\s@\\p{Cntrl}\\p{Cs}]{1,64}@[^\\s@\\p{Cntrl}\\p{Cs}.]+(\\.[^\\s@\\p{Cntrl}\\p{Cs}.]+)+");
    private static final int EMAIL_LENGTH_MAX = 254;

    private final AccountStore store;
    private final Passwords passwords = new Passwords();
    private final Attempts attempts;

    /** Sign-ups of one e-mail wait for each other, so that only one of them costs a hash; the database decides. */
    private final List<ReentrantLock> turns =
            Stream.generate(ReentrantLock::new).limit(64).toList();

    Accounts(AccountStore store, AttemptLimits limits) {
        this.store = store;
        this.attempts = new Attempts(limits);
    }

    /** Counts a step of a log-in through a provider; throws RATE_LIMITED when it is one too many. */
    public void countExternal(String network) {
        attempts.countExternal(network);
    }

    Caller.ByUser signUp(@Nullable String email, @Nullable String password, String network) {
        String name = emailOf(email);
        String secret = passwordOf(password);
        attempts.count(network, name);
        ReentrantLock turn = turns.get(Math.floorMod(name.hashCode(), turns.size()));
        turn.lock();
        try {
            if (isTaken(name)) {
                throw taken();
            }
            return callerOf(store.insert(name, Optional.of(passwords.hash(secret))));
        } catch (JdbiException e) {
            if (Database.isUniqueViolation(e)) {
                throw taken();
            }
            throw e;
        } finally {
            turn.unlock();
        }
    }

    /** The local account's address is kept for it, even where it was never made. */
    private boolean isTaken(String email) {
        return email.equals(LocalAccount.EMAIL) || store.find(email).isPresent();
    }

    private static PlatformException taken() {
        return new PlatformException(
                ErrorCode.EMAIL_TAKEN, "There is an account with this e-mail already: log in instead.");
    }

    Caller.ByUser logIn(@Nullable String email, @Nullable String password, String network) {
        String name = Texts.require("email", email, 4096).strip().toLowerCase(Locale.ROOT);
        String secret = Texts.require("password", password, 65_536);
        if (name.isEmpty()) {
            throw invalid("The field 'email' is missing or empty.");
        }
        boolean possible = name.length() <= EMAIL_LENGTH_MAX;
        attempts.count(network, possible ? name : "an address nobody has"); // of bounded length, since it is kept
        Optional<Account> account = possible ? store.find(name) : Optional.empty();
        boolean right = passwords.matches(
                secret.length() <= Passwords.LENGTH_MAX ? secret : "", account.flatMap(Account::passwordHash));
        if (account.isEmpty() || !right) {
            throw new PlatformException(ErrorCode.UNAUTHORIZED, "E-mail or password is wrong.");
        }
        return callerOf(account.get());
    }

    /** The account of this name that nobody can log in to; made when it is not there. */
    public Caller.ByUser ensureWithoutPassword(String email) {
        try {
            return callerOf(store.find(email).orElseGet(() -> store.insert(email, Optional.empty())));
        } catch (JdbiException e) {
            if (Database.isUniqueViolation(e)) {
                return callerOf(store.find(email).orElseThrow());
            }
            throw e;
        }
    }

    /**
     * Logs the user of this identity in, who is made the first time. Two who come at once, be it to any control plane,
     * get the same user.
     */
    public ExternalLogin logInWith(ExternalIdentity identity) {
        Optional<Account> known = store.find(identity);
        if (known.isPresent()) {
            return new ExternalLogin.LoggedIn(callerOf(known.get()));
        }
        if (isTaken(identity.email())) {
            return knownOrTaken(identity); // it may have been made since the look before
        }
        try {
            return new ExternalLogin.LoggedIn(callerOf(store.insert(identity)));
        } catch (JdbiException e) {
            if (Database.isUniqueViolation(e)) {
                return knownOrTaken(identity);
            }
            throw e;
        }
    }

    private ExternalLogin knownOrTaken(ExternalIdentity identity) {
        return store.find(identity)
                .<ExternalLogin>map(account -> new ExternalLogin.LoggedIn(callerOf(account)))
                .orElseGet(ExternalLogin.EmailTaken::new);
    }

    private static Caller.ByUser callerOf(Account account) {
        return new Caller.ByUser(account.user(), account.team(), account.email());
    }

    private static String emailOf(@Nullable String email) {
        return normalEmail(Texts.require("email", email, 4096))
                .orElseThrow(() -> invalid("The field 'email' does not look like an e-mail address."));
    }

    /** An e-mail address as accounts have it, trimmed and in lower case; empty for what does not look like one. */
    public static Optional<String> normalEmail(String text) {
        String email = text.strip().toLowerCase(Locale.ROOT);
        boolean good =
                email.length() <= EMAIL_LENGTH_MAX && EMAIL.matcher(email).matches();
        return good ? Optional.of(email) : Optional.empty();
    }

    private static String passwordOf(@Nullable String password) {
        String secret = Texts.requireUnicode("password", password == null ? "" : password);
        int characters = secret.codePointCount(0, secret.length());
        if (characters < Passwords.LENGTH_MIN || characters > Passwords.LENGTH_MAX) {
            throw invalid("The field 'password' must have " + Passwords.LENGTH_MIN + " to " + Passwords.LENGTH_MAX
                    + " characters.");
        }
        return secret;
    }

    @Override
    public void close() {
        passwords.close();
    }
}
