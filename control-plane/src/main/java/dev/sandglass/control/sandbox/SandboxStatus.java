package dev.sandglass.control.sandbox;

import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;

/** As the public API names them, in lower case. */
public enum SandboxStatus {
    PENDING,
    RUNNING,
    PAUSING,
    PAUSED,
    RESUMING,
    STOPPED,
    ERROR;

    public String wireName() {
        return name().toLowerCase(Locale.ROOT);
    }

    static Optional<SandboxStatus> named(String name) {
        return Arrays.stream(values())
                .filter(status -> status.wireName().equals(name))
                .findFirst();
    }
}
