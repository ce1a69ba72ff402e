package dev.sandglass.control.oauth;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The providers there are, by name. */
final class Providers {
    private final Map<String, Provider> byName = new HashMap<>();

    Providers(List<Provider> providers) {
        for (Provider provider : providers) {
            if (!provider.name().matches("[a-z0-9-]{1,32}")) {
                throw new IllegalArgumentException("not the name of a provider: " + provider.name());
            }
            if (byName.putIfAbsent(provider.name(), provider) != null) {
                throw new IllegalArgumentException("two providers are called " + provider.name());
            }
        }
    }

    /** Those that are configured. */
    static Providers of(OauthConfiguration configuration, ProviderClient client) {
        return new Providers(configuration.github().stream()
                .<Provider>map(settings ->
                        new GithubProvider(settings, configuration.callbackUrl(GithubProvider.NAME), client))
                .toList());
    }

    /** In alphabetical order. */
    List<String> names() {
        return byName.keySet().stream().sorted().toList();
    }

    Optional<Provider> find(String name) {
        return Optional.ofNullable(byName.get(name));
    }
}
