package dev.sandglass.control.sandbox;

import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.control.http.Texts;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Base64;

/** The place in a list after which the next page begins. */
record Cursor(Instant createdAt, SandboxId id) {
    static Cursor after(Sandbox last) {
        return new Cursor(last.createdAt(), last.id());
    }

    String text() {
        return Base64.getUrlEncoder()
                .withoutPadding()
                .encodeToString((createdAt + " " + id).getBytes(StandardCharsets.UTF_8));
    }

    static Cursor parse(String text) {
        try {
            String[] parts = new String(Base64.getUrlDecoder().decode(text), StandardCharsets.UTF_8).split(" ", -1);
            if (parts.length == 2 && Ids.isValid(SandboxId.PREFIX, parts[1])) {
                Instant createdAt = Instant.parse(parts[0]);
                if (createdAt.getEpochSecond() >= 0 && createdAt.getEpochSecond() < 1L << 34) {
                    return new Cursor(createdAt, new SandboxId(parts[1]));
                }
            }
        } catch (RuntimeException e) {
            // falls through: whatever it is, we did not give it out
        }
        throw Texts.invalid("The parameter 'cursor' is not one that this server gave out.");
    }
}
