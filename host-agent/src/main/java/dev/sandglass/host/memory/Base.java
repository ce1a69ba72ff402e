package dev.sandglass.host.memory;

import java.nio.file.Path;

/**
 * What a guest's memory was before it changed anything: a template's memory. It must be what it was when the first
 * generation was made; its owner checks that.
 *
 * @param header generation 0
 * @param file of the header's build; {@code /proc/PID/fd/N} for one without a name
 */
public record Base(Header header, Path file) {
    public Base {
        if (header.generation() != 0) {
            throw new IllegalArgumentException("generation " + header.generation() + " is no base");
        }
    }

    /** A file with every page at its own place. */
    public static Base flat(BuildId build, long memoryBytes, Path file) {
        return new Base(Header.flat(build, memoryBytes), file);
    }
}
