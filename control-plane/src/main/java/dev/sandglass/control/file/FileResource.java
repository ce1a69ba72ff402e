package dev.sandglass.control.file;

import static dev.sandglass.control.http.Texts.invalid;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.host.v1.FileInfo;
import dev.sandglass.contract.host.v1.MoveRequest;
import dev.sandglass.contract.host.v1.PathRequest;
import dev.sandglass.control.file.GuestFiles.Download;
import dev.sandglass.control.file.GuestFiles.Upload;
import dev.sandglass.control.http.Access;
import dev.sandglass.control.http.ErrorEnvelope;
import dev.sandglass.control.http.HttpRequest;
import dev.sandglass.control.http.Refusal;
import dev.sandglass.control.http.Reply;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.sandbox.Sandboxes;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Semaphore;
import org.jspecify.annotations.Nullable;

/** /v1/sandboxes/{id}/files. */
public final class FileResource {
    private static final String BASE = "/v1/sandboxes/{id}/files";
    private static final long SMALL_UPLOAD_BYTES_MAX = 100L << 20;
    private static final long SMALL_UPLOAD_BODY_BYTES_MAX =
            SMALL_UPLOAD_BYTES_MAX + (1 << 20); // with what is around it

    /** Small uploads at once: each may take its limit of this machine's disk. */
    private static final int SPOOLING_MAX = 64;

    private static final int PARTS_MAX = 1000;
    private static final int PATH_PART_BYTES_MAX = 4096;
    private static final Duration CALL_LIMIT = Duration.ofSeconds(60); // a large directory on a slow disk
    private static final String OCTETS = "application/octet-stream";

    record PathBody(@Nullable String path) {}

    record MoveBody(@Nullable String from, @Nullable String to) {}

    record Entry(
            String name,
            String type,
            long size,
            String mode,
            String owner,
            String group,
            Instant modifiedAt,
            @Nullable String symlinkTarget) {}

    /** A file that waits for its path. */
    private record Spooled(Optional<String> fileName, Path file) {}

    private final Sandboxes sandboxes;
    private final Path spoolDirectory;
    private final Semaphore spooling = new Semaphore(SPOOLING_MAX);

    /** Small uploads wait in {@code spoolDirectory}, which is made when it is needed. */
    public FileResource(Sandboxes sandboxes, Path spoolDirectory) {
        this.sandboxes = sandboxes;
        this.spoolDirectory = spoolDirectory;
    }

    public List<Route> routes() {
        return List.of(
                Route.of("POST", BASE + "/write", Access.TEAM, this::write),
                Route.of("POST", BASE + "/read", Access.TEAM, this::read),
                Route.of("POST", BASE + "/stream/write", Access.TEAM, this::streamWrite),
                Route.of("PUT", BASE + "/stream", Access.TEAM, this::put),
                Route.of("POST", BASE + "/stream/read", Access.TEAM, this::streamRead),
                Route.of("GET", BASE, Access.TEAM, this::list),
                Route.of("POST", BASE + "/mkdir", Access.TEAM, this::makeDirectory),
                Route.of("POST", BASE + "/move", Access.TEAM, this::move),
                Route.of("DELETE", BASE, Access.TEAM, this::remove));
    }

    private Sandboxes.Running sandbox(HttpRequest request) {
        return sandboxes.requireRunning(request.team(), request.parameter("id"));
    }

    private static PlatformException tooLarge() {
        return new PlatformException(
                ErrorCode.TOO_LARGE,
                "The upload is larger than " + SMALL_UPLOAD_BYTES_MAX + " bytes: use PUT …/files/stream.");
    }

    // ---- writing

    private Reply write(HttpRequest request) throws IOException {
        Sandboxes.Running sandbox = sandbox(request);
        if (request.contentLength() > SMALL_UPLOAD_BODY_BYTES_MAX) {
            throw tooLarge();
        }
        Multipart body = Multipart.of(request.contentType(), request.body(SMALL_UPLOAD_BODY_BYTES_MAX));
        if (!spooling.tryAcquire()) {
            throw Refusal.rateLimited(
                    "Too many uploads at once: try again shortly, or use PUT …/files/stream.", Duration.ofSeconds(2));
        }
        try {
            write(sandbox, body);
        } finally {
            spooling.release();
        }
        sandboxes.used(sandbox.id());
        return Reply.noContent();
    }

    private void write(Sandboxes.Running sandbox, Multipart body) throws IOException {
        Optional<String> path = Optional.empty();
        List<Spooled> files = new ArrayList<>();
        try {
            long left = SMALL_UPLOAD_BYTES_MAX;
            for (Optional<Multipart.Part> part = body.next(); part.isPresent(); part = body.next()) {
                switch (part.get().name()) {
                    case "path" -> path = Optional.of(onlyPath(path, part.get()));
                    case "file" -> {
                        requireFew(files);
                        Spooled spooled = spool(part.get(), left, files);
                        left -= Files.size(spooled.file());
                    }
                    default -> {} // unknown fields are ignored
                }
            }
            String target = path.orElseThrow(() -> invalid("The part 'path' is missing."));
            if (files.isEmpty()) {
                throw invalid("The part 'file' is missing.");
            }
            place(sandbox, target, files);
        } finally {
            for (Spooled spooled : files) {
                Files.deleteIfExists(spooled.file());
            }
        }
    }

