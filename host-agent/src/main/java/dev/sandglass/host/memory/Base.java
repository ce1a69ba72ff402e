package dev.sandglass.host.memory;

import java.nio.file.Path;
import java.util.List;

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

    /**
     * All zero: what a guest that was not cloned began with.
     *
     * @param emptyMemfd what it had mapped; never read
     */
    public static Base zero(long memoryBytes, Path emptyMemfd) {
        BuildId build = BuildId.named("all zero");
        Entry all = new Entry(0, memoryBytes, BuildId.ZERO_FILL, 0);
        return new Base(new Header(memoryBytes, 0, build, build, List.of(all)), emptyMemfd);
    }
}
