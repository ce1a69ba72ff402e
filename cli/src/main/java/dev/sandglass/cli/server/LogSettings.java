package dev.sandglass.cli.server;

import ch.qos.logback.classic.Level;
import dev.sandglass.control.ConfigurationKeys;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * How servers log.
 *
 * @param json a JSON object in each line instead of text
 * @param levels by logger; the empty name is that of all others
 */
record LogSettings(boolean json, Map<String, Level> levels) {
    private static final String FORMAT = "SANDGLASS_LOG_FORMAT";
    private static final String LEVELS = "SANDGLASS_LOG_LEVEL";

    static final List<ConfigurationKeys.Key> KEYS = List.of(
            new ConfigurationKeys.Key(FORMAT, "text or json, a line for each event (default text)"),
            new ConfigurationKeys.Key(
                    LEVELS,
                    "error, warn, info, debug or trace, and for single loggers name=level; comma-separated (default"
                            + " info; `info,access=off` leaves out the line for each request)"));

    LogSettings {
        levels = Map.copyOf(levels);
    }

    static LogSettings read(Map<String, String> variables, List<String> problems) {
        String format = text(variables, FORMAT).orElse("text");
        if (!format.equals("text") && !format.equals("json")) {
            problems.add(FORMAT + " is not text or json");
        }
        Map<String, Level> levels = new LinkedHashMap<>();
        for (String part : text(variables, LEVELS).orElse("info").split(",", -1)) {
            String[] words = part.strip().split("=", 2);
            String name = words.length == 1 ? "" : words[0].strip();
            Optional<Level> level = level(words[words.length - 1].strip());
            if (level.isEmpty() || !name.matches("[A-Za-z0-9_.$]*")) {
                problems.add(LEVELS + " is not like info or info,access=off,dev.sandglass.control.http=debug");
                break;
            }
            levels.put(name, level.get());
        }
        return new LogSettings(format.equals("json"), levels);
    }

    private static Optional<String> text(Map<String, String> variables, String name) {
        return Optional.of(variables.getOrDefault(name, "").strip()).filter(value -> !value.isEmpty());
    }

    private static Optional<Level> level(String name) {
        return name.toLowerCase(Locale.ROOT).matches("off|error|warn|info|debug|trace")
                ? Optional.of(Level.toLevel(name))
                : Optional.empty();
    }
}
