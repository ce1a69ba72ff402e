package dev.sandglass.control.apikey;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.ApiKeyId;
import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.http.Access;
import dev.sandglass.control.http.HttpRequest;
import dev.sandglass.control.http.Reply;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.http.Texts;
import java.io.IOException;
import java.time.Instant;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** /v1/api-keys. */
final class ApiKeyResource {
    private static final int NAME_LENGTH_MAX = 200;
    private static final String UNNAMED = "Unnamed API Key";

    record CreateRequest(@Nullable String name) {}

    record KeyObject(
            String id,
            String teamId,
            String name,
            String keyPrefix,
            String createdBy,
            Instant createdAt,
            @Nullable Instant lastUsed,
            @Nullable String key) {}

    private final ApiKeys keys;
    private final ApiKeyStore store;

    ApiKeyResource(ApiKeys keys, ApiKeyStore store) {
        this.keys = keys;
        this.store = store;
    }

    List<Route> routes() {
        return List.of(
                Route.of("POST", "/v1/api-keys", Access.USER, this::create),
                Route.of("GET", "/v1/api-keys", Access.USER, this::list),
                Route.of("DELETE", "/v1/api-keys/{id}", Access.USER, this::delete));
    }

    private Reply create(HttpRequest request) throws IOException {
        String name = Texts.optional(
                        "name", request.jsonOrEmpty(CreateRequest.class).name(), NAME_LENGTH_MAX)
                .map(String::strip)
                .filter(text -> !text.isEmpty())
                .orElse(UNNAMED);
        ApiKeys.NewKey made = keys.create(request.team(), request.user().user(), name);
        return Reply.created(object(made.key(), made.text()));
    }

    private Reply list(HttpRequest request) {
        return Reply.ok(store.list(request.team()).stream()
                .map(key -> object(key, null))
                .toList());
    }

    private Reply delete(HttpRequest request) {
        String id = request.parameter("id");
        if (!Ids.isValid(ApiKeyId.PREFIX, id) || !keys.delete(request.team(), new ApiKeyId(id))) {
            throw new PlatformException(ErrorCode.NOT_FOUND, "There is no such API key.");
        }
        return Reply.noContent();
    }

    private static KeyObject object(ApiKey key, @Nullable String text) {
        return new KeyObject(
                key.id().value(),
                key.team().value(),
                key.name(),
                key.prefix(),
                key.createdBy().value(),
                key.createdAt(),
                key.lastUsed().orElse(null),
                text);
    }
}
