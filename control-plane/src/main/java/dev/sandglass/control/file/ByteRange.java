package dev.sandglass.control.file;

import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One range of bytes of a file, both ends included (RFC 9110, 14.2). */
record ByteRange(long first, long last) {
    private static final String UNIT = "bytes=";
    private static final Pattern SINGLE = Pattern.compile("([0-9]+)-([0-9]*)|-([0-9]+)");
    private static final int DIGITS_MAX = 18; // more is beyond any file

    /** What a Range header means for a file. */
    sealed interface Wanted {
        /** No range, several, or another unit than bytes: all of it, as the RFC allows. */
        record All() implements Wanted {}

        record Part(ByteRange range) implements Wanted {}

        /** Nothing of it is in the file, or it is no range at all. */
        record Outside() implements Wanted {}
    }

    long length() {
        return last - first + 1;
    }

    static Wanted of(Optional<String> header, long size) {
        if (header.isEmpty() || !header.get().strip().toLowerCase(Locale.ROOT).startsWith(UNIT)) {
            return new Wanted.All();
        }
        List<String> ranges = Arrays.stream(
                        header.get().strip().substring(UNIT.length()).split(",", -1))
                .map(String::strip)
                .filter(range -> !range.isEmpty())
                .toList();
        if (ranges.isEmpty()
                || !ranges.stream().allMatch(range -> SINGLE.matcher(range).matches())) {
            return new Wanted.Outside();
        }
        Matcher one = SINGLE.matcher(ranges.getFirst());
        if (ranges.size() > 1 || !one.matches()) {
            return new Wanted.All();
        }
        return one.group(3) == null ? between(one.group(1), one.group(2), size) : lastBytes(number(one.group(3)), size);
    }

    private static Wanted between(String from, String to, long size) {
        long first = number(from);
        long last = to.isEmpty() ? size - 1 : Math.min(number(to), size - 1);
        return first <= last ? new Wanted.Part(new ByteRange(first, last)) : new Wanted.Outside();
    }

    private static Wanted lastBytes(long count, long size) {
        long kept = Math.min(count, size);
        return kept == 0 ? new Wanted.Outside() : new Wanted.Part(new ByteRange(size - kept, size - 1));
    }

    private static long number(String digits) {
        String significant = digits.replaceFirst("^0+(?=.)", "");
        return significant.length() > DIGITS_MAX ? Long.MAX_VALUE : Long.parseLong(significant);
    }
}
