package dev.sandglass.control.testing;

import dev.sandglass.contract.check.CheckedHttpClient;
import dev.sandglass.control.http.Json;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** Calls to the API with one set of credentials. All traffic is compared with openapi.yaml. */
public final class Api {
    /** Where control planes of the tests are; what is sent elsewhere is not compared with openapi.yaml. */
    private static final Set<String> PLANES = ConcurrentHashMap.newKeySet();

    private static final HttpClient CLIENT = CheckedHttpClient.around(
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build(),
            uri -> PLANES.contains(uri.getAuthority()));

    private final URI url;
    private final List<String> headers;

    private Api(URI url, List<String> headers) {
        this.url = url;
        this.headers = headers;
    }

    public static Api at(URI url) {
        PLANES.add(url.getAuthority());
        return new Api(url, List.of());
    }

    public Api with(String name, String value) {
        List<String> more = new ArrayList<>(headers);
        more.add(name);
        more.add(value);
        return new Api(url, more);
    }

    public Api withKey(String key) {
        return with("X-API-Key", key);
    }

    public Api withToken(String token) {
        return with("Authorization", "Bearer " + token);
    }

    public URI url() {
        return url;
    }

    /** An answer with its body as text. */
    public record Answer(int status, String body, java.net.http.HttpHeaders headers) {
        @SuppressWarnings("unchecked")
        public Map<String, Object> json() {
            return Json.read(body.getBytes(StandardCharsets.UTF_8), Map.class);
        }

        @SuppressWarnings("unchecked")
        public List<Map<String, Object>> list() {
            return Json.read(body.getBytes(StandardCharsets.UTF_8), List.class);
        }

        public String text(String field) {
            return String.valueOf(json().get(field));
        }

        /** Of the error envelope. */
        @SuppressWarnings("unchecked")
        public String code() {
            return String.valueOf(((Map<String, Object>) json().getOrDefault("error", Map.of())).get("code"));
        }

        public String header(String name) {
            return headers.firstValue(name).orElse("");
        }

        @Override
        public String toString() {
            return status + " " + body;
        }
    }

    public Answer get(String path) {
        return send("GET", path, BodyPublishers.noBody());
    }

    public Answer delete(String path) {
        return send("DELETE", path, BodyPublishers.noBody());
    }

    public Answer post(String path, String json) {
        return with("Content-Type", "application/json").send("POST", path, BodyPublishers.ofString(json));
    }

    public Answer post(String path) {
        return send("POST", path, BodyPublishers.noBody());
    }

    public Answer send(String method, String path, BodyPublisher body) {
        try {
            HttpResponse<String> response = CLIENT.send(request(method, path, body), BodyHandlers.ofString());
            return new Answer(response.statusCode(), response.body(), response.headers());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(e);
        } catch (java.io.IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    public HttpRequest request(String method, String path, BodyPublisher body) {
        HttpRequest.Builder builder = HttpRequest.newBuilder(URI.create(url + path))
                .timeout(Duration.ofSeconds(60))
                .method(method, body);
        if (!headers.isEmpty()) {
            builder.headers(headers.toArray(String[]::new));
        }
        return builder.build();
    }

    public static HttpClient client() {
        return CLIENT;
    }
}
