package dev.sandglass.host.image;

import dev.sandglass.host.linux.DurableFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HexFormat;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.MapperFeature;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * Reads and writes manifest.json.
 *
 * @param checksum SHA-256 over the content as JSON without white space, in the order it is written
 */
record Manifest<T>(String checksum, T content) {
    static final String FILE = "manifest.json";

    /**
     * Changes when a version of Sandglass that does not know the change could not use what has it: also when it is not the
     * manifest that is another but what it tells of.
     */
    static final int FORMAT = 1;

    /** A manifest is about 2 KiB; a larger file is something else. */
    private static final long BYTES_MAX = 1 << 20;

    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_NULL_CREATOR_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .disable(MapperFeature.SORT_PROPERTIES_ALPHABETICALLY)
            .build();

    /** Durable when it returns; gives the checksum. */
    static String write(Path directory, Object content) {
        JsonNode tree = JSON.valueToTree(content);
        String checksum = checksum(tree);
        ObjectNode manifest = JSON.createObjectNode().put("format", FORMAT).put("checksum", checksum);
        manifest.set("content", tree);
        DurableFile.write(
                directory.resolve(FILE), JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(manifest));
        return checksum;
    }

    static <T> Manifest<T> read(Path directory, Class<T> type) throws Damage {
        JsonNode manifest = readTree(directory.resolve(FILE));
        int format = manifest.path("format").asInt(0);
        JsonNode content = manifest.path("content");
        if (format != FORMAT) {
            throw otherFormat(format, content);
        }
        String checksum = checksum(content);
        if (!checksum.equals(manifest.path("checksum").asString(""))) {
            throw new Damage("its manifest was altered");
        }
        try {
            return new Manifest<>(checksum, JSON.treeToValue(content, type));
        } catch (JacksonException e) {
            throw otherFormat(format, content); // whole as it was written, by a version that forgot to say so
        }
    }

    private static Damage otherFormat(int format, JsonNode content) {
        return new Damage.OtherFormat(
                format, FORMAT, content.path("imageDigest").asString(""));
    }

    private static JsonNode readTree(Path file) throws Damage {
        try {
            if (Files.size(file) > BYTES_MAX) {
                throw new Damage("its manifest is not one");
            }
            JsonNode tree = JSON.readTree(Files.readAllBytes(file));
            if (!tree.isObject()) {
                throw new Damage("its manifest is empty");
            }
            return tree;
        } catch (NoSuchFileException e) {
            throw new Damage("its manifest is missing");
        } catch (IOException | JacksonException e) {
            throw new Damage("its manifest cannot be read");
        }
    }

    private static String checksum(JsonNode content) {
        return HexFormat.of().formatHex(SparseFile.sha256().digest(JSON.writeValueAsBytes(content)));
    }
}
