package dev.sandglass.host.memory;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Scope;
import dev.sandglass.host.linux.DurableFile;
import dev.sandglass.host.linux.Errno;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.FileStatus;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
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
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The generations of one guest's memory in a directory of its own:
 *
 * <pre>
 * manifest                                  which of the others count; replaced by rename, so always old or new
 * UUID/{header,diff,checksums}              one generation; the newest also has the attachments
 * </pre>
 *
 * A generation counts when the manifest names it. What no manifest names is removed when the store is opened, so a
 * process may end at any moment. A generation that no page of the newest header comes from any more is dropped. Files
 * are never changed once they count, so others may share them by hard links. Thread-safe; one store at a time per
 * directory.
 *
 * <p>A damaged store says so to everybody who wants what it holds; only what is saved next from a live guest replaces
 * it.
 */
public final class GenerationStore {
    /** So many generations should become one, in the background. */
    public static final int MERGE_AFTER = 8;

    /** At so many a new draft waits for the merge: each one is an open file and a piece of every comparison. */
    private static final int GENERATIONS_MAX = 32;

    private static final String MANIFEST = "manifest";
    private static final String NEW_MANIFEST = "." + MANIFEST + ".new";

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

    @GuardedBy("this")
    private @Nullable Damage damage;

    @GuardedBy("this")
    private final Map<BuildId, Sound> sound = new HashMap<>();

    private GenerationStore(Path directory, Base base, StoreStep.Observer observer) throws IOException {
        this.directory = directory;
        this.base = base;
        this.files = new GenerationFiles(directory, base);
        this.observer = observer;
        this.manifest = Manifest.empty(base);
        this.header = base.header();
        try {
            Manifest found = readOrBegin(directory, base);
            this.header = files.newestHeader(found);
            this.manifest = found;
        } catch (Damage e) {
            LOG.error("The memory in {} is damaged: {}", directory, e.what());
            this.damage = e;
        }
    }

    /** As {@link #open(Path, Base, StoreStep.Observer)}, unobserved. */
    public static GenerationStore open(Path directory, Base base) {
        return open(directory, base, StoreStep.Observer.NONE);
    }

    /**
     * Makes the directory if there is none, removes what an earlier process left unfinished, and checks that every file
     * is there with its length; pages are checked when they are read. If something is damaged, nothing is removed, and
     * whoever asks for any of it gets an exception that names it.
     */
    public static GenerationStore open(Path directory, Base base, StoreStep.Observer observer) {
        try {
            Files.createDirectories(directory, ROOT_ONLY);
            GenerationStore store = new GenerationStore(directory, base, observer);
            store.removeLeftovers();
            return store;
        } catch (IOException | UncheckedIOException e) {
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
        } catch (Damage.OtherFormat other) {
            throw other;
        } catch (Damage e) {
            throw new Damage("its manifest " + e.what());
        }
        if (!manifest.base().equals(base.header().build())
                || manifest.memoryBytes() != base.header().memoryBytes()) {
            throw new IllegalArgumentException("the generations build on " + manifest.base() + " of "
                    + manifest.memoryBytes() + " bytes, not on " + base.header().build() + " of "
                    + base.header().memoryBytes());
        }
        return manifest;
    }

    /** Of the newest generation, or of the base. */
    public synchronized Header header() {
        requireUndamaged();
        return header;
    }

    @GuardedBy("this")
    private void requireUndamaged() {
        if (damage != null) {
            throw damaged(directory, damage);
        }
    }

    /** Oldest first; those that pages come from. */
    public synchronized List<BuildId> generations() {
        requireUndamaged();
        return manifest.generations().stream().map(Manifest.Generation::build).toList();
    }

    public synchronized boolean mergeDue() {
        return manifest.generations().size() >= MERGE_AFTER;
    }

    /** Begins the next generation. */
    public Draft begin() {
        if (crowded()) {
            mergeBeforeSaving();
        }
        synchronized (this) {
            if (damage != null) {
                LOG.warn("What is saved next replaces the damaged memory in {}: {}", directory, damage.what());
            }
            return draftOn(header, DiffWriter.Cache.AVOID);
        }
    }

    private synchronized boolean crowded() {
        return manifest.generations().size() >= GENERATIONS_MAX;
    }

