package dev.sandglass.control.testing;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpHandler;
import com.sun.net.httpserver.HttpServer;
import dev.sandglass.control.http.Json;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * GitHub as far as logging in goes, over real HTTP: authorisation with PKCE, codes that are good once, errors in answers
 * of status 200, answers as forms unless JSON is asked for, an API that refuses who sends no User-Agent. Who is logged in
 * at GitHub is the number in the cookie {@code user_session}; without one it is the person added last.
 */
public final class FakeGithub implements AutoCloseable {
    public static final String CLIENT_ID = "Ov23liTest";
    public static final String CLIENT_SECRET = "0123456789abcdef-github-secret";
    public static final String TOKEN_PREFIX = "gho_fake";
    public static final String CODE_PREFIX = "codefake";

    /** Profile and addresses as the API answers them. */
    public record Person(long id, String profile, String emails) {
        /** With a public e-mail address. */
        public static Person of(long id, String name, String email) {
            return new Person(id, profile(id, name, email), "[]");
        }

        /** Whose profile shows no e-mail address. */
        public static Person shy(long id, String emails) {
            return new Person(id, profile(id, "Shy", null), emails);
        }

        private static String profile(long id, String name, @Nullable String email) {
            Map<String, @Nullable Object> profile = new HashMap<>();
            profile.put("id", id);
            profile.put("login", "login" + id);
            profile.put("name", name);
            profile.put("email", email);
            profile.put("site_admin", false);
            return Json.writeText(profile);
        }
    }

    private record Grant(Person person, String challenge, String redirect) {}

    private final HttpServer server;
    private final ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor();
    private final Map<Long, Person> people = new ConcurrentHashMap<>();
    private final Map<String, Grant> codes = new ConcurrentHashMap<>();
    private final Map<String, Person> tokens = new ConcurrentHashMap<>();
    private final Map<String, HttpHandler> instead = new ConcurrentHashMap<>();
    private final AtomicInteger counter = new AtomicInteger();
    private volatile long last;

    /** Method and path of every request. */
    public final Queue<String> requests = new ConcurrentLinkedQueue<>();

    public FakeGithub() {
        try {
            server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 256);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        server.setExecutor(executor);
        server.createContext("/", exchange -> {
            String path = exchange.getRequestURI().getPath();
            requests.add(exchange.getRequestMethod() + " " + path);
            instead.getOrDefault(path, this::answer).handle(exchange);
        });
        server.start();
    }

    public URI url() {
        return URI.create("http://127.0.0.1:" + server.getAddress().getPort());
    }

    public URI apiUrl() {
        return URI.create(url() + "/api/v3");
    }

    /** Settings of a control plane at {@code publicUrl} that lets people in through this. */
    public Map<String, String> settings(URI publicUrl) {
        return Map.of(
                "CP_PUBLIC_URL",
                publicUrl.toString(),
                "OAUTH_GITHUB_CLIENT_ID",
                CLIENT_ID,
                "OAUTH_GITHUB_CLIENT_SECRET",
                CLIENT_SECRET,
                "OAUTH_GITHUB_BASE_URL",
                url().toString(),
                "OAUTH_GITHUB_API_URL",
                apiUrl() + "/");
    }

    /** From now on this is what the person of this id looks like. */
    public void add(Person person) {
        people.put(person.id(), person);
        last = person.id();
    }

    /** From now on requests of this path are answered by {@code handler}; null: as GitHub would again. */
    public void answerInstead(String path, @Nullable HttpHandler handler) {
        if (handler == null) {
            instead.remove(path);
        } else {
            instead.put(path, handler);
        }
    }

    private void answer(HttpExchange exchange) throws IOException {
        switch (exchange.getRequestMethod() + " " + exchange.getRequestURI().getPath()) {
            case "GET /login/oauth/authorize" -> authorize(exchange);
            case "POST /login/oauth/access_token" -> token(exchange);
            case "GET /api/v3/user" -> api(exchange, true);
            case "GET /api/v3/user/emails" -> api(exchange, false);
            default -> reply(exchange, 404, "text/html", "<h1>404</h1>");
        }
    }

