package dev.sandglass.control.http;

import dev.sandglass.contract.Id.ApiKeyId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.Id.UserId;

/** Who makes a request. Whatever the request names is looked up within {@link #team()}. */
public sealed interface Caller {
    TeamId team();

    /** A program with a team's key. */
    record ByKey(ApiKeyId key, TeamId team) implements Caller {}

    /** A person who has logged in. */
    record ByUser(UserId user, TeamId team, String email) implements Caller {}
}
