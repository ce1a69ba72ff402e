package dev.sandglass.cli.client;

import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import tools.jackson.databind.node.ObjectNode;

/** What a new sandbox should be; what is absent is the server's default. */
public record CreateRequest(
        Optional<String> template,
        OptionalInt vcpus,
        OptionalInt memoryMb,
        OptionalInt timeoutSec,
        Map<String, String> env,
        Map<String, String> metadata) {
    public CreateRequest {
        env = Map.copyOf(env);
        metadata = Map.copyOf(metadata);
    }

    ObjectNode toJson() {
        ObjectNode json = Json.object();
        template.ifPresent(name -> json.put("template", name));
        vcpus.ifPresent(count -> json.put("vcpus", count));
        memoryMb.ifPresent(megabytes -> json.put("memory_mb", megabytes));
        timeoutSec.ifPresent(seconds -> json.put("timeout_sec", seconds));
        Json.putAll(json, "env", env);
        Json.putAll(json, "metadata", metadata);
        return json;
    }
}
