package dev.sandglass.control.file;

import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One range of bytes of a file, both ends included (RFC 9110, 14.2). */
record ByteRange(long first, long last) {
    private static final Pattern SINGLE = Pattern.compile("bytes=([0-9]{0,18})-([0-9]{0,18})");

    /** What a Range header means for a file. */
    sealed interface Wanted {
        /** No range, several, or one that is not understood: all of it, as the RFC allows. */
        record All() implements Wanted {}

        record Part(ByteRange range) implements Wanted {}

        /** Nothing of it is in the file. */
        record Outside() implements Wanted {}
    }

    long length() {
        return last - first + 1;
    }

    static Wanted of(Optional<String> header, long size) {
        Optional<Matcher> matcher =
                header.map(text -> SINGLE.matcher(text.strip())).filter(Matcher::matches);
        if (matcher.isEmpty()) {
            return new Wanted.All();
        }
        String from = matcher.get().group(1);
        String to = matcher.get().group(2);
        if (from.isEmpty() && to.isEmpty()) {
            return new Wanted.All();
        }
        if (from.isEmpty()) {
            long count = Math.min(Long.parseLong(to), size);
            return count == 0 ? new Wanted.Outside() : new Wanted.Part(new ByteRange(size - count, size - 1));
        }
        long first = Long.parseLong(from);
        long last = to.isEmpty() ? size - 1 : Math.min(Long.parseLong(to), size - 1);
        if (!to.isEmpty() && Long.parseLong(to) < first) {
            return new Wanted.All();
        }
        return first >= size ? new Wanted.Outside() : new Wanted.Part(new ByteRange(first, last));
    }
}
