package dev.sandglass.cli;

import dev.sandglass.cli.client.Api;
import dev.sandglass.cli.client.ExecSession;
import dev.sandglass.cli.terminal.ConsoleProgress;
import dev.sandglass.cli.terminal.Terminal;
import dev.sandglass.contract.Progress;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
        name = "cp",
        description = "Copy a file or a directory to or from a sandbox.",
        mixinStandardHelpOptions = true,
        footerHeading = "%nA file is replaced in one step, at the end: a broken copy leaves the old one. Directories go"
                + " through tar, on both sides.%n%nExamples:%n",
        footer = {
            "  sandglass cp data.csv sb4k7:/work/          into a directory",
            "  sandglass cp sb4k7:/work/result.json .",
            "  sandglass cp src sb4k7:/work                a whole directory",
            "  pg_dump shop | sandglass cp - sb4k7:/tmp/shop.sql"
        })
final class CopyCommand implements Callable<Integer> {
    /** No slash before the colon: ./a:b is a local file. */
    private static final Pattern REMOTE = Pattern.compile("([0-9a-z]{2,}):(.*)", Pattern.DOTALL);

    private static final int CHUNK = 64 * 1024;

    private final Context context;

    @Spec
    @SuppressWarnings("NullAway.Init") // set by picocli
    private CommandSpec spec;

    @Parameters(index = "0", paramLabel = "FROM", description = "A local path, SANDBOX:PATH, or - for stdin.")
    private String from = "";

    @Parameters(index = "1", paramLabel = "TO", description = "A local path, SANDBOX:PATH, or - for stdout.")
    private String to = "";

    CopyCommand(Context context) {
        this.context = context;
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        Matcher source = REMOTE.matcher(from);
        Matcher target = REMOTE.matcher(to);
        if (source.matches() == target.matches()) {
            throw new ParameterException(spec.commandLine(), "One of FROM and TO is SANDBOX:PATH, and only one.");
        }
        try (Api api = context.api();
                var progress = new ConsoleProgress(context.err(), Terminal.isTerminal(2))) {
            // Plain lines would be noise beside other output: a bar, or nothing.
            Progress shown = Terminal.isTerminal(2) ? progress : Progress.SILENT;
            if (target.matches()) {
                upload(api, api.requireId(target.group(1)), absolute(target.group(2)), shown);
            } else {
                download(api, api.requireId(source.group(1)), absolute(source.group(2)), shown);
            }
            return 0;
        }
    }

    private String absolute(String path) {
        if (!path.startsWith("/")) {
            throw new ParameterException(spec.commandLine(), "The path in a sandbox begins with /: '" + path + "'.");
        }
        return path;
    }

    // --- to the sandbox

    private void upload(Api api, String id, String target, Progress progress) throws IOException, InterruptedException {
        if (from.equals("-")) {
            if (target.endsWith("/")) {
                throw new ParameterException(spec.commandLine(), "Stdin needs a file's name to go to.");
            }
            api.upload(id, target, BodyPublishers.ofInputStream(context::in));
            return;
        }
        Path source = Path.of(from);
        String name = source.toAbsolutePath().normalize().getFileName().toString();
        if (!Files.exists(source)) {
            throw new NoSuchFileException(from);
        }
        if (Files.isDirectory(source)) {
            uploadDirectory(api, id, source, target, name, progress);
            return;
        }
        boolean into = target.endsWith("/") || api.findDirectory(id, target).isPresent();
        String file = into ? target.replaceFirst("/*$", "/") + name : target;
        progress.step(from);
        api.upload(id, file, new CountingPublisher(BodyPublishers.ofFile(source), progress));
    }

