package dev.sandglass.control.sandbox;

import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/** As the public API names them, in lower case. */
public enum SandboxStatus {
    PENDING,
    RUNNING,
    PAUSING,
    PAUSED,
    RESUMING,
    STOPPED,
    ERROR;

    private static final Map<String, SandboxStatus> BY_WIRE_NAME =
            Arrays.stream(values()).collect(Collectors.toUnmodifiableMap(SandboxStatus::wireName, status -> status));

    private final String wireName = name().toLowerCase(Locale.ROOT);

    public String wireName() {
        return wireName;
    }

    /** Somebody works on it, with a deadline. */
    boolean isTransition() {
        return this == PENDING || this == PAUSING || this == RESUMING;
    }

    /**
     * Transitions begin where their operation does. What a sandbox is between operations its host decides, whatever the
     * row said before: an answer may have been lost, or a request may have taken effect late.
     */
    boolean mayBecome(SandboxStatus next) {
        return switch (next) {
            case PENDING -> false;
            case PAUSING -> this == RUNNING;
            case RESUMING -> this == PAUSED || this == STOPPED;
            case RUNNING, PAUSED, STOPPED, ERROR -> true;
        };
    }

    static Optional<SandboxStatus> named(String name) {
        return Optional.ofNullable(BY_WIRE_NAME.get(name));
    }
}
