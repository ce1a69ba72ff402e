package dev.sandglass.control.account;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.account.AccountStore.Membership;
import dev.sandglass.control.http.Access;
import dev.sandglass.control.http.Caller;
import dev.sandglass.control.http.HttpRequest;
import dev.sandglass.control.http.Reply;
import dev.sandglass.control.http.Route;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** /v1/auth and /v1/me. */
final class AccountResource {
    record Credentials(@Nullable String email, @Nullable String password) {}

    record Session(String token, String userId, String teamId, String email) {}

    record Me(String userId, String teamId, String email, List<Team> teams, List<String> loginMethods) {}

    record Team(String id, String name, String role, boolean isDefault) {}

    private final Accounts accounts;
    private final AccountStore store;
    private final Tokens tokens;

    AccountResource(Accounts accounts, AccountStore store, Tokens tokens) {
        this.accounts = accounts;
        this.store = store;
        this.tokens = tokens;
    }

    List<Route> routes() {
        return List.of(
                Route.of("POST", "/v1/auth/signup", Access.OPEN, this::signUp),
                Route.of("POST", "/v1/auth/login", Access.OPEN, this::logIn),
                Route.of("GET", "/v1/me", Access.USER, this::me));
    }

    private Reply signUp(HttpRequest request) throws IOException {
        Credentials sent = request.json(Credentials.class);
        return Reply.created(session(accounts.signUp(sent.email(), sent.password(), request.network())));
    }

    private Reply logIn(HttpRequest request) throws IOException {
        Credentials sent = request.json(Credentials.class);
        return Reply.ok(session(accounts.logIn(sent.email(), sent.password(), request.network())));
    }

    private Session session(Caller.ByUser user) {
        return new Session(tokens.issue(user), user.user().value(), user.team().value(), user.email());
    }

    private Reply me(HttpRequest request) {
        Caller.ByUser caller = request.user();
        AccountStore.Account account = store.find(caller.email())
                .filter(found -> found.user().equals(caller.user()))
                .orElseThrow(
                        () -> new PlatformException(ErrorCode.UNAUTHORIZED, "This account does not exist any more."));
        List<String> methods = new ArrayList<>(store.providers(account.user()));
        if (account.passwordHash().isPresent()) {
            methods.addFirst("password");
        }
        List<Team> teams =
                store.teams(account.user()).stream().map(AccountResource::team).toList();
        return Reply.ok(new Me(account.user().value(), caller.team().value(), account.email(), teams, methods));
    }

    private static Team team(Membership membership) {
        return new Team(membership.team().value(), membership.name(), membership.role(), membership.isDefault());
    }
}