    private static String onlyPath(Optional<String> before, Multipart.Part part) throws IOException {
        if (before.isPresent()) {
            throw invalid("The part 'path' comes twice.");
        }
        byte[] text = part.content().readNBytes(PATH_PART_BYTES_MAX);
        return Paths.require("path", Multipart.utf8(text, 0, text.length));
    }

    private static void requireFew(List<Spooled> files) {
        if (files.size() >= PARTS_MAX) {
            throw invalid("The body has more than " + PARTS_MAX + " files.");
        }
    }

    /** Into a file that is in {@code files} from its first byte on, so that it is removed whatever happens. */
    private Spooled spool(Multipart.Part part, long bytesMax, List<Spooled> files) throws IOException {
        Files.createDirectories(spoolDirectory);
        Spooled spooled = new Spooled(part.fileName(), Files.createTempFile(spoolDirectory, "upload-", ""));
        files.add(spooled);
        long left = bytesMax;
        byte[] buffer = new byte[64 << 10];
        try (OutputStream out = Files.newOutputStream(spooled.file(), StandardOpenOption.WRITE)) {
            InputStream in = part.content();
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                left -= n;
                if (left < 0) {
                    throw tooLarge();
                }
                out.write(buffer, 0, n);
            }
        }
        return spooled;
    }

    /** One file goes to the path itself; several, or a path that ends with a slash, into that directory. */
    private static void place(Sandboxes.Running sandbox, String path, List<Spooled> files) throws IOException {
        boolean directory = files.size() > 1 || path.endsWith("/");
        List<String> targets = files.stream()
                .map(file -> directory ? Paths.within(path, file.fileName().orElse("")) : path)
                .toList();
        for (int i = 0; i < files.size(); i++) {
            try (InputStream data = Files.newInputStream(files.get(i).file());
                    Upload upload = new Upload(sandbox, targets.get(i), 0)) {
                upload.transfer(data);
                upload.commit();
            }
        }
    }

    private Reply streamWrite(HttpRequest request) throws IOException {
        Sandboxes.Running sandbox = sandbox(request);
        Multipart body = Multipart.of(request.contentType(), request.body());
        Optional<String> path = Optional.empty();
        for (Optional<Multipart.Part> part = body.next(); part.isPresent(); part = body.next()) {
            switch (part.get().name()) {
                case "path" -> path = Optional.of(onlyPath(path, part.get()));
                case "file" -> {
                    String target = path.orElseThrow(
                            () -> invalid("The part 'path' must come before 'file'; nothing was written."));
                    streamPart(sandbox, target, part.get(), body);
                    return Reply.noContent();
                }
                default -> {} // unknown fields are ignored
            }
        }
        throw invalid(path.isEmpty() ? "The part 'path' is missing." : "The part 'file' is missing.");
    }

    /** Put in place only when the body has been read to its closing delimiter. */
    private void streamPart(Sandboxes.Running sandbox, String path, Multipart.Part part, Multipart body)
            throws IOException {
        try (Upload upload = new Upload(sandbox, path, 0)) {
            upload.transfer(part.content());
            for (Optional<Multipart.Part> more = body.next(); more.isPresent(); more = body.next()) {
                if (more.get().name().equals("file")) {
                    throw invalid("There may be one part 'file' only; nothing was written.");
                }
            }
            upload.commit();
        }
        sandboxes.used(sandbox.id());
    }

    private Reply put(HttpRequest request) throws IOException {
        Sandboxes.Running sandbox = sandbox(request);
        String path = Paths.require("path", request.query("path").orElse(null));
        int mode = request.query("mode").map(FileResource::mode).orElse(0);
        try (Upload upload = new Upload(sandbox, path, mode)) {
            upload.transfer(request.body());
            upload.commit();
        }
        sandboxes.used(sandbox.id());
        return Reply.noContent();
    }

    private static int mode(String text) {
        if (!text.matches("0?[0-7]{3,4}")) {
            throw invalid("The parameter 'mode' must be octal, like 0755.");
        }
        return Integer.parseInt(text, 8);
    }

    // ---- reading

    private Reply read(HttpRequest request) throws IOException {
        return download(request, Optional.empty());
    }

    private Reply streamRead(HttpRequest request) throws IOException {
        // A condition that we have given nobody the means for does not hold: then all of it is wanted.
        return download(request, request.header("If-Range").isPresent() ? Optional.empty() : request.header("Range"));
    }

    private Reply download(HttpRequest request, Optional<String> range) throws IOException {
        Sandboxes.Running sandbox = sandbox(request);
        String path = Paths.require("path", request.json(PathBody.class).path());
        if (range.isEmpty()) {
            return whole(sandbox, path);
        }
        long size;
        try (Download probe = new Download(sandbox, path, 0, 1)) {
            size = regularSize(probe);
        }
        return switch (ByteRange.of(range, size)) {
            case ByteRange.Wanted.All all -> whole(sandbox, path);
            case ByteRange.Wanted.Part part ->
                stream(
                        sandbox,
                        new Download(
                                sandbox,
                                path,
                                part.range().first(),
                                part.range().length()),
                        206,
                        part.range().length(),
                        Map.of(
                                "Content-Range",
                                "bytes " + part.range().first() + "-"
                                        + part.range().last() + "/" + size));
            case ByteRange.Wanted.Outside outside ->
                new Reply.Json(
                        416,
                        ErrorEnvelope.of(ErrorCode.INVALID_REQUEST, "The file has no bytes in this range."),
                        Map.of("Content-Range", "bytes */" + size));
        };
    }

    private Reply whole(Sandboxes.Running sandbox, String path) {
        Download download = new Download(sandbox, path, 0, 0);
        long size = regularSize(download);
        if (size == 0 && download.hasContent()) {
            return stream(sandbox, download, 200, Map.of(), download::transferAll);
        }
        return stream(sandbox, download, 200, size, Map.of("Accept-Ranges", "bytes"));
    }

    private static long regularSize(Download download) {
        FileInfo info = download.info();
        if (!info.getType().equals("file")) {
            download.close();
            throw invalid("The path is a " + info.getType() + ", not a file.");
        }
        return info.getSize();
    }

    private Reply stream(
            Sandboxes.Running sandbox, Download download, int status, long length, Map<String, String> more) {
        Map<String, String> headers = new HashMap<>(more);
        headers.put("Content-Length", Long.toString(length));
        return stream(sandbox, download, status, headers, out -> download.transfer(out, length));
    }

    @FunctionalInterface
    private interface Transfer {
        void to(OutputStream out) throws IOException;
    }

    private Reply stream(
            Sandboxes.Running sandbox, Download download, int status, Map<String, String> more, Transfer transfer) {
        Map<String, String> headers = new HashMap<>(more);
        headers.put("Content-Type", OCTETS);
        return new Reply.Stream(status, headers, out -> {
            try (download) {
                transfer.to(out);
            } finally {
                sandboxes.used(sandbox.id());
            }
        });
    }

    // ---- directories

    private Reply list(HttpRequest request) {
        Sandboxes.Running sandbox = sandbox(request);
        PathRequest which = pathRequest(sandbox, request.query("path").orElse(null));
        return Reply.ok(sandbox.call(CALL_LIMIT, agent -> agent.listDirectory(which)).getEntriesList().stream()
                .map(FileResource::entry)
                .toList());
    }

    private static Entry entry(FileInfo info) {
        return new Entry(
                info.getName(),
                info.getType(),
                info.getSize(),
                String.format("%04o", info.getMode()),
                info.getOwner(),
                info.getGroup(),
                Instant.ofEpochSecond(
                        info.getModifiedAt().getSeconds(), info.getModifiedAt().getNanos()),
                info.getSymlinkTarget().isEmpty() ? null : info.getSymlinkTarget());
    }

    private Reply makeDirectory(HttpRequest request) throws IOException {
        Sandboxes.Running sandbox = sandbox(request);
        PathRequest which = pathRequest(sandbox, request.json(PathBody.class).path());
        sandbox.call(CALL_LIMIT, agent -> agent.makeDirectory(which));
        return Reply.noContent();
    }

    private Reply move(HttpRequest request) throws IOException {
        Sandboxes.Running sandbox = sandbox(request);
        MoveBody body = request.json(MoveBody.class);
        MoveRequest move = MoveRequest.newBuilder()
                .setSandboxId(sandbox.id().value())
                .setFrom(Paths.require("from", body.from()))
                .setTo(Paths.require("to", body.to()))
                .build();
        sandbox.call(CALL_LIMIT, agent -> agent.move(move));
        return Reply.noContent();
    }

    private Reply remove(HttpRequest request) {
        Sandboxes.Running sandbox = sandbox(request);
        PathRequest which = pathRequest(sandbox, request.query("path").orElse(null));
        sandbox.call(CALL_LIMIT, agent -> agent.remove(which));
        return Reply.noContent();
    }

    private static PathRequest pathRequest(Sandboxes.Running sandbox, @Nullable String path) {
        return PathRequest.newBuilder()
                .setSandboxId(sandbox.id().value())
                .setPath(Paths.require("path", path))
                .build();
    }
}
