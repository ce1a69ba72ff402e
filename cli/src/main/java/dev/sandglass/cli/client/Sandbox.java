package dev.sandglass.cli.client;

import java.time.Instant;
import java.util.Optional;
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

    /** After how many idle seconds it is paused; 0 for never. */
    public int timeoutSec() {
        return json.path("timeout_sec").asInt(0);
    }

    /**
     * Of a paused one: because nobody used it, not because somebody said so. The API does not tell; but as one that idles
     * is paused within seconds of its timeout, one that was paused later than that was not paused by anybody.
     */
    public boolean autoPaused() {
        Optional<Instant> active = time("last_active_at");
        Optional<Instant> paused = time("last_updated");
        return status().equals("paused")
                && timeoutSec() > 0
                && active.isPresent()
                && paused.isPresent()
                && !paused.get().isBefore(active.get().plusSeconds(timeoutSec()));
    }

    /** Of a resumed one: it was booted from its disk. */
    public boolean cold() {
        return json.path("cold").asBoolean(false);
    }

    public String error() {
        return text("error");
    }

    public Instant createdAt() {
        return Instant.parse(text("created_at"));
    }

    private Optional<Instant> time(String field) {
        return Optional.of(text(field)).filter(text -> !text.isEmpty()).map(Instant::parse);
    }

    private String text(String field) {
        return json.path(field).asString("");
    }
}
