package dev.sandglass.host.image;

import dev.sandglass.host.image.RecipeRun.RecipeFailed;
import dev.sandglass.host.linux.DurableFile;
import dev.sandglass.host.linux.Errno;
import dev.sandglass.host.linux.FileStatus;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What apt offers today, as {@code inputs.sh} tells it. Asking apt takes seconds, so the answer is kept beside what it
 * depends on: as long as length, time and inode of apt's lists, settings and of the recipe stay, it stays.
 */
final class AptInputs {
    private static final String KEPT = ".inputs";
    private static final Duration ASK = Duration.ofSeconds(30);

    /** What `apt-cache` reads. Folders stand for everything in them. */
    private static final List<Path> SOURCES = Stream.of(
                    "/etc/os-release", "/etc/apt", "/var/lib/apt/lists", "/var/lib/dpkg/status", "/var/lib/dpkg/arch")
            .map(Path::of)
            .toList();

    private static final int DEPTH_MAX = 4;
    private static final Logger LOG = LoggerFactory.getLogger(AptInputs.class);

    private final Path recipe;
    private final Path kept;

    /** @param directory where the last answer is kept */
    AptInputs(Path recipe, Path directory) {
        this.recipe = recipe.toAbsolutePath();
        this.kept = directory.resolve(KEPT);
    }

    /** Empty when apt knows nothing. */
    SortedMap<String, String> ask() {
        String stamp = stamp();
        Optional<SortedMap<String, String>> known = read(stamp);
        if (known.isPresent()) {
            return known.get();
        }
        TreeMap<String, String> inputs = new TreeMap<>();
        try {
            RecipeRun.of(List.of("sh", recipe.toString()), ASK).run(line -> put(inputs, line));
        } catch (RecipeFailed e) {
            LOG.info("What could be built today is not known: {}", e.getMessage());
            return new TreeMap<>();
        }
        // A change while it was asked leaves an old stamp, with which the answer is not found again.
        keep(stamp, inputs);
        return inputs;
    }

    private static void put(SortedMap<String, String> inputs, String line) {
        String[] words = line.split(" ", 2);
        if (words.length == 2) {
            inputs.put(words[0], words[1]);
        }
    }

    private Optional<SortedMap<String, String>> read(String stamp) {
        try {
            List<String> lines = Files.readAllLines(kept);
            if (lines.isEmpty() || !lines.getFirst().equals(stamp)) {
                return Optional.empty();
            }
            TreeMap<String, String> inputs = new TreeMap<>();
            lines.stream().skip(1).forEach(line -> put(inputs, line));
            return Optional.of(inputs);
        } catch (IOException e) {
            return Optional.empty();
        }
    }

    private void keep(String stamp, SortedMap<String, String> inputs) {
        StringBuilder text = new StringBuilder(stamp).append('\n');
        inputs.forEach(
                (name, value) -> text.append(name).append(' ').append(value).append('\n'));
        DurableFile.write(kept, text.toString().getBytes(StandardCharsets.UTF_8));
    }

    private String stamp() {
        MessageDigest digest = SparseFile.sha256();
        Stream.concat(Stream.of(recipe), SOURCES.stream()).forEach(source -> {
            try (Stream<Path> files = Files.walk(source, DEPTH_MAX)) {
                files.sorted().forEach(file -> digest.update(facts(file)));
            } catch (IOException e) {
                digest.update(facts(source)); // absent, which counts as well
            }
        });
        return HexFormat.of().formatHex(digest.digest());
    }

    private static byte[] facts(Path file) {
        String facts;
        try {
            FileStatus status = Linux.statx(file);
            facts = status.toString();
        } catch (LinuxException e) {
            facts = e.errno() == Errno.ENOENT ? "absent" : "not to be read";
        }
        return (file + " " + facts + "\n").getBytes(StandardCharsets.UTF_8);
    }
}
