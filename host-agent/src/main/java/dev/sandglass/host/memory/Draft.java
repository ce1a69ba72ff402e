package dev.sandglass.host.memory;

import dev.sandglass.contract.Scope;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A generation in the making, in a temporary directory: its pages, by {@link #save} or {@link #append}, and whatever
 * files the caller puts beside them, such as the device state, which become the store's attachments. Nothing counts
 * before {@link #commit}; closing removes what was not committed. One thread.
 */
public final class Draft implements AutoCloseable {
    static final String HEADER = "header";
    static final String DIFF = "diff";
    static final String CHECKSUMS = "checksums";

    /** An attachment is read in one piece. */
    private static final long ATTACHMENT_BYTES_MAX = 64 << 20;

    private static final Logger LOG = LoggerFactory.getLogger(Draft.class);

    private final GenerationStore store;
    private final Header parent;
    private final BuildId build;
    private final Path directory;
    private final DiffWriter.Cache cache;
    private DiffWriter diff;
    private List<Entry> reverted = List.of();
    private boolean replacesAll;
    private boolean committed;
    private boolean closed;

    /**
     * What a save found.
     *
     * @param compared private pages looked at
     * @param changed those that differed from what the generations hold
     * @param reverted pages that went back to the base's content
     * @param bytes of data written
     */
    public record Saved(long compared, long changed, long reverted, long bytes) {}

    Draft(GenerationStore store, Header parent, BuildId build, Path directory, DiffWriter.Cache cache)
            throws IOException {
        this.store = store;
        this.parent = parent;
        this.build = build;
        this.directory = directory;
        this.cache = cache;
        this.diff = newDiff();
    }

    private DiffWriter newDiff() throws IOException {
        return new DiffWriter(directory.resolve(DIFF), build, parent.memoryBytes(), cache);
    }

    public BuildId build() {
        return build;
    }

    /** Where attachments go: regular files with names of lower-case letters, digits, dots and hyphens. */
    public Path directory() {
        return directory;
    }

    Header parent() {
        return parent;
    }

    /**
     * Writes everything of a stopped guest's memory that the generations do not hold yet. Where they turn out to be
     * damaged, it is written in full and takes their place: the guest has all of it.
     *
     * @param memory must be as it is until this returns
     */
    public Saved save(PrivateMemory memory) {
        if (memory.bytes() != parent.memoryBytes()) {
            throw new IllegalArgumentException(
                    "a guest of " + memory.bytes() + " bytes on a base of " + parent.memoryBytes());
        }
        try {
            BitSet pages = memory.privatePages();
            try (MemoryImage held = store.soundImage(parent)) {
                return save(memory, pages, held);
            } catch (Damage e) {
                LOG.warn("Saving memory in full, since what {} holds is damaged: {}", directory.getParent(), e.what());
            }
            try (MemoryImage base = store.baseImage()) {
                startAnew();
                return save(memory, pages, base);
            }
        } catch (Damage e) {
            throw new IllegalStateException("a base has no checksums", e);
        } catch (IOException | LinuxException e) {
            throw GenerationStore.failed("save the sandbox's memory", e);
        }
    }

    private Saved save(PrivateMemory memory, BitSet pages, MemoryImage held) throws IOException, Damage {
        long[] changed = new long[1];
        Comparison.changedPages(memory, pages, held, (page, content) -> {
            diff.append(page, content);
            changed[0]++;
        });
        reverted = Comparison.reverted(pages, held.header(), held.baseHeader());
        long revertedBytes = reverted.stream().mapToLong(Entry::length).sum();
        return new Saved(pages.cardinality(), changed[0], revertedBytes / Header.BLOCK_BYTES, diff.bytes());
    }

    private void startAnew() throws IOException {
        diff.close();
        Files.deleteIfExists(directory.resolve(DIFF));
        diff = newDiff();
        replacesAll = true;
    }

    /**
     * A page that changed, whatever it was before. In ascending order.
     *
     * @param page its number in the guest
     * @param content 4096 bytes; consumed
     */
    public void append(long page, ByteBuffer content) {
        try {
            diff.append(page, content);
        } catch (LinuxException e) {
            throw GenerationStore.failed("save the sandbox's memory", e);
        }
    }

    /**
     * Makes this the store's newest generation, durably. When it throws, the store has it or does not, whole either way,
     * and knows which.
     */
    public void commit() {
        if (committed || closed) {
            throw new IllegalStateException("committed or closed before");
        }
        committed = true;
        finishDiff();
        store.commit(this);
    }

    void finishDiff() {
        try {
            diff.flush();
        } catch (LinuxException e) {
            throw GenerationStore.failed("save the sandbox's memory", e);
        }
        store.reached(StoreStep.DIFF_WRITTEN);
    }

    /**
     * The header on top of {@code current}, which has the content that this draft was compared with, unless that was
     * {@code base} alone.
     */
    Header headerOn(Header current, Header base) {
        List<Entry> below = replacesAll ? base.entries() : Entries.overlay(current.entries(), reverted);
        List<Entry> entries = Entries.overlay(below, diff.entries());
        return new Header(current.memoryBytes(), current.generation() + 1, build, current.base(), entries);
    }

    /** The header that says the same as {@code current} with the copies that are in this draft. */
    Header headerInsteadOf(Header current) {
        return new Header(
                current.memoryBytes(),
                current.generation(),
                build,
                current.base(),
                Entries.overlay(current.entries(), diff.entries()));
    }

    /** All its files are there, not yet on disk. */
    Manifest.Generation seal(Header header) throws IOException {
        byte[] encoded = header.encode();
        Files.write(directory.resolve(HEADER), encoded, StandardOpenOption.CREATE_NEW);
        store.reached(StoreStep.HEADER_WRITTEN);
        byte[] checksums = Checksums.of(encoded, diff.bytes(), diff.blocks()).encode();
        Files.write(directory.resolve(CHECKSUMS), checksums, StandardOpenOption.CREATE_NEW);
        store.reached(StoreStep.CHECKSUMS_WRITTEN);
        return new Manifest.Generation(build, Checksums.of(ByteBuffer.wrap(checksums)));
    }

    List<Manifest.Attachment> attachments() throws IOException {
        List<Manifest.Attachment> attachments = new ArrayList<>();
        try (var files = Files.newDirectoryStream(directory)) {
            for (Path file : files) {
                String name = String.valueOf(file.getFileName());
                if (name.equals(HEADER) || name.equals(DIFF) || name.equals(CHECKSUMS)) {
                    continue;
                }
                if (!Manifest.isAttachmentName(name) || !Files.isRegularFile(file)) {
                    throw new IllegalStateException("cannot be an attachment: " + name);
                }
                attachments.add(attachment(name, file));
            }
        }
        return attachments;
    }

    private static Manifest.Attachment attachment(String name, Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            return new Manifest.Attachment(name, channel.size(), checksumOf(channel, channel.size()));
        }
    }

    /**
     * Files, names and {@code others} are on disk afterwards. All writing is begun before anything is waited for: one
     * commit of the file system's journal then serves for all.
     */
    void sync(List<Manifest.Attachment> attachments, List<Path> others) {
        List<Path> paths = new ArrayList<>(List.of(directory.resolve(HEADER), directory.resolve(CHECKSUMS)));
        attachments.forEach(attachment -> paths.add(directory.resolve(attachment.name())));
        paths.addAll(others);
        try (Scope opened = Scope.open("sync a generation")) {
            List<FileDescriptor> files = new ArrayList<>();
            for (Path path : paths) {
                FileDescriptor file = opened.own(Linux.open(path, Linux.O_RDONLY, 0));
                Linux.startWriteback(file);
                files.add(file);
            }
            diff.sync();
            files.forEach(Linux::fsync);
        }
        Linux.fsyncDirectory(directory);
    }

    static int checksumOf(FileChannel file, long bytes) throws IOException {
        if (bytes > ATTACHMENT_BYTES_MAX) {
            throw new IOException("an attachment has " + bytes + " of at most " + ATTACHMENT_BYTES_MAX + " bytes");
        }
        ByteBuffer content = ByteBuffer.allocate((int) bytes);
        Channels.read(file, 0, content);
        return Checksums.of(content.flip());
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        try {
            try {
                diff.close();
            } finally {
                store.abandon(this);
            }
        } catch (IOException e) {
            throw GenerationStore.failed("give an unfinished generation up", e);
        }
    }
}
