package dev.sandglass.contract.check;

import com.networknt.schema.InputFormat;
import com.networknt.schema.Schema;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SchemaRegistryConfig;
import com.networknt.schema.dialect.Dialects;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/**
 * Validates JSON by the document's schemas. What the server sends is validated by closed ones: a field that the document
 * does not name is a difference. What it is sent may have fields that nobody knows. Thread-safe.
 */
final class Schemas {
    private final SchemaRegistry registry = SchemaRegistry.withDialect(
            Dialects.getOpenApi31(),
            builder -> builder.schemaRegistryConfig(
                    SchemaRegistryConfig.builder().formatAssertionsEnabled(true).build()));
    private final Map<String, Schema> compiled = new ConcurrentHashMap<>();
    private final JsonNode definitions;
    private final JsonNode closedDefinitions;

    Schemas(OpenApi document) {
        definitions = document.root().path("components").path("schemas");
        closedDefinitions = closed(definitions);
    }

    /** What is wrong with something the server is sent. */
    List<String> sent(JsonNode schema, JsonNode value) {
        return validate("open " + schema, schema, definitions, value);
    }

    /** What is wrong with something the server sends. */
    List<String> received(JsonNode schema, JsonNode value) {
        return validate("closed " + schema, closed(schema), closedDefinitions, value);
    }

    /** What is wrong with the text of a parameter or header. */
    List<String> text(JsonNode schema, String text) {
        return switch (schema.path("type").asString("string")) {
            case "integer" ->
                text.matches("-?[0-9]{1,18}")
                        ? sent(schema, JsonNodeFactory.instance.numberNode(Long.parseLong(text)))
                        : List.of("'" + text + "' is no integer");
            case "boolean" ->
                text.matches("true|false")
                        ? sent(schema, JsonNodeFactory.instance.booleanNode(text.equals("true")))
                        : List.of("'" + text + "' is no boolean");
            default -> sent(schema, JsonNodeFactory.instance.stringNode(text));
        };
    }

    private List<String> validate(String key, JsonNode schema, JsonNode defined, JsonNode value) {
        return compiled.computeIfAbsent(key, _ -> compile(schema, defined)).validate(value).stream()
                .map(error -> error.getInstanceLocation() + " " + error.getMessage())
                .toList();
    }

    /** By itself, with what it may refer to where JSON Schema has that. */
    private Schema compile(JsonNode schema, JsonNode defined) {
        ObjectNode whole = JsonNodeFactory.instance.objectNode();
        whole.set("$defs", defined);
        whole.putArray("allOf").add(schema);
        return registry.getSchema(whole.toString().replace("#/components/schemas/", "#/$defs/"), InputFormat.JSON);
    }

    /** Every object that lists its properties has no others; parts of an allOf are judged by the part that does. */
    private static JsonNode closed(JsonNode schema) {
        JsonNode copy = schema.deepCopy();
        close(copy);
        return copy;
    }

    private static void close(JsonNode node) {
        if (node instanceof ObjectNode object) {
            if (object.path("properties").isObject()
                    && !object.has("additionalProperties")
                    && !object.has("patternProperties")) {
                object.put("additionalProperties", false);
            }
            object.properties().stream()
                    .filter(entry -> !entry.getKey().equals("allOf"))
                    .forEach(entry -> close(entry.getValue()));
        } else {
            node.forEach(Schemas::close);
        }
    }
}
