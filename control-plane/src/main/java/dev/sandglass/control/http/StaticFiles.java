package dev.sandglass.control.http;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.zip.GZIPOutputStream;

/**
 * Files of the class path as routes: pages with a Content-Security-Policy, and what pages load. Only what is named here
 * is served, so no path leads anywhere else. A file is read when it is asked for first, and kept; callers keep it too
 * and ask by ETag whether it is still the same, which answers 304.
 *
 * <p>A page is at the same path with and without a slash at its end, so what it loads it names by absolute paths.
 */
public final class StaticFiles {
    /**
     * For a page whose scripts, styles, images and calls all come from here: nothing inline, nothing from elsewhere, in
     * nobody's frame. WebSockets to the page's own origin are 'self', too.
     */
    public static final String STRICT_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'"
            + " data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private static final Map<String, String> CONTENT_TYPES = Map.of(
            "html", "text/html; charset=utf-8",
            "css", "text/css; charset=utf-8",
            "js", "text/javascript; charset=utf-8",
            "mjs", "text/javascript; charset=utf-8",
            "json", "application/json",
            "yaml", "application/yaml; charset=utf-8",
            "svg", "image/svg+xml",
            "png", "image/png",
            "ico", "image/x-icon",
            "woff2", "font/woff2");

    /** Formats that are compressed already. */
    private static final List<String> PACKED = List.of("png", "ico", "woff2");

    private static final int GZIP_BYTES_MIN = 1024; // below, one packet carries it anyway

    private final Class<?> anchor;
    private final List<Route> routes = new ArrayList<>();
    private final Map<String, Content> contents = new ConcurrentHashMap<>();

    private StaticFiles(Class<?> anchor) {
        this.anchor = anchor;
    }

    /** Nothing yet; resources are found as {@link Class#getResource} of {@code anchor} finds them. */
    public static StaticFiles beside(Class<?> anchor) {
        return new StaticFiles(anchor);
    }

    /** One file at {@code path}. */
    public StaticFiles file(String path, String resource) {
        return add(path, resource, Map.of());
    }

    /** An HTML page at {@code path}. */
    public StaticFiles page(String path, String resource, String policy) {
        return add(
                path,
                resource,
                Map.of(
                        "Content-Security-Policy", policy,
                        "Cross-Origin-Opener-Policy", "same-origin",
                        "Referrer-Policy", "no-referrer"));
    }

    /**
     * The files of a page, at {@code path/NAME} each.
     *
     * @param resources by name
     */
    public StaticFiles folder(String path, Map<String, String> resources) {
        Map<String, String> known = Map.copyOf(resources);
        known.values().forEach(this::requireResource);
        routes.add(Route.of("GET", path + "/{file}", Access.OPEN, request -> {
            String resource = known.get(request.parameter("file"));
            if (resource == null) {
                throw new PlatformException(ErrorCode.NOT_FOUND, "There is no such file here.");
            }
            return reply(request, resource, Map.of());
        }));
        return this;
    }

    public List<Route> routes() {
        return List.copyOf(routes);
    }

    private StaticFiles add(String path, String resource, Map<String, String> headers) {
        requireResource(resource);
        routes.add(Route.of("GET", path, Access.OPEN, request -> reply(request, resource, headers)));
        return this;
    }

    private void requireResource(String resource) {
        if (anchor.getResource(resource) == null || !CONTENT_TYPES.containsKey(extension(resource))) {
            throw new IllegalStateException(resource + " is not on the class path, or of an unknown type");
        }
    }

    private Reply reply(HttpRequest request, String resource, Map<String, String> more) {
        Content content = contents.computeIfAbsent(resource, this::read);
        Map<String, String> headers = new LinkedHashMap<>(more);
        headers.put("ETag", content.tag());
        headers.put("Cache-Control", "no-cache"); // kept, but asked about each time: paths carry no version
        headers.put("Vary", "Accept-Encoding");
        if (isKnown(request, content.tag())) {
            return new Reply.Empty(304, headers);
        }
        headers.put("Content-Type", content.type());
        if (content.packed().isPresent() && takesGzip(request)) {
            headers.put("Content-Encoding", "gzip");
            return new Reply.Bytes(200, content.packed().get(), headers);
        }
        return new Reply.Bytes(200, content.bytes(), headers);
    }

    /** @param tag weak, since it is the same for both encodings */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Content(String type, String tag, byte[] bytes, Optional<byte[]> packed) {}

    private Content read(String resource) {
        try (InputStream in = anchor.getResourceAsStream(resource)) {
            if (in == null) {
                throw new IllegalStateException(resource + " is not on the class path any more");
            }
            byte[] bytes = in.readAllBytes();
            String extension = extension(resource);
            Optional<byte[]> packed = bytes.length < GZIP_BYTES_MIN || PACKED.contains(extension)
                    ? Optional.empty()
                    : Optional.of(gzip(bytes));
            return new Content(CONTENT_TYPES.getOrDefault(extension, ""), tag(bytes), bytes, packed);
        } catch (IOException e) {
            throw new UncheckedIOException("read " + resource, e);
        }
    }

    private static boolean isKnown(HttpRequest request, String tag) {
        return request.headers("If-None-Match").stream()
                .flatMap(value -> Arrays.stream(value.split(",")))
                .map(String::strip)
                .anyMatch(known -> known.equals("*") || known.equals(tag) || ("W/" + known).equals(tag));
    }

    private static boolean takesGzip(HttpRequest request) {
        return request.headers("Accept-Encoding").stream()
                .flatMap(value -> Arrays.stream(value.toLowerCase(Locale.ROOT).split(",")))
                .map(coding -> coding.replace(" ", ""))
                .anyMatch(coding ->
                        coding.equals("gzip") || (coding.startsWith("gzip;q=") && !coding.matches("gzip;q=0(\\.0*)?")));
    }

    private static byte[] gzip(byte[] bytes) throws IOException {
        var out = new ByteArrayOutputStream(bytes.length / 3);
        try (var gzip = new GZIPOutputStream(out)) {
            gzip.write(bytes);
        }
        return out.toByteArray();
    }

    private static String tag(byte[] bytes) {
        try {
            byte[] hash = MessageDigest.getInstance("SHA-256").digest(bytes);
            return "W/\"" + HexFormat.of().formatHex(hash, 0, 16) + "\"";
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("compute the hash of a file", e);
        }
    }

    private static String extension(String resource) {
        return resource.substring(resource.lastIndexOf('.') + 1);
    }
}
