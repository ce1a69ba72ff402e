package dev.sandglass.contract.check;

import dev.sandglass.contract.check.OpenApi.Operation;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Compares exchanges with the document. A request that was refused is judged by its answer alone, since many are wrong on
 * purpose; one that was accepted must be as the document says. Thread-safe.
 */
final class ExchangeCheck {
    /** Where in components the errors are that any path may answer. */
    private static final String ERRORS = "#/components/responses/";

    /** Statuses of HTTP itself, before any operation is asked; the document's introduction names them. */
    private static final Set<Integer> OF_HTTP = Set.of(408, 414, 431);

    /** What the server says on any path, by status, for the same reason. */
    private static final Map<Integer, String> OF_ANY_PATH =
            Map.of(400, "The request is not valid HTTP.", 503, "The server is stopping");

    private final JsonMapper json = JsonMapper.builder().build();
    private final OpenApi document;
    private final Schemas schemas;

    ExchangeCheck(OpenApi document) {
        this.document = document;
        this.schemas = new Schemas(document);
    }

    /** The operation that was asked; HEAD asks GET's. */
    Optional<Operation> operation(Exchange exchange) {
        String method = exchange.method().equals("HEAD") ? "GET" : exchange.method();
        return Optional.ofNullable(document.at(exchange.uri().getRawPath()).get(method));
    }

    /** In what they differ; empty: in nothing. */
    List<String> differences(Exchange exchange) {
        List<String> found = new ArrayList<>();
        Map<String, Operation> here = document.at(exchange.uri().getRawPath());
        Optional<Operation> operation = operation(exchange);
        if (isOfHttp(exchange)) {
            requireError(found, exchange, "#/components/schemas/Error");
        } else if (operation.isPresent()) {
            compare(found, exchange, operation.get());
        } else if (here.isEmpty()) {
            requireStatus(found, exchange, 404, "NotFound");
        } else {
            requireStatus(found, exchange, 405, "MethodNotAllowed");
            Set<String> allowed =
                    Set.of(exchange.responseHeader("Allow").orElse("").split(", "));
            if (!allowed.equals(here.keySet())) {
                found.add("Allow is " + allowed + ", documented are " + here.keySet());
            }
        }
        requireSameRequestId(found, exchange);
        return found;
    }

    /** In what an upgrade that was granted differs, as far as its request tells. */
    List<String> upgradeDifferences(Exchange exchange) {
        List<String> found = new ArrayList<>();
        Optional<Operation> operation = operation(exchange);
        if (operation.isEmpty() || !operation.get().statuses().contains("101")) {
            found.add("the document has no WebSocket here");
        } else {
            compareRequest(found, exchange, operation.get());
        }
        return found;
    }

    private boolean isOfHttp(Exchange exchange) {
        String text = exchange.responseBody()
                .map(body -> new String(body, StandardCharsets.UTF_8))
                .orElse("");
        return OF_HTTP.contains(exchange.status())
                || Optional.ofNullable(OF_ANY_PATH.get(exchange.status()))
                        .map(text::contains)
                        .orElse(false);
    }

    private void requireError(List<String> found, Exchange exchange, String schema) {
        body(exchange).ifPresent(body -> found.addAll(schemas.received(reference(schema), body)));
    }

    private void requireStatus(List<String> found, Exchange exchange, int status, String response) {
        if (exchange.status() != status) {
            found.add("the document has no such operation, so the status must be " + status);
            return;
        }
        compareResponse(found, exchange, document.resolved(reference(ERRORS + response)));
    }

    private void requireSameRequestId(List<String> found, Exchange exchange) {
        Optional<String> sent =
                exchange.requestHeader("X-Request-Id").filter(id -> id.matches("[A-Za-z0-9._:-]{1,128}"));
        if (sent.isPresent() && !sent.equals(exchange.responseHeader("X-Request-Id"))) {
            found.add("X-Request-Id is another one than was sent");
        }
    }

