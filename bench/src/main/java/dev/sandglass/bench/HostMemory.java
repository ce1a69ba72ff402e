package dev.sandglass.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Memory of the machine as a whole. */
final class HostMemory {
    private static final Pattern AVAILABLE = Pattern.compile("(?m)^MemAvailable:\\s+(\\d+) kB");
    private static final Duration SYNC = Duration.ofSeconds(30);

    private HostMemory() {}

    /** 0 when the kernel does not say. */
    static long availableBytes() {
        try {
            Matcher matcher = AVAILABLE.matcher(Files.readString(Path.of("/proc/meminfo")));
            return matcher.find() ? Long.parseLong(matcher.group(1)) * 1024 : 0;
        } catch (IOException e) {
            return 0;
        }
    }

    /** Lets the kernel forget all files it has read. False where that is not for us to do. */
    static boolean dropPageCache() {
        try {
            var _ = Program.run(SYNC, "sync");
            Files.writeString(Path.of("/proc/sys/vm/drop_caches"), "3");
            return true;
        } catch (IOException e) {
            return false;
        }
    }
}
