package dev.sandglass.host.memory;

import java.nio.charset.StandardCharsets;
import java.util.UUID;

/** Names one file of pages: a UUID, whose nil value stands for pages that are all zero. */
public record BuildId(long high, long low) {
    /** In no file. */
    public static final BuildId ZERO_FILL = new BuildId(0, 0);

    public static BuildId random() {
        return of(UUID.randomUUID());
    }

    /** Always the same for a name, for what has an identity of its own, such as a template. */
    public static BuildId named(String name) {
        return of(UUID.nameUUIDFromBytes(name.getBytes(StandardCharsets.UTF_8)));
    }

    /** Of the canonical form, in lower case. */
    public static BuildId parse(String text) {
        BuildId id = of(UUID.fromString(text));
        if (!id.toString().equals(text)) {
            throw new IllegalArgumentException("not a canonical UUID: " + text);
        }
        return id;
    }

    private static BuildId of(UUID uuid) {
        return new BuildId(uuid.getMostSignificantBits(), uuid.getLeastSignificantBits());
    }

    public boolean isZeroFill() {
        return equals(ZERO_FILL);
    }

    @Override
    public String toString() {
        return new UUID(high, low).toString();
    }
}
