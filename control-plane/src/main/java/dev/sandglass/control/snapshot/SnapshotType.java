package dev.sandglass.control.snapshot;

import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;

/** As the public API names them, in lower case. */
enum SnapshotType {
    /** Comes with every host, for all teams. */
    BASE,
    /** A team's own. */
    SNAPSHOT;

    String wireName() {
        return name().toLowerCase(Locale.ROOT);
    }

    static Optional<SnapshotType> named(String name) {
        return Arrays.stream(values())
                .filter(type -> type.wireName().equals(name))
                .findFirst();
    }
}
