package dev.sandglass.bench;

import java.util.Locale;

/** What {@code --only} chooses from. */
enum Part {
    COLD_BOOT,
    CREATE,
    EXEC,
    PYTHON,
    PODMAN,
    MEMORY;

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
