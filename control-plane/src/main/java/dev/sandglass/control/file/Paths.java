package dev.sandglass.control.file;

import static dev.sandglass.control.http.Texts.invalid;

import dev.sandglass.control.http.Texts;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/** Paths in a sandbox: absolute, at most 4095 bytes, without NUL. The guest alone says what they mean. */
final class Paths {
    private static final int BYTES_MAX = 4095;

    private Paths() {}

    static String require(String field, @Nullable String path) {
        String text = Texts.require(field, path, BYTES_MAX);
        if (!text.startsWith("/")) {
            throw invalid("The field '" + field + "' must be an absolute path.");
        }
        if (text.getBytes(StandardCharsets.UTF_8).length > BYTES_MAX) {
            throw invalid("The field '" + field + "' is longer than " + BYTES_MAX + " bytes.");
        }
        return text;
    }

    /** The path of an uploaded file below a directory. */
    static String within(String directory, String fileName) {
        if (fileName.isEmpty() || fileName.contains("/") || fileName.equals(".") || fileName.equals("..")) {
            throw invalid("A file's name is missing, or not one of a file in a directory.");
        }
        return require("path", directory.endsWith("/") ? directory + fileName : directory + "/" + fileName);
    }
}
