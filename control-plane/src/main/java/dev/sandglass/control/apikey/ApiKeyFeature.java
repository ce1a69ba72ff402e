package dev.sandglass.control.apikey;

import dev.sandglass.control.database.Announcements;
import dev.sandglass.control.http.Route;
import java.util.List;
import org.jdbi.v3.core.Jdbi;

/** The feature, wired. */
public record ApiKeyFeature(ApiKeys keys, List<Route> routes) {
    public static ApiKeyFeature wire(Jdbi jdbi, Announcements announcements) {
        ApiKeyStore store = new ApiKeyStore(jdbi);
        ApiKeys keys = new ApiKeys(store, announcements);
        return new ApiKeyFeature(keys, new ApiKeyResource(keys, store).routes());
    }
}