    private void compare(List<String> found, Exchange exchange, Operation operation) {
        JsonNode response = operation.definition().path("responses").path(Integer.toString(exchange.status()));
        if (response.isMissingNode()) {
            found.add("status " + exchange.status() + " is not documented" + text(exchange));
        } else {
            compareResponse(found, exchange, document.resolved(response));
        }
        if (exchange.succeeded()) {
            compareRequest(found, exchange, operation);
        }
    }

    private void compareRequest(List<String> found, Exchange exchange, Operation operation) {
        compareCredentials(found, exchange, operation);
        compareQuery(found, exchange, operation);
        compareHeaders(found, exchange, operation);
        compareRequestBody(found, exchange, operation);
    }

    // ---- the answer

    private void compareResponse(List<String> found, Exchange exchange, JsonNode response) {
        response.path("headers").properties().forEach(entry -> {
            JsonNode header = document.resolved(entry.getValue());
            Optional<String> value = exchange.responseHeader(entry.getKey());
            if (value.isEmpty() && header.path("required").asBoolean(false)) {
                found.add("the header " + entry.getKey() + " is missing");
            }
            value.ifPresent(text -> schemas.text(header.path("schema"), text)
                    .forEach(error -> found.add("header " + entry.getKey() + ": " + error)));
        });
        JsonNode contents = response.path("content");
        Optional<String> type = exchange.responseHeader("Content-Type").map(ExchangeCheck::mediaType);
        if (contents.isMissingNode()) {
            if (exchange.responseBody().map(body -> body.length > 0).orElse(false)) {
                found.add("there is a body, and none is documented" + text(exchange));
            }
            return;
        }
        if (type.isEmpty() || !contents.has(type.get())) {
            found.add("Content-Type is " + type.orElse("missing") + " and not one that is documented");
            return;
        }
        if (type.get().equals("application/json") && !exchange.method().equals("HEAD")) {
            body(exchange)
                    .ifPresent(
                            body -> schemas.received(contents.path(type.get()).path("schema"), body)
                                    .forEach(error -> found.add("answer: " + error + text(exchange))));
        }
    }

    private static String text(Exchange exchange) {
        return exchange.responseBody()
                .map(body -> new String(body, StandardCharsets.UTF_8))
                .map(text -> " in " + (text.length() > 500 ? text.substring(0, 500) + "…" : text))
                .orElse("");
    }

    private Optional<JsonNode> body(Exchange exchange) {
        return exchange.responseBody()
                .filter(body -> !exchange.method().equals("HEAD"))
                .map(this::parsed);
    }

    private JsonNode parsed(byte[] text) {
        try {
            return json.readTree(text);
        } catch (JacksonException e) {
            return json.missingNode();
        }
    }

    private JsonNode reference(String pointer) {
        return json.createObjectNode().put("$ref", pointer);
    }

    private static String mediaType(String contentType) {
        return contentType.split(";", 2)[0].strip().toLowerCase(Locale.ROOT);
    }

    // ---- a request that was accepted

    private void compareCredentials(List<String> found, Exchange exchange, Operation operation) {
        JsonNode schemes = operation.definition().path("security");
        boolean key = exchange.requestHeader("X-API-Key").isPresent();
        boolean token = exchange.requestHeader("Authorization").isPresent()
                || exchange.requestHeader("Sec-WebSocket-Protocol").isPresent();
        boolean documented = schemes.isEmpty();
        for (JsonNode scheme : schemes) {
            documented |=
                    (scheme.has("KEY") && key) || (scheme.has("JWT") && token) || (exchange.status() == 101 && token);
        }
        if (!documented) {
            found.add("it was accepted without the credentials that are documented");
        }
    }

