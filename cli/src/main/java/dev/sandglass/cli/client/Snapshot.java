package dev.sandglass.cli.client;

import java.time.Instant;
import java.util.Optional;
import tools.jackson.databind.JsonNode;

/** One snapshot or base template as the API describes it; {@code json} is the whole object. */
public record Snapshot(JsonNode json) {
    public String name() {
        return json.path("name").asString("");
    }

    /** {@code base} or {@code snapshot}. */
    public String type() {
        return json.path("type").asString("");
    }

    /** 0 for a base template, which comes in every size. */
    public int vcpus() {
        return json.path("vcpus").asInt(0);
    }

    /** 0 for a base template. */
    public int memoryMb() {
        return json.path("memory_mb").asInt(0);
    }

    /** On disk. */
    public long sizeBytes() {
        return json.path("size_bytes").asLong(0);
    }

    /** Empty for a base template, which is there from the beginning. */
    public Optional<Instant> createdAt() {
        return Optional.of(json.path("created_at").asString(""))
                .filter(text -> !text.isEmpty())
                .map(Instant::parse);
    }
}
