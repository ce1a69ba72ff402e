package dev.sandglass.host.memory;

import dev.sandglass.host.linux.FileStatus;
import java.io.IOException;
import java.util.Comparator;
import java.util.List;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Where a process has the pages of one file, from the lines of {@code /proc/PID/maps}. */
final class Mappings {
    /** {@code 7f00-7f10 rw-p 0000f000 08:01 1234  /path}: addresses, rights, offset, device, inode; proc_pid_maps(5). */
    private static final Pattern LINE = Pattern.compile(
            "([0-9a-f]+)-([0-9a-f]+) ...(.) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) ([0-9]+)(?: .*)?", Pattern.DOTALL);

    private final NavigableMap<Long, Area> byOffset;
    private final long bytes;

    /** @param offset in the file */
    record Area(long address, long length, long offset) {
        long end() {
            return offset + length;
        }
    }

    private Mappings(NavigableMap<Long, Area> byOffset, long bytes) {
        this.byOffset = byOffset;
        this.bytes = bytes;
    }

    /** @throws IOException unless the private mappings show every byte of {@code file} exactly once */
    static Mappings of(List<String> lines, FileStatus file) throws IOException {
        List<Area> areas = lines.stream()
                .flatMap(line -> area(line, file).stream())
                .sorted(Comparator.comparingLong(Area::offset))
                .toList();
        NavigableMap<Long, Area> byOffset = new TreeMap<>();
        long covered = 0;
        for (Area area : areas) {
            if (area.offset() != covered) {
                throw new IOException("the process has the file's pages from " + Math.min(covered, area.offset())
                        + (area.offset() < covered ? " mapped twice" : " not mapped"));
            }
            byOffset.put(area.offset(), area);
            covered = area.end();
        }
        if (covered != file.size()) {
            throw new IOException("the process has " + covered + " of the file's " + file.size() + " bytes mapped");
        }
        return new Mappings(byOffset, covered);
    }

    private static Optional<Area> area(String line, FileStatus file) {
        Matcher fields = LINE.matcher(line);
        if (!fields.matches()) {
            throw new IllegalStateException("a line of maps that is not understood: " + line);
        }
        long device = Long.parseLong(fields.group(5), 16) << 32 | Long.parseLong(fields.group(6), 16);
        boolean wanted = fields.group(3).equals("p")
                && device == file.device()
                && Long.parseUnsignedLong(fields.group(7)) == file.inode();
        if (!wanted) {
            return Optional.empty();
        }
        long start = Long.parseUnsignedLong(fields.group(1), 16);
        long end = Long.parseUnsignedLong(fields.group(2), 16);
        return Optional.of(new Area(start, end - start, Long.parseUnsignedLong(fields.group(4), 16)));
    }

    long bytes() {
        return bytes;
    }

    Iterable<Area> areas() {
        return byOffset.values();
    }

    Area areaAt(long offset) {
        var found = byOffset.floorEntry(offset);
        if (found == null || offset >= found.getValue().end()) {
            throw new IndexOutOfBoundsException("no guest memory at " + offset + " of " + bytes);
        }
        return found.getValue();
    }
}
