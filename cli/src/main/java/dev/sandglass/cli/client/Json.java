package dev.sandglass.cli.client;

import java.util.Map;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** JSON as trees: binding to classes would double the start-up time of short commands. */
public final class Json {
    private static final JsonMapper MAPPER = new JsonMapper();

    private Json() {}

    public static ObjectNode object() {
        return MAPPER.createObjectNode();
    }

    /** The tree, or a missing node when this is no JSON. */
    public static JsonNode parse(String text) {
        try {
            return MAPPER.readTree(text);
        } catch (JacksonException e) {
            return MAPPER.missingNode();
        }
    }

    public static String write(JsonNode node) {
        return MAPPER.writeValueAsString(node);
    }

    public static String writeIndented(JsonNode node) {
        return MAPPER.writerWithDefaultPrettyPrinter().writeValueAsString(node);
    }

    public static JsonNode array(Iterable<JsonNode> elements) {
        var array = MAPPER.createArrayNode();
        elements.forEach(array::add);
        return array;
    }

    static void putAll(ObjectNode parent, String field, Map<String, String> entries) {
        if (!entries.isEmpty()) {
            ObjectNode object = parent.putObject(field);
            entries.forEach(object::put);
        }
    }
}