    private void authorize(HttpExchange exchange) throws IOException {
        Map<String, String> query = form(exchange.getRequestURI().getRawQuery());
        if (!CLIENT_ID.equals(query.get("client_id"))) {
            reply(exchange, 404, "text/html", "<h1>404</h1>");
            return;
        }
        String session =
                List.of(exchange.getRequestHeaders()
                                .getOrDefault("Cookie", List.of(""))
                                .getFirst()
                                .split(";"))
                        .stream()
                        .map(String::strip)
                        .filter(pair -> pair.startsWith("user_session="))
                        .map(pair -> pair.substring("user_session=".length()))
                        .findFirst()
                        .orElse(Long.toString(last));
        String redirect = query.getOrDefault("redirect_uri", "");
        String answer;
        if (session.equals("denies")) {
            answer = "?error=access_denied&error_description=The+user+has+denied+your+application+access.";
        } else {
            String code = CODE_PREFIX + counter.incrementAndGet();
            Person person = people.get(Long.parseLong(session));
            if (person == null || !"S256".equals(query.get("code_challenge_method")) || !scoped(query)) {
                reply(exchange, 422, "text/html", "<h1>422</h1>");
                return;
            }
            codes.put(code, new Grant(person, query.getOrDefault("code_challenge", ""), redirect));
            answer = "?code=" + code;
        }
        exchange.getResponseHeaders()
                .set("Location", redirect + answer + "&state=" + encode(query.getOrDefault("state", "")));
        exchange.sendResponseHeaders(302, -1);
        exchange.close();
    }

    private static boolean scoped(Map<String, String> query) {
        return "user:email".equals(query.get("scope"));
    }

    private void token(HttpExchange exchange) throws IOException {
        Map<String, String> form = form(new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8));
        Map<String, String> answer = new HashMap<>();
        Grant grant = codes.get(form.getOrDefault("code", ""));
        if (!CLIENT_ID.equals(form.get("client_id")) || !CLIENT_SECRET.equals(form.get("client_secret"))) {
            answer.put("error", "incorrect_client_credentials");
        } else if (grant == null || !grant.challenge().equals(challenge(form.getOrDefault("code_verifier", "")))) {
            answer.put("error", "bad_verification_code");
        } else if (!grant.redirect().equals(form.get("redirect_uri"))) {
            answer.put("error", "redirect_uri_mismatch");
        } else {
            codes.remove(form.getOrDefault("code", ""));
            String token = TOKEN_PREFIX + counter.incrementAndGet();
            tokens.put(token, grant.person());
            answer.put("access_token", token);
            answer.put("scope", "user:email");
            answer.put("token_type", "bearer");
        }
        boolean json = "application/json".equals(exchange.getRequestHeaders().getFirst("Accept"));
        if (json) {
            reply(exchange, 200, "application/json; charset=utf-8", Json.writeText(answer));
        } else {
            StringBuilder text = new StringBuilder();
            answer.forEach((name, value) ->
                    text.append(name).append('=').append(encode(value)).append('&'));
            reply(exchange, 200, "application/x-www-form-urlencoded", text.toString());
        }
    }

    private void api(HttpExchange exchange, boolean profile) throws IOException {
        String authorization = exchange.getRequestHeaders().getFirst("Authorization");
        if (exchange.getRequestHeaders().getFirst("User-Agent") == null) {
            reply(exchange, 403, "text/plain", "Request forbidden by administrative rules.");
            return;
        }
        Person person = tokens.get(String.valueOf(authorization).replaceFirst("^[Bb]earer ", ""));
        if (person == null) {
            reply(exchange, 401, "application/json", "{\"message\":\"Bad credentials\",\"status\":\"401\"}");
            return;
        }
        reply(exchange, 200, "application/json; charset=utf-8", profile ? person.profile() : person.emails());
    }

    public static void reply(HttpExchange exchange, int status, String type, String body) throws IOException {
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", type);
        exchange.sendResponseHeaders(status, bytes.length == 0 ? -1 : bytes.length);
        if (bytes.length > 0) {
            exchange.getResponseBody().write(bytes);
        }
        exchange.close();
    }

    /** A query or a form, decoded. */
    public static Map<String, String> form(String text) {
        Map<String, String> fields = new HashMap<>();
        for (String pair : text.split("&", -1)) {
            String[] parts = pair.split("=", 2);
            fields.put(decode(parts[0]), parts.length == 2 ? decode(parts[1]) : "");
        }
        return fields;
    }

    private static String decode(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }

    private static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    public static String challenge(String verifier) {
        try {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(verifier.getBytes(StandardCharsets.US_ASCII));
            return Base64.getUrlEncoder().withoutPadding().encodeToString(hash);
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public void close() {
        server.stop(0);
        executor.shutdownNow();
    }
}
