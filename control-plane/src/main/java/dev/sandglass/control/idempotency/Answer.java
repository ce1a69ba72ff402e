package dev.sandglass.control.idempotency;

import com.fasterxml.jackson.annotation.JsonRawValue;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.http.ErrorEnvelope;
import dev.sandglass.control.http.Json;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** An HTTP answer that can be given again, byte by byte. */
public record Answer(int status, String body) {
    private record Kept(int status, @JsonRawValue String body) {}

    private record Found(int status, Map<String, Object> body) {}

    /** 201 with the object that was made. */
    public static Answer created(Object made) {
        return new Answer(201, Json.writeText(made));
    }

    public static Answer failed(PlatformException failure) {
        return new Answer(
                failure.code().httpStatus(), Json.writeText(ErrorEnvelope.of(failure.code(), failure.reason())));
    }

    public byte[] bytes() {
        return body.getBytes(StandardCharsets.UTF_8);
    }

    String toJson() {
        return Json.writeText(new Kept(status, body));
    }

    static Answer fromJson(String json) {
        Found found = Json.read(json.getBytes(StandardCharsets.UTF_8), Found.class);
        return new Answer(found.status(), Json.writeText(found.body()));
    }
}
