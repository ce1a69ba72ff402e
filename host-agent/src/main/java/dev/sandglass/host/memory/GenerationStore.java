package dev.sandglass.host.memory;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.DurableFile;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import dev.sandglass.host.linux.Scope;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The generations of one guest's memory in a directory of its own:
 *
 * <pre>
 * manifest                                  which of the others count; replaced by rename, so always old or new
 * UUID/{header,diff,checksums}              one generation; the newest also has the attachments
 * .draft-UUID/                              one in the making
 * </pre>
 *
 * What no manifest names is removed when the store is opened, so a process may end at any moment. A generation that no
 * page of the newest header comes from any more is dropped. Thread-safe; one store at a time per directory.
 */
public final class GenerationStore {
    /** So many generations should become one, in the background. */
    public static final int MERGE_AFTER = 8;

    /** At so many a new draft waits for the merge: each one is an open file and a piece of every comparison. */
    private static final int GENERATIONS_MAX = 32;

    private static final String MANIFEST = "manifest";
    private static final String DRAFT_PREFIX = ".draft-";

    private static final FileAttribute<Set<PosixFilePermission>> ROOT_ONLY =
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));

    private static final Logger LOG = LoggerFactory.getLogger(GenerationStore.class);

    private final Path directory;
    private final Base base;
    private final GenerationFiles files;
    private final StoreStep.Observer observer;

    @GuardedBy("this")
    private Manifest manifest;

    @GuardedBy("this")
    private Header header;

    private GenerationStore(Path directory, Base base, StoreStep.Observer observer, Manifest manifest)
            throws IOException, Damage {
        this.directory = directory;
        this.base = base;
        this.files = new GenerationFiles(directory, base);
        this.observer = observer;
        this.manifest = manifest;
        this.header = files.newestHeader(manifest);
    }

    /** As {@link #open(Path, Base, StoreStep.Observer)}, unobserved. */
    public static GenerationStore open(Path directory, Base base) {
        return open(directory, base, StoreStep.Observer.NONE);
    }

    /**
     * Makes the directory if there is none, removes what an earlier process left unfinished, and checks that every file
     * is there with its length; contents are checked by {@link #verifiedImage} and {@link #requireIntact}.
     *
     * @throws PlatformException if a generation is damaged, naming it; nothing is removed then
     */
    public static GenerationStore open(Path directory, Base base, StoreStep.Observer observer) {
        try {
            Files.createDirectories(directory, ROOT_ONLY);
            GenerationStore store = new GenerationStore(directory, base, observer, readOrBegin(directory, base));
            store.removeLeftovers();
            return store;
        } catch (Damage e) {
            throw damaged(directory, e);
        } catch (IOException e) {
            throw failed("open the sandbox's saved memory", e);
        }
    }

    private static Manifest readOrBegin(Path directory, Base base) throws IOException, Damage {
        Path file = directory.resolve(MANIFEST);
        if (Files.exists(file)) {
            return readManifest(file, base);
        }
        for (String name : namesIn(directory)) {
            if (isBuild(name)) {
                throw new Damage("its manifest is missing");
            }
        }
        Manifest manifest = Manifest.empty(base);
        DurableFile.write(file, manifest.encode());
        return manifest;
    }

    private static Manifest readManifest(Path file, Base base) throws IOException, Damage {
        Manifest manifest;
        try {
            manifest = Manifest.decode(Files.readAllBytes(file));
        } catch (Damage e) {
            throw new Damage("its manifest " + e.what());
        }
        if (!manifest.base().equals(base.header().build())
                || manifest.memoryBytes() != base.header().memoryBytes()) {
            throw new Damage("it builds on " + manifest.base() + " of " + manifest.memoryBytes() + " bytes, not on "
                    + base.header().build() + " of " + base.header().memoryBytes());
        }
        return manifest;
    }

    /** Of the newest generation, or of the base. */
    public synchronized Header header() {
        return header;
    }

    /** Oldest first; those that pages come from. */
    public synchronized List<BuildId> generations() {
        return manifest.generations().stream().map(Manifest.Generation::build).toList();
    }

    public synchronized boolean mergeDue() {
        return manifest.generations().size() >= MERGE_AFTER;
    }

    /** Begins the next generation. */
    public Draft begin() {
        synchronized (this) {
            if (manifest.generations().size() >= GENERATIONS_MAX) {
                merge();
            }
            return draftOn(header, DiffWriter.Cache.AVOID);
        }
    }

    private Draft draftOn(Header parent, DiffWriter.Cache cache) {
        BuildId build = BuildId.random();
        Path draft = directory.resolve(DRAFT_PREFIX + build);
        try (Scope scope = Scope.open("begin a generation")) {
            Files.createDirectory(draft, ROOT_ONLY);
            scope.defer("draft", () -> removeTree(draft));
            Draft begun = new Draft(this, parent, build, draft, cache);
            reached(StoreStep.DRAFT_MADE);
            scope.handOver();
            return begun;
        } catch (IOException | LinuxException e) {
            throw failed("begin to save the sandbox's memory", e);
        }
    }

    /** The newest content, unchecked: for comparisons, where a wrong byte only makes a page count as changed. */
    public synchronized MemoryImage image() {
        return image(header);
    }

    /** @param wanted this store's newest header, or one that says the same about the same memory */
    synchronized MemoryImage image(Header wanted) {
        if (wanted.generation() != header.generation()) {
            throw new IllegalStateException("generation " + wanted.generation() + " is not the newest any more");
        }
        Map<BuildId, Path> diffs = new HashMap<>();
        for (Manifest.Generation generation : manifest.generations()) {
            diffs.put(generation.build(), files.file(generation.build(), Draft.DIFF));
        }
        try {
            return MemoryImage.open(header, base, diffs);
        } catch (NoSuchFileException e) {
            throw damaged(directory, new Damage("a file of it is missing: " + nameOf(e)));
        } catch (IOException e) {
            throw failed("open the sandbox's saved memory", e);
        }
    }

    /** The last two names: which generation's which file; of the base, not more than that. */
    private static String nameOf(NoSuchFileException e) {
        Path path = Path.of(e.getFile());
        return path.getNameCount() < 2
                ? e.getFile()
                : path.subpath(path.getNameCount() - 2, path.getNameCount()).toString();
    }

    /**
     * The newest content after every byte of the generations was read and found right; the base is its owner's to check.
     *
     * @throws PlatformException that names what is damaged
     */
    public MemoryImage verifiedImage() {
        Map<BuildId, Checksums> checksums = new HashMap<>();
        MemoryImage image;
        synchronized (this) {
            try {
                requireAttachments();
                for (Manifest.Generation generation : manifest.generations()) {
                    Checksums of = files.checksums(generation);
                    files.requireHeader(generation, of);
                    checksums.put(generation.build(), of);
                }
            } catch (Damage e) {
                throw damaged(directory, e);
            } catch (IOException e) {
                throw failed("read the sandbox's saved memory", e);
            }
            image = image(header);
        }
        try (Scope scope = Scope.open("verify generations")) {
            scope.own(image);
            for (var entry : checksums.entrySet()) {
                GenerationFiles.requireDiff(entry.getKey(), entry.getValue(), image.file(entry.getKey()));
            }
            scope.handOver();
            return image;
        } catch (Damage e) {
            throw damaged(directory, e);
        } catch (IOException e) {
            throw failed("read the sandbox's saved memory", e);
        }
    }

    /** As {@link #verifiedImage}, for its errors only. */
    public void requireIntact() {
        verifiedImage().close();
    }

    /** A file that came with the newest generation, checked; empty set of generations: none. */
    public synchronized Path requireAttachment(String name) {
        try {
            for (Manifest.Attachment attachment : manifest.attachments()) {
                if (attachment.name().equals(name)) {
                    return files.requireAttachment(header.build(), attachment);
                }
            }
            throw new Damage("it has no file " + name);
        } catch (Damage e) {
            throw damaged(directory, e);
        } catch (IOException e) {
            throw failed("read the sandbox's saved state", e);
        }
    }

    /** What all of it takes on disk, in allocated blocks. */
    public synchronized long allocatedBytes() {
        try (var paths = Files.walk(directory)) {
            return paths.mapToLong(path -> Linux.statx(path).allocatedBytes()).sum();
        } catch (IOException e) {
            throw failed("measure the sandbox's saved memory", e);
        }
    }

    /**
     * The newest content, attachments included, as a store of its own at another place, durably: both share files by
     * hard links, and neither notices what becomes of the other. After a failure nothing is there. Not checked for
     * damage, which both have then.
     *
     * @param newDirectory on the same file system; does not exist, its parent does
     */
    public synchronized void linkTo(Path newDirectory) {
        Path parent = newDirectory.toAbsolutePath().getParent();
        if (parent == null) {
            throw new IllegalArgumentException("not a directory to be made: " + newDirectory);
        }
        try (Scope scope = Scope.open("link generations")) {
            Files.createDirectory(newDirectory, ROOT_ONLY);
            scope.defer("new store", () -> removeTree(newDirectory));
            for (Manifest.Generation generation : manifest.generations()) {
                link(generation.build(), newDirectory.resolve(generation.build().toString()));
            }
            Linux.fsyncDirectory(newDirectory);
            reached(StoreStep.LINKS_MADE);
            DurableFile.write(newDirectory.resolve(MANIFEST), manifest.encode());
            Linux.fsyncDirectory(parent);
            reached(StoreStep.LINKS_COMMITTED);
            scope.handOver();
        } catch (IOException | UncheckedIOException | LinuxException e) {
            throw failed("keep the sandbox's saved memory as a snapshot", e);
        }
    }

    @GuardedBy("this")
    private void link(BuildId build, Path to) throws IOException {
        Files.createDirectory(to, ROOT_ONLY);
        for (String name : filesOf(build)) {
            Files.createLink(to.resolve(name), files.file(build, name));
        }
        Linux.fsyncDirectory(to);
    }

    /** Names of what belongs to a generation. */
    @GuardedBy("this")
    private Set<String> filesOf(BuildId build) {
        Set<String> names = new HashSet<>(Set.of(Draft.HEADER, Draft.DIFF, Draft.CHECKSUMS));
        if (build.equals(header.build())) {
            manifest.attachments().forEach(attachment -> names.add(attachment.name()));
        }
        return names;
    }

    /**
     * Copies all generations into one with the same content; the files' contents are checked on the way, so that damage
     * is not given a new checksum. Meant for the background: saving goes on meanwhile, and if a generation was committed
     * before this was done, nothing is changed.
     *
     * @return whether the generations are one now
     */
    public boolean merge() {
        if (generations().size() < 2) {
            return true;
        }
        try (MemoryImage image = verifiedImage();
                Draft draft = draftOn(image.header(), DiffWriter.Cache.KEEP)) {
            copyPages(image, draft);
            draft.finishDiff();
            return replace(draft);
        }
    }

    private static void copyPages(MemoryImage image, Draft draft) {
        ByteBuffer buffer = Channels.buffer(image.header().memoryBytes());
        for (Entry entry : image.header().entries()) {
            if (entry.build().isZeroFill()
                    || entry.build().equals(image.header().base())) {
                continue;
            }
            for (long at = entry.offset(); at < entry.end(); at += Channels.BUFFER_BYTES) {
                buffer.clear().limit((int) Math.min(Channels.BUFFER_BYTES, entry.end() - at));
                try {
                    image.read(at, buffer);
                } catch (IOException e) {
                    throw failed("merge the sandbox's saved memory", e);
                }
                buffer.flip();
                for (int page = 0; page < buffer.limit(); page += Header.BLOCK_BYTES) {
                    draft.append((at + page) / Header.BLOCK_BYTES, buffer.slice(page, Header.BLOCK_BYTES));
                }
            }
        }
    }

    private synchronized boolean replace(Draft draft) {
        if (!draft.parent().build().equals(header.build())) {
            LOG.info("A generation was added during a merge, which is given up");
            return false;
        }
        try {
            for (Manifest.Attachment attachment : manifest.attachments()) {
                Files.copy(
                        files.file(header.build(), attachment.name()),
                        draft.directory().resolve(attachment.name()));
            }
        } catch (IOException e) {
            throw failed("merge the sandbox's saved memory", e);
        }
        switchTo(draft, draft.headerInsteadOf(header));
        return true;
    }

    synchronized void commit(Draft draft) {
        if (draft.parent().generation() != header.generation()) {
            throw new IllegalStateException("generation " + header.generation() + " was committed meanwhile");
        }
        switchTo(draft, draft.headerOn(header));
    }

    @GuardedBy("this")
    private void switchTo(Draft draft, Header next) {
        Manifest old = manifest;
        try {
            Manifest.Generation sealed = draft.seal(next);
            List<Manifest.Attachment> attachments = draft.syncAttachments();
            Files.move(draft.directory(), directory.resolve(draft.build().toString()), StandardCopyOption.ATOMIC_MOVE);
            Linux.fsyncDirectory(directory);
            reached(StoreStep.DRAFT_RENAMED);
            List<Manifest.Generation> generations = new ArrayList<>(needed(next, old.generations()));
            generations.add(sealed);
            write(new Manifest(old.base(), old.memoryBytes(), generations, attachments), next);
        } catch (IOException | UncheckedIOException | LinuxException e) {
            throw failed("save the sandbox's memory", e);
        }
        reached(StoreStep.MANIFEST_SWITCHED);
        removeDropped(old);
        reached(StoreStep.LEFTOVERS_REMOVED);
    }

    /** Those that a page still comes from. */
    private static List<Manifest.Generation> needed(Header header, List<Manifest.Generation> generations) {
        Set<BuildId> builds = new HashSet<>();
        header.entries().forEach(entry -> builds.add(entry.build()));
        return generations.stream()
                .filter(generation -> builds.contains(generation.build()))
                .toList();
    }

    @GuardedBy("this")
    private void write(Manifest next, Header nextHeader) {
        try {
            DurableFile.write(directory.resolve(MANIFEST), next.encode());
        } catch (RuntimeException e) {
            if (!isOnDisk(next)) {
                throw e;
            }
            // Renamed, and only then something failed: it counts, perhaps not durably.
            manifest = next;
            header = nextHeader;
            throw e;
        }
        manifest = next;
        header = nextHeader;
    }

    private boolean isOnDisk(Manifest wanted) {
        try {
            return readManifest(directory.resolve(MANIFEST), base).equals(wanted);
        } catch (IOException | Damage e) {
            return true; // not known: keep the files
        }
    }

    /** What the store before needed and this one does not. Failing to is no failure: the next opening does it. */
    @GuardedBy("this")
    private void removeDropped(Manifest old) {
        try {
            for (Manifest.Generation generation : old.generations()) {
                if (!manifest.names(generation.build())) {
                    removeTree(directory.resolve(generation.build().toString()));
                }
            }
            if (!old.generations().isEmpty()) {
                removeAttachments(old.generations().getLast().build(), old.attachments());
            }
        } catch (IOException e) {
            LOG.warn("Leftovers in {} remain until it is opened again", directory, e);
        }
    }

    private void removeAttachments(BuildId build, List<Manifest.Attachment> attachments) throws IOException {
        for (Manifest.Attachment attachment : attachments) {
            Files.deleteIfExists(files.file(build, attachment.name()));
        }
    }

    /** Of a draft that was not committed. */
    synchronized void abandon(Draft draft) throws IOException {
        removeTree(draft.directory());
        if (!manifest.names(draft.build())) {
            removeTree(directory.resolve(draft.build().toString()));
        }
    }

    private synchronized void removeLeftovers() throws IOException {
        for (String name : namesIn(directory)) {
            Path path = directory.resolve(name);
            if (name.startsWith(DRAFT_PREFIX) || (isBuild(name) && !manifest.names(BuildId.parse(name)))) {
                LOG.info("Removing {}, which was not finished or is not needed any more", path);
                removeTree(path);
            } else if (name.startsWith("." + MANIFEST + ".")) {
                Files.deleteIfExists(path);
            } else if (isBuild(name)) {
                removeStrangers(BuildId.parse(name));
            }
        }
    }

    @GuardedBy("this")
    private void removeStrangers(BuildId build) throws IOException {
        Set<String> known = filesOf(build);
        for (String name : namesIn(directory.resolve(build.toString()))) {
            if (!known.contains(name)) {
                Files.deleteIfExists(files.file(build, name));
            }
        }
    }

    /** All of a guest's generations, sound or not. Idempotent; nobody may have the store open. */
    public static void remove(Path directory) {
        try {
            removeTree(directory);
        } catch (IOException e) {
            throw failed("remove the sandbox's saved memory", e);
        }
    }

    void reached(StoreStep step) {
        observer.reached(step);
    }

    @GuardedBy("this")
    private void requireAttachments() throws IOException, Damage {
        for (Manifest.Attachment attachment : manifest.attachments()) {
            files.requireAttachment(header.build(), attachment);
        }
    }

    private static boolean isBuild(String name) {
        try {
            return BuildId.parse(name).toString().equals(name);
        } catch (IllegalArgumentException e) {
            return false;
        }
    }

    private static List<String> namesIn(Path directory) throws IOException {
        try (var entries = Files.list(directory)) {
            return entries.map(path -> String.valueOf(path.getFileName())).toList();
        }
    }

    private static void removeTree(Path tree) throws IOException {
        if (!Files.exists(tree)) {
            return;
        }
        try (var paths = Files.walk(tree)) {
            for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(path);
            }
        }
    }

    private static PlatformException damaged(Path directory, Damage damage) {
        LOG.error("The memory in {} is damaged: {}", directory, damage.what());
        return new PlatformException(
                ErrorCode.INTERNAL_ERROR,
                "The sandbox's saved memory is damaged: " + damage.what()
                        + ". Restore that file, or resume with \"cold\": true, which boots from the disk without it.");
    }

    /** The exception for a failure of the host's file system or of a process while {@code what} was done. */
    static RuntimeException failed(String what, Exception cause) {
        for (Throwable at = cause; at != null; at = at.getCause()) {
            String message = String.valueOf(at.getMessage());
            if (message.contains("No space left on device") || message.contains("Disk quota exceeded")) {
                return new PlatformException(
                        ErrorCode.DISK_FULL,
                        "The host's disk is full: could not " + what + ". Free some space and try again.",
                        cause);
            }
        }
        return new IllegalStateException(what, cause);
    }
}
