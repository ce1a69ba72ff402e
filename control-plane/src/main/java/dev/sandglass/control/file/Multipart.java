package dev.sandglass.control.file;

import static dev.sandglass.control.http.Texts.invalid;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Reads a multipart/form-data body part by part (RFC 7578), in constant memory. A body that ends before its closing
 * delimiter is an error, so that half an upload is never taken for a whole one. Used by one thread.
 */
final class Multipart {
    private static final int BUFFER_BYTES = 128 << 10;
    private static final int HEADER_BYTES_MAX = 8 << 10;
    private static final Pattern PARAMETER =
            Pattern.compile(";\\s*([A-Za-z*]+)=(?:\"((?:[^\"\\\\]|\\\\.)*+)\"|([^;\\s]*))");

    /** A part; its content must be read before the next part is asked for, what is left of it is skipped. */
    record Part(String name, Optional<String> fileName, InputStream content) {}

    private final InputStream in;
    private final byte[] delimiter; // CRLF, two dashes, the boundary
    private final byte[] buffer = new byte[BUFFER_BYTES];
    private int position;
    private int limit;
    private boolean inPart;
    private boolean finished;

    private Multipart(InputStream in, String boundary) {
        this.in = in;
        this.delimiter = ("\r\n--" + boundary).getBytes(StandardCharsets.ISO_8859_1);
        // The first delimiter may stand at the very beginning: as if a line had ended before it.
        buffer[0] = '\r';
        buffer[1] = '\n';
        limit = 2;
        inPart = true; // what is before the first delimiter is skipped like the rest of a part
    }

    /** Throws INVALID_REQUEST when the content type is not multipart/form-data with a boundary. */
    static Multipart of(Optional<String> contentType, InputStream in) {
        String value = contentType.orElse("");
        if (!value.strip().toLowerCase(Locale.ROOT).startsWith("multipart/form-data")) {
            throw invalid("Send multipart/form-data.");
        }
        String boundary = parameter(value, "boundary")
                .filter(text -> text.matches("[\\x20-\\x7e]{1,70}"))
                .orElseThrow(() -> invalid("The Content-Type has no usable boundary."));
        return new Multipart(in, boundary);
    }

    /** The next part; empty after the closing delimiter. */
    Optional<Part> next() throws IOException {
        if (finished) {
            return Optional.empty();
        }
        skipRest();
        position += delimiter.length;
        if (atClosingDelimiter()) {
            finished = true;
            return Optional.empty();
        }
        skipPadding();
        List<String> headers = headers();
        inPart = true;
        for (String header : headers) {
            int colon = header.indexOf(':');
            if (colon > 0 && header.substring(0, colon).strip().equalsIgnoreCase("Content-Disposition")) {
                String value = header.substring(colon + 1);
                String name = parameter(value, "name").orElseThrow(() -> invalid("A part of the body has no name."));
                return Optional.of(new Part(name, parameter(value, "filename"), new Content()));
            }
        }
        throw invalid("A part of the body has no Content-Disposition.");
    }

    private void skipRest() throws IOException {
        byte[] sink = new byte[8192];
        while (inPart && readContent(sink, 0, sink.length) >= 0) {
            // skipped
        }
    }

    private boolean atClosingDelimiter() throws IOException {
        require(2);
        return buffer[position] == '-' && buffer[position + 1] == '-';
    }

    /** White space may follow a delimiter on its line. */
    private void skipPadding() throws IOException {
        require(2);
        while (buffer[position] == ' ' || buffer[position] == '\t') {
            position++;
            require(2);
        }
        if (buffer[position] != '\r' || buffer[position + 1] != '\n') {
            throw invalid("The multipart body is malformed after a delimiter.");
        }
        position += 2;
    }

    private List<String> headers() throws IOException {
        List<String> lines = new ArrayList<>();
        int bytes = 0;
        while (true) {
            int length = lineLength();
            String line = utf8(buffer, position, length);
            position += length + 2;
            bytes += length + 2;
            if (bytes > HEADER_BYTES_MAX) {
                throw invalid("The headers of a part are larger than " + HEADER_BYTES_MAX + " bytes.");
            }
            if (line.isEmpty()) {
                return lines;
            }
            lines.add(line);
        }
    }

    /** A name that is replaced by another one would be another file's. */
    static String utf8(byte[] bytes, int offset, int length) {
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes, offset, length))
                    .toString();
        } catch (CharacterCodingException e) {
            throw invalid("A part of the body has a name or path that is not UTF-8.");
        }
    }

    private int lineLength() throws IOException {
        for (int length = 0; length <= HEADER_BYTES_MAX; length++) {
            require(length + 2);
            if (buffer[position + length] == '\r' && buffer[position + length + 1] == '\n') {
                return length;
            }
        }
        throw invalid("The headers of a part are larger than " + HEADER_BYTES_MAX + " bytes.");
    }

    /** Content up to the next delimiter, where it answers −1. */
    private int readContent(byte[] target, int offset, int length) throws IOException {
        if (!inPart) {
            return -1;
        }
        while (true) {
            int end = delimiterOrSafeEnd();
            int available = Math.min(end - position, length);
            if (available > 0) {
                System.arraycopy(buffer, position, target, offset, available);
                position += available;
                return available;
            }
            if (isDelimiterAt(position)) {
                inPart = false;
                return -1;
            }
            if (!fill()) {
                throw invalid("The multipart body ends before its closing delimiter.");
            }
        }
    }

    /** Up to where the buffer certainly holds content: the delimiter, or what may be the beginning of one. */
    private int delimiterOrSafeEnd() {
        for (int at = position; at < limit; at++) {
            if (buffer[at] == '\r' && mayBeDelimiter(at)) {
                return at;
            }
        }
        return limit;
    }

    private boolean mayBeDelimiter(int at) {
        int length = Math.min(delimiter.length, limit - at);
        for (int i = 1; i < length; i++) {
            if (buffer[at + i] != delimiter[i]) {
                return false;
            }
        }
        return true;
    }

    private boolean isDelimiterAt(int at) {
        return limit - at >= delimiter.length && mayBeDelimiter(at);
    }

    private void require(int bytes) throws IOException {
        while (limit - position < bytes) {
            if (!fill()) {
                throw invalid("The multipart body ends before its closing delimiter.");
            }
        }
    }

    private boolean fill() throws IOException {
        if (position > 0) {
            System.arraycopy(buffer, position, buffer, 0, limit - position);
            limit -= position;
            position = 0;
        }
        if (limit == buffer.length) {
            throw invalid("The multipart body is malformed.");
        }
        int read = in.read(buffer, limit, buffer.length - limit);
        limit += Math.max(0, read);
        return read >= 0;
    }

    private static Optional<String> parameter(String header, String name) {
        Matcher matcher = PARAMETER.matcher(header);
        while (matcher.find()) {
            if (matcher.group(1).equalsIgnoreCase(name)) {
                String quoted = matcher.group(2);
                return Optional.of(quoted == null ? matcher.group(3) : quoted.replaceAll("\\\\(.)", "$1"));
            }
        }
        return Optional.empty();
    }

    private final class Content extends InputStream {
        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] target, int offset, int length) throws IOException {
            return length == 0 ? 0 : readContent(target, offset, length);
        }
    }
}
