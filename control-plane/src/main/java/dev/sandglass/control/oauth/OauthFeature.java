package dev.sandglass.control.oauth;

import dev.sandglass.control.account.Accounts;
import dev.sandglass.control.account.Tokens;
import dev.sandglass.control.http.Route;
import java.time.Clock;
import java.util.List;

/** The feature, wired. Closing it ends calls to providers that are under way. */
public final class OauthFeature implements AutoCloseable {
    private final ProviderClient client = new ProviderClient(ProviderClient.PATIENCE);
    private final List<Route> routes;

    /** @param secret JWT_SECRET, from which this derives keys of its own */
    public OauthFeature(OauthConfiguration configuration, Accounts accounts, Tokens tokens, String secret) {
        this.routes = routes(Providers.of(configuration, client), configuration, accounts, tokens, secret);
    }

    static List<Route> routes(
            Providers providers, OauthConfiguration configuration, Accounts accounts, Tokens tokens, String secret) {
        LoginStates states = new LoginStates(secret, Clock.systemUTC());
        return new OauthResource(providers, configuration, states, new OauthLogin(accounts), tokens).routes();
    }

    public List<Route> routes() {
        return routes;
    }

    @Override
    public void close() {
        client.close();
    }
}
