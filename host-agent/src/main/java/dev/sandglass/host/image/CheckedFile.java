package dev.sandglass.host.image;

import dev.sandglass.host.linux.Errno;
import dev.sandglass.host.linux.FileStatus;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * A file that must stay what its manifest says. Read in full the first time; from then on one stat tells that nobody
 * touched it (device, inode, length, both times), and only a difference makes it be read again. Thread-safe.
 */
final class CheckedFile {
    private final String name;
    private final Path file;
    private final FileFacts facts;
    private volatile @Nullable FileStatus intact;

    CheckedFile(String name, Path file, FileFacts facts) {
        this.name = name;
        this.file = file;
        this.facts = facts;
    }

    /** @param intact of the file when its content was seen to be what {@code facts} says */
    CheckedFile(String name, Path file, FileFacts facts, FileStatus intact) {
        this(name, file, facts);
        this.intact = intact;
    }

    Path path() {
        return file;
    }

    FileFacts facts() {
        return facts;
    }

    void requireIntact() throws Damage {
        FileStatus now = status();
        if (now.size() != facts.bytes()) {
            throw new Damage("its file " + name + " has " + now.size() + " bytes instead of " + facts.bytes());
        }
        if (now.equals(intact)) {
            return;
        }
        try {
            if (!SparseFile.digest(file).equals(facts.digest())) {
                throw new Damage("its file " + name + " was altered");
            }
        } catch (IOException e) {
            throw new UncheckedIOException("check " + file, e);
        }
        // Of before the reading: a change during it is seen at the next check.
        intact = now;
    }

    private FileStatus status() throws Damage {
        try {
            return Linux.statx(file);
        } catch (LinuxException e) {
            if (e.errno() == Errno.ENOENT) {
                throw new Damage("its file " + name + " is missing");
            }
            throw e;
        }
    }
}
