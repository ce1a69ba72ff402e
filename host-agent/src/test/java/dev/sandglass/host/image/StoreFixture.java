package dev.sandglass.host.image;

import dev.sandglass.host.linux.Linux;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Arrays;
import java.util.List;
import java.util.TreeMap;
import java.util.function.UnaryOperator;

/** Small images that are like real ones to the stores, and ways to damage files. */
final class StoreFixture {
    private StoreFixture() {}

    @FunctionalInterface
    interface Damaging {
        void apply(Path directory) throws IOException;
    }

    /** A way to break something, in words. */
    record Case(String name, Damaging damaging, String told) {
        @Override
        public String toString() {
            return name;
        }
    }

    /** Writes an image and makes it the current one. */
    static String image(Path images, String seed) throws IOException {
        Path work = Files.createDirectories(images.resolve("work"));
        TreeMap<String, FileFacts> files = new TreeMap<>();
        for (String name : List.of("kernel", "modules", "initramfs", "rootfs.ext4")) {
            Path file = Files.writeString(work.resolve(name), name + " of " + seed + "\n" + "x".repeat(100_000));
            files.put(name, new FileFacts(Files.size(file), SparseFile.digest(file)));
        }
        String digest = Manifest.write(work, new ImageContent(new TreeMap<>(), files, "agent-" + seed, "quiet"));
        Files.move(work, images.resolve(digest));
        Files.writeString(images.resolve("current"), digest + "\n");
        return digest;
    }

    static Damaging remove(String file) {
        return directory -> Files.delete(directory.resolve(file));
    }

    static Damaging empty(String file) {
        return directory -> Files.write(directory.resolve(file), new byte[0]);
    }

    static Damaging halve(String file) {
        return directory -> {
            byte[] bytes = Files.readAllBytes(directory.resolve(file));
            Files.write(directory.resolve(file), Arrays.copyOf(bytes, bytes.length / 2));
        };
    }

    /** One byte, behind the back of who looks at length and modification time only. */
    static Damaging alter(String file) {
        return directory -> {
            Path path = directory.resolve(file);
            FileTime modified = Files.getLastModifiedTime(path);
            byte[] bytes = Files.readAllBytes(path);
            bytes[bytes.length / 2] ^= 1;
            Files.write(path, bytes);
            Files.setLastModifiedTime(path, modified);
        };
    }

    static Damaging edit(String file, UnaryOperator<String> edit) {
        return directory -> {
            Path path = directory.resolve(file);
            String before = Files.readString(path, StandardCharsets.UTF_8);
            String after = edit.apply(before);
            if (after.equals(before)) {
                throw new IllegalStateException("the edit changes nothing");
            }
            Files.writeString(path, after);
        };
    }

    static boolean privateToRoot(Path directory) {
        return (Linux.statx(directory).mode() & 077) == 0;
    }
}
