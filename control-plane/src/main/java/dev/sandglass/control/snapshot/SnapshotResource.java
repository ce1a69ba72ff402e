package dev.sandglass.control.snapshot;

import static dev.sandglass.control.http.Texts.invalid;

import dev.sandglass.control.http.Access;
import dev.sandglass.control.http.HttpRequest;
import dev.sandglass.control.http.Reply;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.http.Texts;
import dev.sandglass.control.idempotency.Answer;
import dev.sandglass.control.idempotency.Idempotency;
import dev.sandglass.control.snapshot.Snapshots.Wanted;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** /v1/snapshots. */
final class SnapshotResource {
    private static final int ID_LENGTH_MAX = 64;

    record CreateRequest(
            @Nullable String sandboxId,
            @Nullable String name,
            @Nullable Boolean pause) {}

    private final Snapshots snapshots;

    SnapshotResource(Snapshots snapshots) {
        this.snapshots = snapshots;
    }

    List<Route> routes() {
        return List.of(
                Route.of("POST", "/v1/snapshots", Access.TEAM, this::create),
                Route.of("GET", "/v1/snapshots", Access.TEAM, this::list),
                Route.of("GET", "/v1/snapshots/{name}", Access.TEAM, this::find),
                Route.of("DELETE", "/v1/snapshots/{name}", Access.TEAM, this::delete));
    }

    private Reply create(HttpRequest request) throws IOException {
        CreateRequest sent = request.json(CreateRequest.class);
        Wanted wanted = new Wanted(
                Texts.require("sandbox_id", sent.sandboxId(), ID_LENGTH_MAX),
                Optional.ofNullable(sent.name()).map(name -> Texts.requireName("name", name)),
                Boolean.TRUE.equals(sent.pause()),
                request.query("overwrite").map(SnapshotResource::overwrite).orElse(false));
        Answer answer = snapshots.create(
                request.team(),
                wanted,
                Idempotency.of(
                        request.header(Idempotency.HEADER),
                        List.of(
                                "snapshot",
                                wanted.sandbox(),
                                wanted.name().orElse(""),
                                wanted.pause(),
                                wanted.overwrite())));
        return new Reply.Bytes(answer.status(), answer.bytes(), Map.of("Content-Type", "application/json"));
    }

    private static boolean overwrite(String text) {
        return switch (text) {
            case "true" -> true;
            case "false" -> false;
            default -> throw invalid("The parameter 'overwrite' must be true or false.");
        };
    }

    private Reply list(HttpRequest request) {
        Optional<SnapshotType> type = request.query("type").map(SnapshotResource::type);
        return Reply.ok(snapshots.list(request.team(), type).stream()
                .map(SnapshotObject::of)
                .toList());
    }

    private static SnapshotType type(String text) {
        return SnapshotType.named(text).orElseThrow(() -> invalid("The parameter 'type' must be base or snapshot."));
    }

    private Reply find(HttpRequest request) {
        return Reply.ok(SnapshotObject.of(snapshots.require(request.team(), request.parameter("name"))));
    }

    private Reply delete(HttpRequest request) {
        snapshots.delete(request.team(), request.parameter("name"));
        return Reply.noContent();
    }
}