    /** As cp -r: into the target when that exists, else as the target. */
    private void uploadDirectory(Api api, String id, Path source, String target, String name, Progress progress)
            throws IOException, InterruptedException {
        String directory = api.findDirectory(id, target).isPresent() ? target.replaceFirst("/*$", "/") + name : target;
        api.makeDirectory(id, directory);
        Process tar = new ProcessBuilder("tar", "-C", source.toString(), "-c", ".")
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        ExecSession session = api.exec(id, ExecSession.Command.of("tar", "-C", directory, "-x"));
        progress.step(from);
        Thread feeder = Thread.ofPlatform().daemon().name("tar").start(() -> {
            byte[] chunk = new byte[CHUNK / 2];
            long done = 0;
            try (InputStream archive = tar.getInputStream()) {
                for (int n = archive.read(chunk); n >= 0; n = archive.read(chunk)) {
                    session.stdin(chunk, n);
                    done += n;
                    progress.advance(done, 0, "bytes");
                }
            } catch (IOException e) {
                // tar's exit status tells
            }
            session.closeStdin();
        });
        requireSuccess(session.run(new Archive(OutputStream.nullOutputStream())).status(), "unpack in the sandbox");
        feeder.join();
        requireSuccess(tar.waitFor(), "read " + from);
    }

    // --- from the sandbox

    private void download(Api api, String id, String source, Progress progress)
            throws IOException, InterruptedException {
        if (to.equals("-")) {
            try (Api.Download download = api.download(id, source)) {
                download.content().transferTo(context.out());
                context.out().flush();
            }
            return;
        }
        Path target = Path.of(to);
        String name = source.replaceFirst("/+$", "").replaceFirst(".*/", "");
        Path file = Files.isDirectory(target) && !name.isEmpty() ? target.resolve(name) : target;
        if (api.findDirectory(id, source).isPresent()) {
            downloadDirectory(api, id, source, file, progress);
        } else {
            downloadFile(api, id, source, file, progress);
        }
    }

    private void downloadFile(Api api, String id, String source, Path file, Progress progress) throws IOException {
        try (Api.Download download = api.download(id, source)) {
            Path directory =
                    Optional.ofNullable(file.toAbsolutePath().getParent()).orElseThrow();
            Path part = Files.createTempFile(directory, "." + file.getFileName(), ".part");
            progress.step(source);
            try {
                try (OutputStream out = Files.newOutputStream(part)) {
                    copy(download, out, progress);
                }
                Files.setPosixFilePermissions(
                        part, java.nio.file.attribute.PosixFilePermissions.fromString("rw-r--r--"));
                Files.move(part, file, StandardCopyOption.REPLACE_EXISTING);
            } finally {
                Files.deleteIfExists(part);
            }
        }
    }

    private static void copy(Api.Download download, OutputStream out, Progress progress) throws IOException {
        byte[] chunk = new byte[CHUNK];
        long done = 0;
        for (int n = download.content().read(chunk);
                n >= 0;
                n = download.content().read(chunk)) {
            out.write(chunk, 0, n);
            done += n;
            progress.advance(done, Math.max(0, download.length()), "bytes");
        }
        if (download.length() >= 0 && done != download.length()) {
            throw new IOException("The connection broke after " + done + " of " + download.length() + " bytes");
        }
    }

    private void downloadDirectory(Api api, String id, String source, Path target, Progress progress)
            throws IOException, InterruptedException {
        Files.createDirectories(target);
        Process tar = new ProcessBuilder("tar", "-C", target.toString(), "-x")
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        progress.step(source);
        ExecSession session = api.exec(id, ExecSession.Command.of("tar", "-C", source, "-c", "."));
        int status;
        try (OutputStream archive = new BufferedOutputStream(tar.getOutputStream(), CHUNK)) {
            status = session.run(new Archive(archive)).status();
        }
        requireSuccess(status, "pack in the sandbox");
        requireSuccess(tar.waitFor(), "write " + target);
    }

    private static void requireSuccess(int status, String what) {
        if (status != 0) {
            throw new CommandFailure("Could not " + what + ": tar ended with " + status + ".");
        }
    }

    /** Where the archive goes that a tar in a sandbox writes; what that says on stderr is shown. */
    private final class Archive implements ExecSession.Output {
        private final OutputStream out;

        private Archive(OutputStream out) {
            this.out = out;
        }

        @Override
        public void stdout(byte[] bytes) throws IOException {
            out.write(bytes);
        }

        @Override
        public void stderr(byte[] bytes) {
            context.err().print(new String(bytes, StandardCharsets.UTF_8));
        }
    }
}
