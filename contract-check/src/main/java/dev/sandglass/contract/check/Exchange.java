package dev.sandglass.contract.check;

import java.net.URI;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A request and its answer. Header names are in any case; bodies are absent where nobody kept them.
 *
 * @param requestBody empty array: none was sent
 * @param responseBody empty array: none was received
 */
record Exchange(
        String method,
        URI uri,
        Map<String, List<String>> requestHeaders,
        Optional<byte[]> requestBody,
        int status,
        Map<String, List<String>> responseHeaders,
        Optional<byte[]> responseBody) {

    static Optional<String> header(Map<String, List<String>> headers, String name) {
        return headers.entrySet().stream()
                .filter(entry -> entry.getKey().equalsIgnoreCase(name))
                .flatMap(entry -> entry.getValue().stream())
                .findFirst();
    }

    Optional<String> requestHeader(String name) {
        return header(requestHeaders, name);
    }

    Optional<String> responseHeader(String name) {
        return header(responseHeaders, name);
    }

    boolean succeeded() {
        return status < 400;
    }

    @Override
    public String toString() {
        return method + " " + uri.getRawPath() + (uri.getRawQuery() == null ? "" : "?" + uri.getRawQuery()) + " → "
                + status;
    }
}
