package dev.sandglass.bench;

import java.util.EnumSet;
import java.util.Locale;
import java.util.Set;

/** What {@code --only} chooses from. */
enum Part {
    COLD_BOOT,
    CREATE,
    EXEC,
    PYTHON,
    PODMAN,
    BURST,
    MEMORY,
    PAUSE,
    SNAPSHOT,
    STREAM,
    FILES,
    DISK,
    API,
    SOAK;

    /** Without {@code --only}: all but the one that takes a quarter of an hour. */
    static Set<Part> usual() {
        return EnumSet.complementOf(EnumSet.of(SOAK));
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
