package dev.sandglass.control.http;

import com.fasterxml.jackson.annotation.JsonInclude;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import java.io.IOException;
import java.io.InputStream;
import java.util.List;
import java.util.stream.Collectors;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.databind.DatabindException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.MapperFeature;
import tools.jackson.databind.PropertyNamingStrategies;
import tools.jackson.databind.cfg.CoercionAction;
import tools.jackson.databind.cfg.CoercionInputShape;
import tools.jackson.databind.cfg.DateTimeFeature;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.type.LogicalType;

/**
 * JSON as the API speaks it: snake_case, absent instead of null, unknown fields ignored; a value of the wrong type is an
 * error and never converted.
 */
public final class Json {
    private static final JsonMapper MAPPER = JsonMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .changeDefaultPropertyInclusion(
                    all -> JsonInclude.Value.construct(JsonInclude.Include.NON_NULL, JsonInclude.Include.ALWAYS))
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
            .disable(DateTimeFeature.WRITE_DATES_AS_TIMESTAMPS)
            .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .withCoercionConfig(
                    LogicalType.Textual,
                    config -> List.of(CoercionInputShape.Boolean, CoercionInputShape.Integer, CoercionInputShape.Float)
                            .forEach(shape -> config.setCoercion(shape, CoercionAction.Fail)))
            .build();

    private Json() {}

    public static byte[] write(Object value) {
        return MAPPER.writeValueAsBytes(value);
    }

    public static String writeText(Object value) {
        return MAPPER.writeValueAsString(value);
    }

    /**
     * An object out of JSON.
     *
     * @throws PlatformException INVALID_REQUEST that names the place or the field
     */
    public static <T> T read(byte[] json, Class<T> type) {
        try {
            T value = MAPPER.readValue(json, type);
            if (value == null) {
                throw invalid("The JSON must be an object, not null.");
            }
            return value;
        } catch (JacksonException e) {
            throw invalid(explanation(e));
        }
    }

    /** At most {@code bytesMax}; more is TOO_LARGE. */
    static byte[] readBody(InputStream body, int bytesMax) throws IOException {
        byte[] bytes = body.readNBytes(bytesMax + 1);
        if (bytes.length > bytesMax) {
            throw tooLarge(bytesMax);
        }
        return bytes;
    }

    static PlatformException tooLarge(long bytesMax) {
        return new PlatformException(
                ErrorCode.TOO_LARGE, "The body is larger than " + bytesMax + " bytes, the most this path takes.");
    }

    private static PlatformException invalid(String message) {
        return new PlatformException(ErrorCode.INVALID_REQUEST, message);
    }

    private static String explanation(JacksonException e) {
        if (e instanceof DatabindException databind && !databind.getPath().isEmpty()) {
            String field = databind.getPath().stream()
                    .map(reference -> reference.getPropertyName() == null
                            ? "[" + reference.getIndex() + "]"
                            : reference.getPropertyName())
                    .collect(Collectors.joining("."))
                    .replace(".[", "[");
            String shown = field.length() > 100 ? field.substring(0, 100) + "…" : field;
            return "The field '" + shown + "' has a value of the wrong type.";
        }
        var place = e.getLocation();
        return place == null || place.getLineNr() < 1
                ? "The body is not a JSON object as this path takes it."
                : "The body is not a JSON object as this path takes it (line " + place.getLineNr() + ", column "
                        + place.getColumnNr() + ").";
    }
}
