package dev.sandglass.contract.check;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.ErrorCode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.BiConsumer;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

/** openapi.yaml by itself. */
final class DocumentTest {
    private static final String CODES =
            "/content/application~1json/schema/allOf/1/properties/error/properties/code/enum";

    private final OpenApi document = OpenApi.document();
    private final ExchangeCheck check = new ExchangeCheck(document);

    @Test
    void examplesAreAsTheirSchemasSay() {
        List<String> wrong = new ArrayList<>();
        Set<String> without = new TreeSet<>();
        each(document.root(), "", (where, node) -> {
            List<JsonNode> examples = new ArrayList<>();
            if (node.has("example")) {
                examples.add(node.path("example"));
            }
            node.path("examples")
                    .forEach(example -> examples.add(example.has("value") ? example.path("value") : example));
            if (where.endsWith("/application/json") && examples.isEmpty()) {
                without.add(where);
            }
            JsonNode schema = node.has("schema") ? node.path("schema") : node;
            examples.forEach(example -> check.example(schema, example)
                    .forEach(error -> wrong.add(where + ": " + error + " in " + example)));
        });
        assertThat(wrong).isEmpty();
        assertThat(without).as("JSON without an example").isEmpty();
    }

    @Test
    void everyReferenceLeadsSomewhereAndEveryComponentIsUsed() {
        Set<String> used = new TreeSet<>();
        each(document.root(), "", (where, node) -> {
            if (node.has("$ref")) {
                used.add(node.path("$ref").asString(""));
            }
        });
        used.add("#/components/responses/MethodNotAllowed"); // of any path, so of none
        Set<String> there = new TreeSet<>();
        document.root().path("components").properties().forEach(kind -> {
            if (!kind.getKey().equals("securitySchemes")) {
                kind.getValue()
                        .properties()
                        .forEach(component -> there.add("#/components/" + kind.getKey() + "/" + component.getKey()));
            }
        });
        assertThat(used).isEqualTo(there);
    }

    @Test
    void theErrorsAreThoseOfTheServerWithTheirStatuses() {
        Map<String, String> statuses = new TreeMap<>();
        Arrays.stream(ErrorCode.values())
                .forEach(code -> statuses.put(code.wireName(), Integer.toString(code.httpStatus())));
        JsonNode codes = document.root().at("/components/schemas/Error/properties/error/properties/code/enum");
        assertThat(texts(codes)).containsExactlyInAnyOrderElementsOf(statuses.keySet());
        Set<String> documented = new HashSet<>(Set.of("method_not_allowed"));
        for (OpenApi.Operation operation : document.operations()) {
            for (String status : operation.statuses()) {
                List<String> allowed = texts(response(operation, status).at(CODES));
                assertThat(allowed.isEmpty()).as(operation + " " + status).isEqualTo(status.compareTo("400") < 0);
                documented.addAll(allowed);
                if (!status.equals("416")) { // invalid_request, with the status that HTTP has for it
                    assertThat(allowed).allSatisfy(code -> assertThat(statuses).containsEntry(code, status));
                }
            }
        }
        assertThat(documented).isEqualTo(statuses.keySet());
    }

    @Test
    void everyOperationHasANameOfItsOwnASummaryATagAndItsParameters() {
        Set<String> tags = new HashSet<>();
        document.root().path("tags").forEach(tag -> tags.add(tag.path("name").asString("")));
        Set<String> names = new HashSet<>();
        for (OpenApi.Operation operation : document.operations()) {
            JsonNode definition = operation.definition();
            assertThat(names.add(definition.path("operationId").asString("")))
                    .as(operation.toString())
                    .isTrue();
            assertThat(definition.path("summary").asString("")).isNotEmpty();
            assertThat(tags).containsAll(texts(definition.path("tags")));
            assertThat(definition.has("security")).isTrue();
            Set<String> inPath = operation.segments().stream()
                    .filter(segment -> segment.startsWith("{"))
                    .map(segment -> segment.substring(1, segment.length() - 1))
                    .collect(Collectors.toSet());
            Set<String> described = operation.parameters().stream()
                    .filter(parameter -> parameter.path("in").asString("").equals("path"))
                    .map(parameter -> parameter.path("name").asString(""))
                    .collect(Collectors.toSet());
            assertThat(described).as(operation.toString()).isEqualTo(inPath);
        }
    }

    @Test
    void everyAnswerHasARequestId() {
        for (OpenApi.Operation operation : document.operations()) {
            for (String status : operation.statuses()) {
                assertThat(response(operation, status).path("headers").has("X-Request-Id"))
                        .as(operation + " " + status)
                        .isTrue();
            }
        }
    }

    private JsonNode response(OpenApi.Operation operation, String status) {
        return document.resolved(operation.definition().path("responses").path(status));
    }

    private static List<String> texts(JsonNode array) {
        List<String> texts = new ArrayList<>();
        array.forEach(text -> texts.add(text.asString("")));
        return texts;
    }

    /** Every object in the document but what is in its examples. */
    private static void each(JsonNode node, String where, BiConsumer<String, JsonNode> visit) {
        if (node.isObject()) {
            visit.accept(where, node);
            node.properties().stream()
                    .filter(entry -> !entry.getKey().startsWith("example"))
                    .forEach(entry -> each(entry.getValue(), where + "/" + entry.getKey(), visit));
        } else {
            node.forEach(element -> each(element, where + "/-", visit));
        }
    }
}