    /** If it cannot be done, saving finds out why, or goes on with one generation more. */
    private void mergeBeforeSaving() {
        try {
            merge();
        } catch (PlatformException e) {
            LOG.warn("Could not merge the generations in {} before the next one", directory, e);
        }
    }

    private Draft draftOn(Header parent, DiffWriter.Cache cache) {
        BuildId build = BuildId.random();
        Path draft = directory.resolve(build.toString());
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

    /**
     * The newest content. Small files and lengths are checked here; {@link MemoryImage#restore} checks every page that it
     * writes.
     *
     * @throws PlatformException that names what is damaged
     */
    public synchronized MemoryImage image() {
        requireUndamaged();
        try {
            for (Manifest.Attachment attachment : manifest.attachments()) {
                files.requireAttachment(header.build(), attachment);
            }
            startReadahead();
            return heldImage();
        } catch (Damage e) {
            throw damaged(directory, e);
        } catch (IOException e) {
            throw failed("read the sandbox's saved memory", e);
        }
    }

    /** A diff as it was when all that it holds of this memory was found right, by reading it or by writing it. */
    private record Sound(long inode, long bytes, long modifiedNanos) {
        static Sound of(Path diff) throws Damage {
            try {
                FileStatus status = Linux.statx(diff);
                return new Sound(status.inode(), status.size(), status.modifiedNanos());
            } catch (LinuxException e) {
                throw new Damage("a file of it is missing: " + diff.getFileName());
            }
        }
    }

    /** Until the pages are asked for, a VMM has to start: the disk can be busy meanwhile. */
    @GuardedBy("this")
    private void startReadahead() {
        for (Manifest.Generation generation : manifest.generations()) {
            try (FileDescriptor diff = Linux.open(files.file(generation.build(), Draft.DIFF), Linux.O_RDONLY, 0)) {
                Linux.startReadahead(diff);
            } catch (LinuxException e) {
                LOG.debug("No reading ahead", e); // what is wrong with it is found and told by who reads it
            }
        }
    }

    @GuardedBy("this")
    private MemoryImage heldImage() throws IOException, Damage {
        Map<BuildId, Checksums> checksums = new HashMap<>();
        Map<BuildId, Sound> found = new HashMap<>();
        for (Manifest.Generation generation : manifest.generations()) {
            Checksums of = files.checksums(generation);
            files.requireHeaderBytes(generation, of);
            checksums.put(generation.build(), of);
            found.put(generation.build(), Sound.of(files.file(generation.build(), Draft.DIFF)));
        }
        return MemoryImage.open(header, files, checksums, () -> remember(found));
    }

    private synchronized void remember(Map<BuildId, Sound> found) {
        sound.putAll(found);
    }

    /**
     * What is held, to be built upon: unless it was read or written by us and has been left alone since, all of it is
     * read.
     *
     * @param wanted this store's newest header, or one that says the same about the same memory
     */
    MemoryImage soundImage(Header wanted) throws IOException, Damage {
        try (Scope scope = Scope.open("check generations")) {
            MemoryImage image;
            boolean known;
            synchronized (this) {
                if (wanted.generation() != header.generation()) {
                    throw new IllegalStateException(
                            "generation " + wanted.generation() + " is not the newest any more");
                }
                image = scope.own(heldImage());
                known = soundAsBefore();
            }
            if (!known) {
                requireReadable(image);
            }
            scope.handOver();
            return image;
        }
    }

    @GuardedBy("this")
    private boolean soundAsBefore() throws Damage {
        for (Manifest.Generation generation : manifest.generations()) {
            if (!Sound.of(files.file(generation.build(), Draft.DIFF)).equals(sound.get(generation.build()))) {
                return false;
            }
        }
        return true;
    }

    /** A file that cannot be read is worth no more than one with something else in it. */
    private static void requireReadable(MemoryImage image) throws Damage {
        try {
            image.requireIntact();
        } catch (IOException e) {
            throw new Damage("a file of it cannot be read: " + e.getMessage());
        }
    }

    MemoryImage baseImage() throws IOException, Damage {
        return MemoryImage.open(base.header(), files, Map.of(), () -> {});
    }

    /**
     * As {@link #image}, after every page was read and found right; the base is its owner's to check.
     *
     * @throws PlatformException that names what is damaged
     */
    public MemoryImage verifiedImage() {
        try (Scope scope = Scope.open("verify generations")) {
            MemoryImage image = scope.own(image());
            image.requireIntact();
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
        requireUndamaged();
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

    /** What it takes on disk, in allocated blocks; what is linked elsewhere as well counts in full. */
    public synchronized long allocatedBytes() {
        long bytes = allocatedBytes(directory) + allocatedBytes(directory.resolve(MANIFEST));
        for (Manifest.Generation generation : manifest.generations()) {
            bytes += allocatedBytes(directory.resolve(generation.build().toString()));
            for (String name : filesOf(generation.build())) {
                bytes += allocatedBytes(files.file(generation.build(), name));
            }
        }
        return bytes;
    }

    private static long allocatedBytes(Path path) {
        try {
            return Linux.statx(path).allocatedBytes();
        } catch (LinuxException e) {
            if (e.errno() == Errno.ENOENT) {
                return 0;
            }
            throw e;
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
        requireUndamaged();
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
        try (MemoryImage image = image();
                Draft draft = draftOn(image.header(), DiffWriter.Cache.KEEP)) {
            image.copyOwnPages(draft::append);
            draft.finishDiff();
            return replace(draft);
        } catch (Damage e) {
            throw damaged(directory, e);
        } catch (IOException e) {
            throw failed("merge the sandbox's saved memory", e);
        }
    }

    private synchronized boolean replace(Draft draft) {
        if (!draft.parent().build().equals(header.build())) {
            LOG.info("A generation was added during a merge, which is given up");
            return false;
        }
        try {
            for (Manifest.Attachment attachment : manifest.attachments()) {
                Files.createLink(
                        draft.directory().resolve(attachment.name()), files.file(header.build(), attachment.name()));
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
        switchTo(draft, draft.headerOn(header, base.header()));
    }

    @GuardedBy("this")
    private void switchTo(Draft draft, Header next) {
        Manifest old = manifest;
        Path fresh = directory.resolve(NEW_MANIFEST);
        try {
            Manifest.Generation sealed = draft.seal(next);
            List<Manifest.Attachment> attachments = draft.attachments();
            List<Manifest.Generation> generations = new ArrayList<>(needed(next, old.generations()));
            generations.add(sealed);
            Manifest wanted = new Manifest(old.base(), old.memoryBytes(), generations, attachments);
            Files.write(fresh, wanted.encode());
            draft.sync(attachments, List.of(fresh));
            Linux.fsyncDirectory(directory);
            reached(StoreStep.DRAFT_SYNCED);
            Files.move(
                    fresh,
                    directory.resolve(MANIFEST),
                    StandardCopyOption.ATOMIC_MOVE,
                    StandardCopyOption.REPLACE_EXISTING);
            // It counts, from here on and whatever fails, though perhaps not durably yet.
            manifest = wanted;
            header = next;
            sound.keySet().removeIf(build -> !wanted.names(build));
            sound.put(draft.build(), Sound.of(files.file(draft.build(), Draft.DIFF)));
            Linux.fsyncDirectory(directory);
        } catch (IOException | LinuxException | Damage e) {
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

    /** What the store before needed and this one does not. Failing to is no failure: the next opening does it. */
    @GuardedBy("this")
    private void removeDropped(Manifest old) {
        try {
            if (damage != null) {
                damage = null;
                removeLeftovers();
            }
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
        if (!manifest.names(draft.build())) {
            Files.deleteIfExists(directory.resolve(NEW_MANIFEST));
            removeTree(draft.directory());
        }
    }

    private synchronized void removeLeftovers() throws IOException {
        if (damage != null) {
            return;
        }
        for (String name : namesIn(directory)) {
            Path path = directory.resolve(name);
            if (isBuild(name) && !manifest.names(BuildId.parse(name))) {
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

    static PlatformException damaged(Path directory, Damage damage) {
        if (damage instanceof Damage.OtherFormat) {
            return new PlatformException(
                    ErrorCode.INCOMPATIBLE_SNAPSHOT,
                    "The sandbox's memory was saved by another version of Sandglass: " + damage.what()
                            + ". Nothing was changed. Go on with that version, or resume with \"cold\": true, which boots"
                            + " from the disk without it.",
                    damage);
        }
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
