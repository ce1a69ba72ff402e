package dev.sandglass.acceptance;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** What was used as a key, token, password or cookie anywhere in this run: nothing of it may be in a log. */
final class Secrets {
    private static final Set<String> KNOWN = ConcurrentHashMap.newKeySet();

    /** In answers: keys, log-in tokens. In ledgers: what the host shows to a guest. */
    private static final Pattern IN_JSON =
            Pattern.compile("\"(?:key|token|guest_?token|guestToken)\"\\s*:\\s*\"([^\"]+)\"");

    private static final Pattern PASSWORD = Pattern.compile("\"password\"\\s*:\\s*\"([^\"\\\\]+)\"");
    private static final Pattern COOKIE = Pattern.compile("[a-z_]+=([^;]+)");

    /** Shorter ones, words that tests use as passwords, may be in a log for another reason. */
    private static final int LENGTH_MIN = 16;

    private Secrets() {}

    private static void add(String secret) {
        if (secret.length() >= LENGTH_MIN) {
            KNOWN.add(secret);
        }
    }

    private static void add(Pattern pattern, String text) {
        for (Matcher matcher = pattern.matcher(text); matcher.find(); ) {
            add(matcher.group(1));
        }
    }

    /** What callers show. */
    static void ofRequest(Map<String, String> headers) {
        headers.forEach((name, value) -> {
            if (name.equalsIgnoreCase("X-API-Key")) {
                add(value);
            } else if (name.equalsIgnoreCase("Authorization")) {
                add(value.replaceFirst("(?i)^bearer ", ""));
            }
        });
    }

    static void ofBody(String body) {
        add(PASSWORD, body);
    }

    /** What they are given. */
    static void ofAnswer(Api.Answer answer) {
        answer.headers().forEach((name, values) -> {
            if (name.equalsIgnoreCase("Set-Cookie")) {
                values.forEach(value -> add(COOKIE, value));
            }
        });
        if (answer.bytes().length < 10_000) {
            add(IN_JSON, answer.text());
        }
    }

    /** What programs of an installation show each other. */
    static void ofHome(Path home) {
        for (String file : List.of("secrets/jwt", "installation/agent-token", "postgresql/password")) {
            add(Installation.read(home.resolve(file)).strip());
        }
        for (Path ledger : files(home.resolve("sandboxes"))) {
            if (ledger.endsWith("ledger.json")) {
                add(IN_JSON, Installation.read(ledger));
            }
        }
    }

    /** Lines of logs that hold one, each with its file; what tests themselves note does not count. */
    static List<String> leaked(Path home, Path output) {
        List<Path> logs = new ArrayList<>(List.of(output, home.resolve("postgresql/log")));
        logs.addAll(files(home.resolve("log")));
        List<String> found = new ArrayList<>();
        for (Path log : logs) {
            Installation.read(log)
                    .lines()
                    .filter(line -> !line.startsWith("### "))
                    .filter(line -> KNOWN.stream().anyMatch(line::contains))
                    .forEach(line -> found.add(log.getFileName() + ": " + line));
        }
        return found;
    }

    private static List<Path> files(Path directory) {
        if (!Files.isDirectory(directory)) {
            return List.of();
        }
        try (Stream<Path> all = Files.walk(directory)) {
            return all.filter(Files::isRegularFile).toList();
        } catch (IOException | UncheckedIOException e) {
            return List.of(); // something is being removed meanwhile
        }
    }
}
