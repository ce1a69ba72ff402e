package dev.sandglass.control.http;

/**
 * A method and a path with {@code {parameters}}, who may use it, and what answers.
 *
 * @param path without a slash at its end; with one is the same route
 */
public record Route(String method, String path, Access access, Endpoint endpoint) {
    public Route {
        if (!path.startsWith("/") || (path.length() > 1 && path.endsWith("/"))) {
            throw new IllegalArgumentException("not the path of a route: " + path);
        }
    }

    public static Route of(String method, String path, Access access, Endpoint endpoint) {
        return new Route(method, path, access, endpoint);
    }
}
