package dev.sandglass.control.apikey;

import dev.sandglass.contract.Id.ApiKeyId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.Id.UserId;
import java.time.Instant;
import java.util.Optional;

/** A key as it is kept: without its text. */
public record ApiKey(
        ApiKeyId id,
        TeamId team,
        String name,
        String prefix,
        UserId createdBy,
        Instant createdAt,
        Optional<Instant> lastUsed) {}
