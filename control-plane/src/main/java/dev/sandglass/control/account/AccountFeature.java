package dev.sandglass.control.account;

import dev.sandglass.control.http.Route;
import java.util.List;
import org.jdbi.v3.core.Jdbi;

/** The feature, wired. */
public record AccountFeature(Accounts accounts, List<Route> routes) {
    public static AccountFeature wire(Jdbi jdbi, AttemptLimits limits, Tokens tokens) {
        AccountStore store = new AccountStore(jdbi);
        Accounts accounts = new Accounts(store, limits);
        return new AccountFeature(accounts, new AccountResource(accounts, store, tokens).routes());
    }
}
