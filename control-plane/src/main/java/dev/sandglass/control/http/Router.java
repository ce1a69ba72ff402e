package dev.sandglass.control.http;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;

/** Finds the route of a method and path. Literal segments win over parameters. */
final class Router {
    /** A route with the values of its parameters. */
    record Match(Route route, Map<String, String> parameters) {}

    private record Pattern(List<String> segments, Route route) {
        Optional<Map<String, String>> match(List<String> path) {
            if (path.size() != segments.size()) {
                return Optional.empty();
            }
            Map<String, String> parameters = new HashMap<>();
            for (int i = 0; i < path.size(); i++) {
                String segment = segments.get(i);
                if (segment.startsWith("{")) {
                    parameters.put(segment.substring(1, segment.length() - 1), path.get(i));
                } else if (!segment.equals(path.get(i))) {
                    return Optional.empty();
                }
            }
            return Optional.of(parameters);
        }

        long literals() {
            return segments.stream().filter(segment -> !segment.startsWith("{")).count();
        }
    }

    private final List<Pattern> patterns;

    Router(List<Route> routes) {
        patterns = new ArrayList<>(routes.stream()
                .map(route -> new Pattern(segments(route.path()), route))
                .toList());
        patterns.sort((a, b) -> Long.compare(b.literals(), a.literals()));
    }

    /** HEAD is answered by what answers GET. */
    Match require(String method, String path) {
        List<String> segments = segments(path);
        String wanted = method.equals("HEAD") ? "GET" : method;
        TreeSet<String> allowed = new TreeSet<>();
        for (Pattern pattern : patterns) {
            Optional<Map<String, String>> parameters = pattern.match(segments);
            if (parameters.isEmpty()) {
                continue;
            }
            if (pattern.route().method().equals(wanted)) {
                return new Match(pattern.route(), parameters.get());
            }
            allowed.add(pattern.route().method());
        }
        if (allowed.isEmpty()) {
            throw new PlatformException(ErrorCode.NOT_FOUND, "There is nothing at this path; see /openapi.yaml.");
        }
        throw new Refusal(
                new PlatformException(
                        ErrorCode.METHOD_NOT_ALLOWED, "This path takes " + String.join(", ", allowed) + "."),
                Map.of("Allow", String.join(", ", allowed)));
    }

    private static List<String> segments(String path) {
        if (!path.startsWith("/")) {
            return List.of(path); // OPTIONS * and CONNECT: no route's
        }
        String trimmed = path.endsWith("/") && path.length() > 1 ? path.substring(0, path.length() - 1) : path;
        return List.of(trimmed.substring(1).split("/", -1));
    }
}
