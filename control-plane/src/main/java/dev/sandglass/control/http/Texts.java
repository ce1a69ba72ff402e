package dev.sandglass.control.http;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Checks on what callers send; each failure is INVALID_REQUEST and names the field. */
public final class Texts {
    private Texts() {}

    public static PlatformException invalid(String message) {
        return new PlatformException(ErrorCode.INVALID_REQUEST, message);
    }

    /** Present, not longer than {@code lengthMax}, and without NUL or broken surrogates, which nothing behind us takes. */
    public static String require(String field, @Nullable String value, int lengthMax) {
        if (value == null || value.isEmpty()) {
            throw invalid("The field '" + field + "' is missing or empty.");
        }
        return checked(field, value, lengthMax);
    }

    /** As {@link #require}, but it may be absent. */
    public static Optional<String> optional(String field, @Nullable String value, int lengthMax) {
        return Optional.ofNullable(value).map(text -> checked(field, text, lengthMax));
    }

    public static String checked(String field, String value, int lengthMax) {
        if (value.length() > lengthMax) {
            throw invalid("The field '" + field + "' is longer than " + lengthMax + " characters.");
        }
        if (value.indexOf('\0') >= 0) {
            throw invalid("The field '" + field + "' contains a NUL character.");
        }
        return requireUnicode(field, value);
    }

    /** Every surrogate has its partner: only such text has a form in UTF-8. */
    public static String requireUnicode(String field, String value) {
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (Character.isHighSurrogate(c)
                    && i + 1 < value.length()
                    && Character.isLowSurrogate(value.charAt(i + 1))) {
                i++;
            } else if (Character.isSurrogate(c)) {
                throw invalid("The field '" + field + "' is not valid Unicode text.");
            }
        }
        return value;
    }

    public static int within(String field, @Nullable Integer value, int min, int max, int fallback) {
        int number = value == null ? fallback : value;
        if (number < min || number > max) {
            throw invalid("The field '" + field + "' must be from " + min + " to " + max + ".");
        }
        return number;
    }

    public static Optional<Integer> optionalWithin(String field, @Nullable Integer value, int min, int max) {
        return Optional.ofNullable(value).map(number -> within(field, number, min, max, number));
    }

    /** What templates and snapshots are called. */
    public static boolean isName(String value) {
        return value.matches("[A-Za-z0-9][A-Za-z0-9._-]{0,63}");
    }

    public static String requireName(String field, String value) {
        if (!isName(value)) {
            throw invalid("The field '" + field
                    + "' must be 1 to 64 characters: letters, digits and . _ -, the first one" + " a letter or digit.");
        }
        return value;
    }

    /** Environment variables: names as a shell takes them. */
    public static Map<String, String> environment(@Nullable Map<String, @Nullable String> env) {
        return map("env", env, 256, 128, 32_768, "[A-Za-z_][A-Za-z0-9_]*");
    }

    /** A map of texts with bounds on everything; the keys match {@code keyPattern}. */
    public static Map<String, String> map(
            String field,
            @Nullable Map<String, @Nullable String> map,
            int entriesMax,
            int keyMax,
            int valueMax,
            String keyPattern) {
        if (map == null) {
            return Map.of();
        }
        if (map.size() > entriesMax) {
            throw invalid("The field '" + field + "' has more than " + entriesMax + " entries.");
        }
        map.forEach((key, value) -> {
            if (key.length() > keyMax || !key.matches(keyPattern)) {
                throw invalid("A name in '" + field + "' does not match " + keyPattern + ", at most " + keyMax
                        + " characters.");
            }
            if (value == null) {
                throw invalid("The field '" + field + "." + key + "' is null: leave it out.");
            }
            checked(field + "." + key, value, valueMax);
        });
        return Map.copyOf(withoutNulls(map));
    }

    @SuppressWarnings("NullAway") // every value has been looked at
    private static Map<String, String> withoutNulls(Map<String, @Nullable String> map) {
        return map;
    }
}
