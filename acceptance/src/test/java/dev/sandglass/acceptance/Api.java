package dev.sandglass.acceptance;

import dev.sandglass.contract.check.CheckedHttpClient;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;

/**
 * The REST API as a program sees it. All traffic is compared with openapi.yaml.
 *
 * @param headers sent with every request: a key, a token, or nothing
 */
record Api(URI base, HttpClient http, Map<String, String> headers) {
    static final Duration ANSWER = Duration.ofSeconds(100);

    @SuppressWarnings("ArrayRecordComponent") // nobody compares them
    record Answer(int status, Map<String, List<String>> headers, byte[] bytes) {
        String text() {
            return new String(bytes, StandardCharsets.UTF_8);
        }

        JsonNode json() {
            return Json.parse(text());
        }

        String errorCode() {
            return json().path("error").path("code").asString("");
        }

        String errorMessage() {
            return json().path("error").path("message").asString("");
        }

        String header(String name) {
            return headers.entrySet().stream()
                    .filter(entry -> entry.getKey().equalsIgnoreCase(name))
                    .map(entry -> entry.getValue().getFirst())
                    .findFirst()
                    .orElse("");
        }

        Answer require(int wanted) {
            if (status != wanted) {
                throw new AssertionError("status " + status + " instead of " + wanted + ": " + text());
            }
            return this;
        }
    }

    static Api at(URI base) {
        return new Api(base, CheckedHttpClient.around(HttpClient.newHttpClient(), _ -> true), Map.of());
    }

    Api withKey(String key) {
        return new Api(base, http, Map.of("X-API-Key", key));
    }

    Api withToken(String token) {
        return new Api(base, http, Map.of("Authorization", "Bearer " + token));
    }

    Api withHeader(String name, String value) {
        Map<String, String> more = new HashMap<>(headers);
        more.put(name, value);
        return new Api(base, http, more);
    }

    HttpRequest.Builder request(String path) {
        HttpRequest.Builder request =
                HttpRequest.newBuilder(Planes.next(base).resolve(path)).timeout(ANSWER);
        headers.forEach(request::header);
        return request;
    }

    Answer send(HttpRequest request) {
        try {
            HttpResponse<byte[]> answer = http.send(request, BodyHandlers.ofByteArray());
            Answer received = new Answer(answer.statusCode(), answer.headers().map(), answer.body());
            Secrets.ofRequest(headers);
            Secrets.ofAnswer(received);
            return received;
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(request.method() + " " + request.uri(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted", e);
        }
    }

    Answer call(String method, String path, BodyPublisher body, String contentType) {
        return send(request(path)
                .header("Content-Type", contentType)
                .method(method, body)
                .build());
    }

    Answer get(String path) {
        return send(request(path).GET().build());
    }

    Answer post(String path, Object body) {
        Secrets.ofBody(Json.write(body));
        return call("POST", path, BodyPublishers.ofString(Json.write(body)), "application/json");
    }

    Answer post(String path) {
        return send(request(path).POST(BodyPublishers.noBody()).build());
    }

    Answer put(String path, byte[] body) {
        return call("PUT", path, BodyPublishers.ofByteArray(body), "application/octet-stream");
    }

    Answer delete(String path) {
        return send(request(path).DELETE().build());
    }

    Sandbox create() {
        return create(Map.of());
    }

    Sandbox create(Map<String, ?> wanted) {
        JsonNode object = post("/v1/sandboxes", wanted).require(201).json();
        return new Sandbox(this, object.path("id").asString(""), object);
    }

    Sandbox sandbox(String id) {
        return new Sandbox(this, id, get("/v1/sandboxes/" + id).require(200).json());
    }

    static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }
}