    private void compareQuery(List<String> found, Exchange exchange, Operation operation) {
        List<JsonNode> parameters = parameters(operation, "query");
        List<String> names = new ArrayList<>();
        for (String pair : Optional.ofNullable(exchange.uri().getRawQuery()).stream()
                .flatMap(query -> Arrays.stream(query.split("&")))
                .filter(text -> !text.isEmpty())
                .toList()) {
            String[] sides = pair.split("=", 2);
            String name = decoded(sides[0]);
            names.add(name);
            Optional<JsonNode> schema = parameters.stream()
                    .flatMap(parameter -> schemaOf(parameter, name))
                    .findFirst();
            if (schema.isEmpty()) {
                found.add("the query parameter " + name + " is not documented");
            } else {
                schemas.text(document.resolved(schema.get()), sides.length > 1 ? decoded(sides[1]) : "")
                        .forEach(error -> found.add("query parameter " + name + ": " + error));
            }
        }
        parameters.stream()
                .filter(parameter -> parameter.path("required").asBoolean(false))
                .map(parameter -> parameter.path("name").asString(""))
                .filter(name -> !names.contains(name))
                .forEach(name -> found.add("it was accepted without the query parameter " + name));
    }

    /** Of a parameter of this name; an object in exploded form is as many parameters as it has properties. */
    private Stream<JsonNode> schemaOf(JsonNode parameter, String name) {
        JsonNode schema = document.resolved(parameter.path("schema"));
        if (!schema.path("type").asString("").equals("object")) {
            return parameter.path("name").asString("").equals(name) ? Stream.of(schema) : Stream.empty();
        }
        return schema.path("patternProperties").properties().stream()
                .filter(entry -> name.matches(entry.getKey()))
                .map(Map.Entry::getValue);
    }

    private void compareHeaders(List<String> found, Exchange exchange, Operation operation) {
        for (JsonNode parameter : parameters(operation, "header")) {
            String name = parameter.path("name").asString("");
            exchange.requestHeader(name)
                    .ifPresent(value -> schemas.text(document.resolved(parameter.path("schema")), value)
                            .forEach(error -> found.add("request header " + name + ": " + error)));
        }
    }

    private static List<JsonNode> parameters(Operation operation, String place) {
        return operation.parameters().stream()
                .filter(parameter -> parameter.path("in").asString("").equals(place))
                .toList();
    }

    private void compareRequestBody(List<String> found, Exchange exchange, Operation operation) {
        JsonNode documented = operation.definition().path("requestBody");
        if (exchange.requestBody().isEmpty()) {
            return;
        }
        byte[] body = exchange.requestBody().get();
        JsonNode contents = documented.path("content");
        if (body.length == 0) {
            if (documented.path("required").asBoolean(false) && contents.has("application/json")) {
                found.add("it was accepted without a body");
            }
            return;
        }
        if (documented.isMissingNode()) {
            return; // what an operation does not take, it does not read
        }
        String type = exchange.requestHeader("Content-Type")
                .map(ExchangeCheck::mediaType)
                .orElseGet(() -> contents.properties().iterator().next().getKey());
        if (!contents.has(type)) {
            found.add("a body of type " + type + " was accepted, and is not documented");
        } else if (type.equals("application/json")) {
            schemas.sent(contents.path(type).path("schema"), parsed(body))
                    .forEach(error -> found.add("a request was accepted that is not as documented: " + error + " in "
                            + new String(body, StandardCharsets.UTF_8)));
        }
    }

    private static String decoded(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }

    // ---- WebSocket messages

    /** In what a message that the server sent differs. */
    List<String> serverMessage(String text) {
        return schemas.received(
                reference("#/components/schemas/ServerMessage"), parsed(text.getBytes(StandardCharsets.UTF_8)));
    }

    /** In what a message that the server was sent differs; it may do so on purpose. */
    List<String> clientMessage(String text) {
        return schemas.sent(
                reference("#/components/schemas/ClientMessage"), parsed(text.getBytes(StandardCharsets.UTF_8)));
    }

    /** What is wrong with an example of the document's. */
    List<String> example(JsonNode schema, JsonNode value) {
        return schemas.received(schema, value);
    }
}
