package dev.sandglass.acceptance;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;

/** A sandbox of one key; closing deletes it. */
record Sandbox(Api api, String id, JsonNode created) implements AutoCloseable {

    record Exec(JsonNode json) {
        int exitCode() {
            return json.path("exit_code").asInt(-1000);
        }

        String stdout() {
            return json.path("stdout").asString("");
        }

        String stderr() {
            return json.path("stderr").asString("");
        }

        /** Stdout of a command that must have exited with 0, without the last newline. */
        String require() {
            if (exitCode() != 0) {
                throw new AssertionError("exec failed: " + json);
            }
            return stdout().stripTrailing();
        }
    }

    String path() {
        return "/v1/sandboxes/" + id;
    }

    String hostIp() {
        return created.path("host_ip").asString("");
    }

    JsonNode now() {
        return api.get(path()).require(200).json();
    }

    String status() {
        return now().path("status").asString("");
    }

    Exec exec(String command, String... arguments) {
        return exec(Map.of("cmd", command, "args", Arrays.asList(arguments)));
    }

    Exec sh(String script) {
        return exec("sh", "-c", script);
    }

    Exec exec(Map<String, ?> request) {
        return new Exec(api.post(path() + "/exec", request).require(200).json());
    }

    /** Options beside the script, e.g. timeout_sec. */
    Exec sh(String script, Map<String, ?> options) {
        Map<String, Object> request = new HashMap<>(options);
        request.put("cmd", "sh");
        request.put("args", List.of("-c", script));
        return exec(request);
    }

    void delete() {
        api.delete(path()).require(204);
    }

    @Override
    public void close() {
        delete();
    }
}
