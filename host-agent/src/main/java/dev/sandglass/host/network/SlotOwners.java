package dev.sandglass.host.network;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** Whether a slot's user still runs something. */
final class SlotOwners {
    private static final Pattern PID = Pattern.compile("\\d+");

    private SlotOwners() {}

    /** Reads all of /proc: for rare cases only. */
    static boolean runsSomething(int uid) {
        try (Stream<Path> processes = Files.list(Path.of("/proc"))) {
            return processes
                    .filter(process ->
                            PID.matcher(String.valueOf(process.getFileName())).matches())
                    .anyMatch(process -> isOf(process.resolve("status"), uid));
        } catch (IOException e) {
            throw new UncheckedIOException("list processes", e);
        }
    }

    private static boolean isOf(Path status, int uid) {
        try {
            return isOf(Files.readAllLines(status), uid);
        } catch (IOException e) {
            // It has ended.
            return false;
        }
    }

    /** "Uid:" real, effective, saved and file-system one. */
    static boolean isOf(List<String> status, int uid) {
        return status.stream()
                .filter(line -> line.startsWith("Uid:"))
                .anyMatch(line -> List.of(line.split("\\s+", -1)).contains(Integer.toString(uid)));
    }
}
