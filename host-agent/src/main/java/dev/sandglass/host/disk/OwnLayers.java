package dev.sandglass.host.disk;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.OptionalInt;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The layers in a disk's directory: {@code disk-0001.qcow2} and so on, a higher number lying above a lower one. Numbers
 * may be missing below others, after a merge.
 */
record OwnLayers(Path directory, List<Integer> numbersTopFirst) {
    private static final Pattern NAME = Pattern.compile("disk-([0-9]{4,8})\\.qcow2");

    /** One in the making, or a leftover. */
    private static final String DRAFT = ".disk.draft";

    private static final String SCRATCH = ".disk.scratch";

    static OwnLayers in(Path directory) throws IOException {
        List<Integer> numbers = new ArrayList<>();
        try (var files = Files.newDirectoryStream(directory, "disk-*.qcow2")) {
            for (Path file : files) {
                number(file).ifPresent(numbers::add);
            }
        }
        numbers.sort(Comparator.reverseOrder());
        return new OwnLayers(directory, Collections.unmodifiableList(numbers));
    }

    private static OptionalInt number(Path file) {
        Matcher name = NAME.matcher(String.valueOf(file.getFileName()));
        if (!name.matches()) {
            return OptionalInt.empty();
        }
        int number = Integer.parseInt(name.group(1));
        return file.endsWith(name(number)) ? OptionalInt.of(number) : OptionalInt.empty();
    }

    private static String name(int number) {
        return String.format("disk-%04d.qcow2", number);
    }

    static Path draft(Path directory) {
        return directory.resolve(DRAFT);
    }

    /** A file that a merge needs while it runs. */
    static Path scratch(Path directory) {
        return directory.resolve(SCRATCH);
    }

    boolean isEmpty() {
        return numbersTopFirst.isEmpty();
    }

    int size() {
        return numbersTopFirst.size();
    }

    Path file(int number) {
        return directory.resolve(name(number));
    }

    Path top() {
        return file(numbersTopFirst.getFirst());
    }

    Path next() {
        return file(isEmpty() ? 1 : numbersTopFirst.getFirst() + 1);
    }

    List<Path> topFirst() {
        return numbersTopFirst.stream().map(this::file).toList();
    }

    List<Path> frozenTopFirst() {
        return topFirst().subList(1, size());
    }

    List<DiskLayer> layers() {
        return layers(topFirst());
    }

    static List<DiskLayer> layers(List<Path> files) {
        return files.stream()
                .map(file -> new DiskLayer(file, DiskLayer.Format.QCOW2))
                .toList();
    }
}
