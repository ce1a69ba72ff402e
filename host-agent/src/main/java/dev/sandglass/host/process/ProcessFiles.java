package dev.sandglass.host.process;

import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What the supervisor leaves in a process's directory: {@code pid} (process, its start ticks, supervisor, its start
 * ticks), {@code exit} (the status as a shell says it) and {@code stderr}. The first two are renamed into place, so
 * they are whole or absent.
 */
record ProcessFiles(Path directory) {
    private static final Pattern PID = Pattern.compile("(\\d{1,10}) (\\d{1,19}) (\\d{1,10}) (\\d{1,19})\n");
    private static final Pattern EXIT = Pattern.compile("(\\d{1,3})\n");
    private static final int TAIL_BYTES = 8 << 10;

    /** A shell adds this to the signal's number. */
    private static final int SIGNAL_BASE = 128;

    private static final int SIGNAL_MAX = 64;

    /** When stderr has more than this on disk, all but the last {@link #STDERR_KEPT_BYTES} of it is given back. */
    private static final long STDERR_BYTES_MAX = 1 << 20;

    private static final long STDERR_KEPT_BYTES = 256 << 10;
    private static final long PAGE = 4096;

    record Recorded(ProcessIdentity process, ProcessIdentity supervisor) {}

    Path stderr() {
        return directory.resolve("stderr");
    }

    void removeOld() {
        for (String name : new String[] {"pid", "pid.new", "exit", "exit.new", "stderr"}) {
            try {
                Files.deleteIfExists(directory.resolve(name));
            } catch (IOException e) {
                throw new UncheckedIOException("clear " + directory, e);
            }
        }
    }

    /** Empty when there is none or it is damaged: then nothing is known of a process. */
    Optional<Recorded> recorded() {
        return read("pid").flatMap(ProcessFiles::parseRecorded);
    }

    static Optional<Recorded> parseRecorded(String text) {
        Matcher fields = PID.matcher(text);
        if (!fields.matches()) {
            return Optional.empty();
        }
        try {
            return Optional.of(new Recorded(
                    new ProcessIdentity(Integer.parseInt(fields.group(1)), Long.parseLong(fields.group(2))),
                    new ProcessIdentity(Integer.parseInt(fields.group(3)), Long.parseLong(fields.group(4)))));
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }

    Optional<ExitStatus> exit() {
        return read("exit").flatMap(ProcessFiles::parseExit);
    }

    static Optional<ExitStatus> parseExit(String text) {
        Matcher field = EXIT.matcher(text);
        if (!field.matches()) {
            return Optional.empty();
        }
        int status = Integer.parseInt(field.group(1));
        if (status > 255) {
            return Optional.empty();
        }
        return Optional.of(
                status > SIGNAL_BASE && status <= SIGNAL_BASE + SIGNAL_MAX
                        ? new ExitStatus.Signalled(status - SIGNAL_BASE)
                        : new ExitStatus.Exited(status));
    }

    String stderrTail() {
        try (FileChannel file = FileChannel.open(stderr(), StandardOpenOption.READ)) {
            long size = file.size();
            ByteBuffer tail = ByteBuffer.allocate((int) Math.min(size, TAIL_BYTES));
            int read = file.read(tail, size - tail.capacity());
            return new String(tail.array(), 0, Math.max(0, read), StandardCharsets.UTF_8);
        } catch (NoSuchFileException e) {
            return "";
        } catch (IOException e) {
            throw new UncheckedIOException("read " + stderr(), e);
        }
    }

    /** The process appends, so a hole at the front changes nothing for it; best effort. */
    void boundStderr() {
        try (FileDescriptor file = Linux.open(stderr(), Linux.O_RDWR, 0)) {
            if (Linux.statx(stderr()).allocatedBytes() > STDERR_BYTES_MAX) {
                long size = Files.size(stderr());
                Linux.punchHole(file, 0, (size - STDERR_KEPT_BYTES) / PAGE * PAGE);
            }
        } catch (LinuxException | IOException ignored) {
            // Gone with its process, or a file system without holes: then it grows.
        }
    }

    private Optional<String> read(String name) {
        try {
            return Optional.of(Files.readString(directory.resolve(name), StandardCharsets.ISO_8859_1));
        } catch (NoSuchFileException e) {
            return Optional.empty();
        } catch (IOException e) {
            throw new UncheckedIOException("read " + directory.resolve(name), e);
        }
    }
}
