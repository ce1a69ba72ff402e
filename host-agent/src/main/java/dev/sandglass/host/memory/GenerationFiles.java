package dev.sandglass.host.memory;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Map;

/** The files of generations, read and found to be what was written, or a {@link Damage} that names generation and file. */
record GenerationFiles(Path directory, Base base) {
    /** Of the newest generation, after all of them have been found there with the right lengths. */
    Header newestHeader(Manifest of) throws IOException, Damage {
        Header newest = base.header();
        Map<BuildId, Long> lengths = new HashMap<>();
        for (Manifest.Generation generation : of.generations()) {
            Checksums checksums = checksums(generation);
            lengths.put(generation.build(), checksums.diffBytes());
            requireLength(generation, checksums);
            newest = requireHeader(generation, checksums);
        }
        if (newest.generation() > 0) {
            requireInside(newest, lengths);
        }
        return newest;
    }

    private void requireInside(Header newest, Map<BuildId, Long> lengths) throws Damage {
        for (Entry entry : newest.entries()) {
            Long length = lengths.get(entry.build());
            boolean elsewhere = entry.build().isZeroFill() || entry.build().equals(newest.base());
            if (!elsewhere && (length == null || entry.storage() + entry.length() > length)) {
                throw new Damage("the header of generation " + newest.build() + " names pages of " + entry.build()
                        + " that are not there");
            }
        }
    }

    Checksums checksums(Manifest.Generation generation) throws IOException, Damage {
        byte[] encoded = readFile(generation.build(), Draft.CHECKSUMS);
        try {
            if (Checksums.of(ByteBuffer.wrap(encoded)) != generation.checksum()) {
                throw new Damage("was altered");
            }
            return Checksums.decode(encoded);
        } catch (Damage e) {
            throw of(generation.build(), Draft.CHECKSUMS, e);
        }
    }

    /** Without looking at what it says. */
    void requireHeaderBytes(Manifest.Generation generation, Checksums checksums) throws IOException, Damage {
        byte[] encoded = readFile(generation.build(), Draft.HEADER);
        try {
            checksums.requireHeader(encoded);
        } catch (Damage e) {
            throw of(generation.build(), Draft.HEADER, e);
        }
    }

    Header requireHeader(Manifest.Generation generation, Checksums checksums) throws IOException, Damage {
        byte[] encoded = readFile(generation.build(), Draft.HEADER);
        try {
            checksums.requireHeader(encoded);
            Header decoded = Header.decode(encoded);
            if (!decoded.build().equals(generation.build())
                    || !decoded.base().equals(base.header().build())
                    || decoded.memoryBytes() != base.header().memoryBytes()) {
                throw new Damage("is that of another memory");
            }
            return decoded;
        } catch (MalformedHeader e) {
            throw of(generation.build(), Draft.HEADER, new Damage("is malformed: " + e.getMessage()));
        } catch (Damage e) {
            throw of(generation.build(), Draft.HEADER, e);
        }
    }

    private void requireLength(Manifest.Generation generation, Checksums checksums) throws IOException, Damage {
        Path diff = file(generation.build(), Draft.DIFF);
        if (!Files.isRegularFile(diff)) {
            throw of(generation.build(), Draft.DIFF, new Damage("is missing"));
        }
        try {
            checksums.requireDiffLength(Files.size(diff));
        } catch (Damage e) {
            throw of(generation.build(), Draft.DIFF, e);
        }
    }

    static void requirePages(BuildId build, Checksums checksums, long storage, ByteBuffer pages) throws Damage {
        try {
            checksums.requirePages(storage, pages);
        } catch (Damage e) {
            throw of(build, Draft.DIFF, e);
        }
    }

    /** It has its length; its content is checked as it is read. */
    FileChannel openDiff(BuildId build, Checksums checksums) throws IOException, Damage {
        try {
            FileChannel diff = FileChannel.open(file(build, Draft.DIFF), StandardOpenOption.READ);
            try {
                checksums.requireDiffLength(diff.size());
                return diff;
            } catch (Damage e) {
                diff.close();
                throw e;
            }
        } catch (NoSuchFileException e) {
            throw of(build, Draft.DIFF, new Damage("is missing"));
        } catch (Damage e) {
            throw of(build, Draft.DIFF, e);
        }
    }

    Path requireAttachment(BuildId build, Manifest.Attachment attachment) throws IOException, Damage {
        Path path = file(build, attachment.name());
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.READ)) {
            if (file.size() != attachment.bytes()
                    || Draft.checksumOf(file, attachment.bytes()) != attachment.checksum()) {
                throw of(build, attachment.name(), new Damage("was altered"));
            }
            return path;
        } catch (NoSuchFileException e) {
            throw of(build, attachment.name(), new Damage("is missing"));
        }
    }

    private byte[] readFile(BuildId build, String name) throws IOException, Damage {
        try {
            return Files.readAllBytes(file(build, name));
        } catch (NoSuchFileException e) {
            throw of(build, name, new Damage("is missing"));
        }
    }

    Path file(BuildId build, String name) {
        return directory.resolve(build.toString()).resolve(name);
    }

    private static Damage of(BuildId build, String file, Damage damage) {
        return new Damage("the file " + file + " of generation " + build + " " + damage.what());
    }
}
