package dev.sandglass.contract.check;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import tools.jackson.databind.JsonNode;
import tools.jackson.dataformat.yaml.YAMLMapper;

/** openapi.yaml: its operations, with references followed. Immutable. */
public final class OpenApi {
    private static final Set<String> METHODS = Set.of("get", "put", "post", "delete", "patch");

    private static final class Holder {
        private static final OpenApi DOCUMENT = new OpenApi(read());
    }

    /**
     * A method and path of the document.
     *
     * @param method in upper case
     * @param path with {@code {parameters}}
     */
    public record Operation(String method, String path, JsonNode definition, List<JsonNode> parameters) {
        public Operation {
            parameters = List.copyOf(parameters);
        }

        @Override
        public String toString() {
            return method + " " + path;
        }

        List<String> segments() {
            return OpenApi.segments(path);
        }

        /** Names of the security schemes, any one of which is enough; empty: everybody may. */
        public Set<String> credentials() {
            return definition
                    .path("security")
                    .valueStream()
                    .flatMap(scheme -> scheme.properties().stream())
                    .map(Map.Entry::getKey)
                    .collect(Collectors.toSet());
        }

        /** Statuses as the document has them. */
        public Set<String> statuses() {
            return definition.path("responses").properties().stream()
                    .map(Map.Entry::getKey)
                    .collect(Collectors.toCollection(TreeSet::new));
        }
    }

    private final JsonNode root;
    private final List<Operation> operations;

    private OpenApi(JsonNode root) {
        this.root = root;
        this.operations = operations(root);
    }

    /** The document of this build. */
    public static OpenApi document() {
        return Holder.DOCUMENT;
    }

    private static JsonNode read() {
        try (InputStream in = OpenApi.class.getResourceAsStream("/dev/sandglass/contract/openapi.yaml")) {
            if (in == null) {
                throw new IllegalStateException("openapi.yaml is not on the class path");
            }
            return YAMLMapper.builder().build().readTree(in);
        } catch (IOException e) {
            throw new UncheckedIOException("read openapi.yaml", e);
        }
    }

    JsonNode root() {
        return root;
    }

    public List<Operation> operations() {
        return operations;
    }

    /** The fields of a schema in components, those it has by reference not included. */
    public Set<String> fields(String schema) {
        JsonNode found = root.path("components").path("schemas").path(schema);
        if (found.isMissingNode()) {
            throw new IllegalArgumentException("the document has no schema " + schema);
        }
        return found.path("properties").properties().stream()
                .map(Map.Entry::getKey)
                .collect(Collectors.toSet());
    }

    /** The schemas in components that are objects. */
    public Set<String> objects() {
        return root.path("components").path("schemas").properties().stream()
                .filter(entry -> entry.getValue().path("type").asString("").equals("object"))
                .map(Map.Entry::getKey)
                .collect(Collectors.toSet());
    }

    /** Itself, or what its $ref leads to within the document. */
    JsonNode resolved(JsonNode node) {
        JsonNode found = node;
        while (found.has("$ref")) {
            found = root.at(found.path("$ref").asString("").substring(1));
        }
        return found;
    }

    private List<Operation> operations(JsonNode document) {
        List<Operation> found = new ArrayList<>();
        document.path("paths")
                .properties()
                .forEach(path -> path.getValue().properties().stream()
                        .filter(entry -> METHODS.contains(entry.getKey()))
                        .forEach(entry -> {
                            List<JsonNode> parameters = new ArrayList<>();
                            path.getValue()
                                    .path("parameters")
                                    .forEach(parameter -> parameters.add(resolvedIn(document, parameter)));
                            entry.getValue()
                                    .path("parameters")
                                    .forEach(parameter -> parameters.add(resolvedIn(document, parameter)));
                            found.add(new Operation(
                                    entry.getKey().toUpperCase(Locale.ROOT),
                                    path.getKey(),
                                    entry.getValue(),
                                    parameters));
                        }));
        return List.copyOf(found);
    }

    private static JsonNode resolvedIn(JsonNode document, JsonNode node) {
        return node.has("$ref") ? document.at(node.path("$ref").asString("").substring(1)) : node;
    }

    /** The operations of the pattern that this path matches best, by method; empty where nothing matches. */
    Map<String, Operation> at(String path) {
        List<String> segments = segments(path);
        Optional<String> pattern = operations.stream()
                .filter(operation -> matches(operation.segments(), segments))
                .max(Comparator.comparingLong(OpenApi::literals))
                .map(Operation::path);
        Map<String, Operation> byMethod = new HashMap<>();
        operations.stream()
                .filter(operation -> pattern.isPresent() && operation.path().equals(pattern.get()))
                .forEach(operation -> byMethod.put(operation.method(), operation));
        return byMethod;
    }

    private static boolean matches(List<String> pattern, List<String> path) {
        if (pattern.size() != path.size()) {
            return false;
        }
        for (int i = 0; i < path.size(); i++) {
            if (!pattern.get(i).startsWith("{") && !pattern.get(i).equals(path.get(i))) {
                return false;
            }
        }
        return true;
    }

    private static long literals(Operation operation) {
        return operation.segments().stream()
                .filter(segment -> !segment.startsWith("{"))
                .count();
    }

    private static List<String> segments(String path) {
        String trimmed = path.length() > 1 && path.endsWith("/") ? path.substring(0, path.length() - 1) : path;
        return Arrays.asList(trimmed.substring(1).split("/", -1));
    }
}
