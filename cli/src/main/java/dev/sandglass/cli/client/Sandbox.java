package dev.sandglass.cli.client;

import java.time.Instant;
import tools.jackson.databind.JsonNode;

/** One sandbox as the API describes it; {@code json} is the whole object, for output that programs read. */
public record Sandbox(JsonNode json) {
    public String id() {
        return text("id");
    }

    public String status() {
        return text("status");
    }

    public String template() {
        return text("template");
    }

    public int vcpus() {
        return json.path("vcpus").asInt(0);
    }

    public int memoryMb() {
        return json.path("memory_mb").asInt(0);
    }

    public String error() {
        return text("error");
    }

    public Instant createdAt() {
        return Instant.parse(text("created_at"));
    }

    private String text(String field) {
        return json.path(field).asString("");
    }
}
