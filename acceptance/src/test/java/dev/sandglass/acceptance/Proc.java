package dev.sandglass.acceptance;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** What /proc says of one process; empty answers for one that has ended. */
record Proc(int pid) {
    static List<Proc> all() {
        try (Stream<Path> entries = Files.list(Path.of("/proc"))) {
            return entries.map(entry -> String.valueOf(entry.getFileName()))
                    .filter(name -> name.matches("\\d+"))
                    .map(name -> new Proc(Integer.parseInt(name)))
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException("list processes", e);
        }
    }

    Path path(String name) {
        return Path.of("/proc/" + pid + "/" + name);
    }

    String read(String name) {
        try {
            return new String(Files.readAllBytes(path(name)), StandardCharsets.UTF_8);
        } catch (IOException e) {
            return "";
        }
    }

    String link(String name) {
        try {
            return Files.readSymbolicLink(path(name)).toString();
        } catch (IOException | RuntimeException e) {
            return "";
        }
    }

    List<String> cmdline() {
        return Arrays.asList(read("cmdline").split("\0", -1));
    }

    List<String> environment() {
        return Arrays.asList(read("environ").split("\0", -1));
    }

    /** The value behind {@code Name:} in status. */
    String status(String field) {
        return value(read("status"), field);
    }

    static String value(String text, String field) {
        return text.lines()
                .filter(line -> line.startsWith(field + ":"))
                .map(line -> line.substring(field.length() + 1).strip())
                .findFirst()
                .orElse("");
    }

    boolean alive() {
        String state = status("State");
        return !state.isEmpty() && !state.startsWith("Z");
    }

    boolean zombie() {
        return status("State").startsWith("Z");
    }

    int parent() {
        return Optional.of(status("PPid"))
                .filter(text -> !text.isEmpty())
                .map(Integer::parseInt)
                .orElse(-1);
    }

    int uid() {
        String uid = status("Uid").split("\\s+", -1)[0];
        return uid.isEmpty() ? -1 : Integer.parseInt(uid);
    }

    boolean isQemu() {
        return !cmdline().isEmpty() && cmdline().getFirst().contains("qemu-system");
    }

    long pssKib() {
        String pss = value(read("smaps_rollup"), "Pss");
        return pss.isEmpty() ? 0 : Long.parseLong(pss.split("\\s+", -1)[0]);
    }

    int descriptors() {
        try (Stream<Path> entries = Files.list(path("fd"))) {
            return (int) entries.count();
        } catch (IOException e) {
            return 0;
        }
    }

    String shown() {
        String command = String.join(" ", cmdline()).strip().replace('\n', ' ');
        return pid + " " + command.substring(0, Math.min(command.length(), 200));
    }
}
