package dev.sandglass.host.image;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Scope;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.FileStatus;
import dev.sandglass.host.linux.Linux;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Clock;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Frozen templates on disk, each under an opaque id. Thread-safe; the directory belongs to one agent. */
public final class TemplateStore {
    private static final String MEMORY = "memory";
    private static final String STATE = "state";
    private static final String DISK = "disk-0001.qcow2";
    private static final String LOCK = "lock";
    private static final String DRAFT_PREFIX = ".draft-";
    private static final String ID_PREFIX = "tpl";
    private static final int ID_CHARACTERS = 20;

    private static final FileAttribute<Set<PosixFilePermission>> ROOT_ONLY =
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));

    /** Nobody can change or resize it any more, nor lift that. */
    private static final int SEALS = Linux.F_SEAL_WRITE | Linux.F_SEAL_SHRINK | Linux.F_SEAL_GROW | Linux.F_SEAL_SEAL;

    private static final Logger LOG = LoggerFactory.getLogger(TemplateStore.class);

    private final Path directory;
    private final ImageStore images;
    private final Clock clock;

    /** @param directory {@code templates} in SANDGLASS_HOME; made if absent */
    public TemplateStore(Path directory, ImageStore images, Clock clock) {
        this.directory = directory;
        this.images = images;
        this.clock = clock;
        try {
            Files.createDirectories(directory, ROOT_ONLY);
        } catch (IOException e) {
            throw new UncheckedIOException("make the template store", e);
        }
    }

    /**
     * A template in the making: its directory, in which the caller puts the disk ({@code disk-0001.qcow2}) and the device
     * state. Closing it removes the directory unless it was published.
     */
    public static final class Draft implements AutoCloseable {
        private final Shape shape;
        private final Path directory;
        private final FileDescriptor lock;

        private Draft(Shape shape, Path directory, FileDescriptor lock) {
            this.shape = shape;
            this.directory = directory;
            this.lock = lock;
        }

        public Path directory() {
            return directory;
        }

        public Path deviceState() {
            return directory.resolve(STATE);
        }

        @Override
        public void close() {
            removeTree(directory);
            lock.close();
        }
    }

    /**
     * Id of the newest template of this shape that this VMM and these images can use. Those frozen by another VMM, from
     * other images or in another format are passed over and kept.
     *
     * @throws PlatformException if the manifest of one is damaged
     */
    public Optional<String> find(Shape shape, SortedMap<String, String> identity, BootImages bootImages) {
        return known().stream()
                .filter(content -> content.shape().equals(shape)
                        && content.identity().equals(identity)
                        && content.imageDigest().equals(bootImages.digest()))
                .max(Comparator.comparingLong(TemplateContent::createdUnixMillis))
                .map(TemplateContent::id);
    }

    /**
     * Opens a template, whoever froze it.
     *
     * @throws PlatformException if it is missing, or a byte of it is not what it was; INCOMPATIBLE_SNAPSHOT if another
     *     version of Sandglass wrote it
     */
    public Template require(String id) {
        return open(content(id));
    }

    /** Of the images that templates depend on; empty when one does not say in words that this version knows. */
    public Optional<Set<String>> imageDigests() {
        Set<String> digests = new HashSet<>();
        for (Stored template : all()) {
            digests.add(
                    switch (template) {
                        case Stored.Known known -> known.content().imageDigest();
                        case Stored.Foreign foreign -> foreign.format().imageDigest();
                    });
        }
        return digests.contains("") ? Optional.empty() : Optional.of(digests);
    }

    /**
     * Of all templates that can be done without: first those in formats of the past, then the oldest. What a later version
     * of Sandglass froze is left to that one.
     */
    public List<String> ids() {
        return Stream.concat(
                        all().stream()
                                .filter(template -> template instanceof Stored.Foreign foreign
                                        && foreign.format().format() <= Manifest.FORMAT)
                                .map(Stored::id),
                        known().stream()
                                .sorted(Comparator.comparingLong(TemplateContent::createdUnixMillis))
                                .map(TemplateContent::id))
                .toList();
    }

    public Draft begin(Shape shape) {
        String name = DRAFT_PREFIX + Id.Ids.randomCharacters(ID_CHARACTERS);
        try (Scope scope = Scope.open("begin a template")) {
            Path draft = Files.createDirectory(directory.resolve(name), ROOT_ONLY);
            scope.defer("draft", () -> removeTree(draft));
            FileDescriptor lock =
                    scope.own(Linux.open(draft.resolve(LOCK), Linux.O_RDWR | Linux.O_CREAT | Linux.O_EXCL, 0600));
            Linux.flock(lock);
            scope.handOver();
            return new Draft(shape, draft, lock);
        } catch (IOException e) {
            throw new UncheckedIOException("begin a template", e);
        }
    }

    /**
     * Makes a draft a template, durably, and opens it. No VM may have {@code memory} mapped any more; it is sealed and
     * belongs to the template from here on, also when this fails.
     *
     * @param identity of the VMM
     * @param bootImages it was booted from
     * @param guestToken what the frozen agent accepts
     */
    public Template publish(
            Draft draft,
            SortedMap<String, String> identity,
            BootImages bootImages,
            byte[] guestToken,
            FileDescriptor memory) {
        String id = ID_PREFIX + Id.Ids.randomCharacters(ID_CHARACTERS);
        try (Scope scope = Scope.open("publish template " + id)) {
            scope.own(memory);
            Linux.addSeals(memory, SEALS);
            TemplateContent content = new TemplateContent(
                    id,
                    draft.shape,
                    identity,
                    bootImages.digest(),
                    bootImages.guestAgentVersion(),
                    HexFormat.of().formatHex(guestToken),
                    clock.millis(),
                    writeMemory(memory, draft.directory.resolve(MEMORY)),
                    settle(draft.directory.resolve(STATE)),
                    settle(draft.directory.resolve(DISK)));
            Files.deleteIfExists(draft.directory.resolve(LOCK));
            Manifest.write(draft.directory, content);
            Path home = directory.resolve(id);
            Files.move(draft.directory, home, StandardCopyOption.ATOMIC_MOVE);
            Linux.fsyncDirectory(directory);
            CheckedFile memoryFile =
                    new CheckedFile(MEMORY, home.resolve(MEMORY), content.memory(), Linux.statx(home.resolve(MEMORY)));
            OpenTemplate template = new OpenTemplate(
                    content,
                    home,
                    images,
                    new Loaded(memory, memoryFile),
                    load(scope, home.resolve(STATE), content.state(), STATE));
            template.requireIntact();
            scope.handOver();
            return template;
        } catch (IOException | Damage e) {
            throw new IllegalStateException("publish template " + id, e);
        }
    }

    /** Nothing may depend on it. Idempotent. */
    public void remove(String id) {
        removeTree(directory.resolve(requireId(id)));
    }

    /** Drafts whose makers are dead. */
    public void reclaim() {
        for (Path draft : entries(DRAFT_PREFIX + "*")) {
            if (abandoned(draft.resolve(LOCK))) {
                LOG.info("Removing the unfinished template {}", draft.getFileName());
                removeTree(draft);
            }
        }
    }

    private static boolean abandoned(Path lock) {
        if (!Files.exists(lock)) {
            return true; // died while publishing, after the lock's removal and before the rename
        }
        try (FileDescriptor opened = Linux.open(lock, Linux.O_RDWR, 0)) {
            return Linux.tryFlock(opened);
        }
    }

    /** What there is under an id. */
    private sealed interface Stored {
        String id();

        record Known(String id, TemplateContent content) implements Stored {}

        /** Of another version of Sandglass. */
        record Foreign(String id, Damage.OtherFormat format) implements Stored {}
    }

    private List<Stored> all() {
        List<Stored> all = new ArrayList<>();
        for (Path entry : entries(ID_PREFIX + "*")) {
            all.add(stored(String.valueOf(entry.getFileName())));
        }
        return all;
    }

    private List<TemplateContent> known() {
        return all().stream()
                .filter(Stored.Known.class::isInstance)
                .map(template -> ((Stored.Known) template).content())
                .toList();
    }

    private List<Path> entries(String glob) {
        try (var stream = Files.newDirectoryStream(directory, glob)) {
            List<Path> entries = new ArrayList<>();
            stream.forEach(entries::add);
            return entries;
        } catch (IOException e) {
            throw new UncheckedIOException("list templates", e);
        }
    }

    private TemplateContent content(String id) {
        return switch (stored(id)) {
            case Stored.Known known -> known.content();
            case Stored.Foreign foreign ->
                throw new PlatformException(
                        ErrorCode.INCOMPATIBLE_SNAPSHOT,
                        "Template " + id + " was frozen by another version of Sandglass: "
                                + foreign.format().what()
                                + ". Nothing was changed. Go on with that version, or delete what depends on it.",
                        foreign.format());
        };
    }

    private Stored stored(String id) {
        requireId(id);
        try {
            TemplateContent content =
                    Manifest.read(directory.resolve(id), TemplateContent.class).content();
            if (!content.id().equals(id)) {
                throw new Damage("its manifest is that of another template");
            }
            return new Stored.Known(id, content);
        } catch (Damage.OtherFormat other) {
            return new Stored.Foreign(id, other);
        } catch (Damage e) {
            throw damaged(id, directory, e);
        }
    }

    private Template open(TemplateContent content) {
        Path home = directory.resolve(content.id());
        try (Scope scope = Scope.open("open template " + content.id())) {
            Loaded memory = load(scope, home.resolve(MEMORY), content.memory(), MEMORY);
            Loaded state = load(scope, home.resolve(STATE), content.state(), STATE);
            OpenTemplate template = new OpenTemplate(content, home, images, memory, state);
            template.requireIntact();
            scope.handOver();
            return template;
        } catch (Damage e) {
            throw damaged(content.id(), home, e);
        } catch (IOException e) {
            throw new UncheckedIOException("open template " + content.id(), e);
        }
    }

    /** A file's content in a sealed memfd, and the file as it was when that was read. */
    record Loaded(FileDescriptor memfd, CheckedFile file) {}

    /** It is what the manifest says. The memfd is the scope's. */
    private static Loaded load(Scope owner, Path file, FileFacts facts, String name) throws IOException, Damage {
        if (!Files.isRegularFile(file)) {
            throw new Damage("its file " + name + " is missing");
        }
        try (Scope scope = Scope.open("load " + name);
                FileDescriptor source = Linux.open(file, Linux.O_RDONLY, 0)) {
            FileStatus status = Linux.statx(source.path());
            if (status.size() != facts.bytes()) {
                throw new Damage("its file " + name + " has " + status.size() + " bytes instead of " + facts.bytes());
            }
            FileDescriptor memfd = scope.own(Linux.memfdCreate("template-" + name));
            if (!SparseFile.copy(source, memfd).equals(facts.digest())) {
                throw new Damage("its file " + name + " was altered");
            }
            Linux.addSeals(memfd, SEALS);
            scope.handOver();
            return new Loaded(owner.own(memfd), new CheckedFile(name, file, facts, status));
        }
    }

    private static FileFacts writeMemory(FileDescriptor memory, Path file) throws IOException {
        try (FileDescriptor target = Linux.open(file, Linux.O_RDWR | Linux.O_CREAT | Linux.O_EXCL, 0600)) {
            String digest = SparseFile.copy(memory, target);
            Linux.fsync(target);
            return new FileFacts(Files.size(file), digest);
        }
    }

    private static FileFacts settle(Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.force(true);
        }
        return new FileFacts(Files.size(file), SparseFile.digest(file));
    }

    static PlatformException damaged(String id, Path home, Damage damage) {
        LOG.error("Template {} is damaged: {}; in {}", id, damage.what(), home);
        return new PlatformException(
                ErrorCode.INTERNAL_ERROR,
                "Template " + id + " is damaged: " + damage.what() + ". Remove templates/" + id
                        + " in SANDGLASS_HOME; a new one is made at the next start.");
    }

    private static String requireId(String id) {
        if (!Id.Ids.isValid(ID_PREFIX, id)) {
            throw new PlatformException(ErrorCode.INTERNAL_ERROR, "Not the id of a template.");
        }
        return id;
    }

    static void removeTree(Path directory) {
        try {
            if (Files.isDirectory(directory)) {
                try (var paths = Files.walk(directory)) {
                    for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
                        Files.deleteIfExists(path);
                    }
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException("remove " + directory.getFileName(), e);
        }
    }

    /** Files of an open template, checked by stat from here on. */
    private static final class OpenTemplate implements Template {
        private final TemplateContent content;
        private final Path home;
        private final ImageStore images;
        private final FileDescriptor memory;
        private final FileDescriptor deviceState;
        private final List<CheckedFile> files;

        OpenTemplate(TemplateContent content, Path home, ImageStore images, Loaded memory, Loaded deviceState) {
            this.content = content;
            this.home = home;
            this.images = images;
            this.memory = memory.memfd;
            this.deviceState = deviceState.memfd;
            this.files =
                    List.of(memory.file, deviceState.file, new CheckedFile(DISK, home.resolve(DISK), content.disk()));
        }

        @Override
        public String id() {
            return content.id();
        }

        @Override
        public Shape shape() {
            return content.shape();
        }

        @Override
        public String imageDigest() {
            return content.imageDigest();
        }

        @Override
        public FileDescriptor memory() {
            return memory;
        }

        @Override
        public FileDescriptor deviceState() {
            return deviceState;
        }

        @Override
        public List<Path> diskFilesTopFirst() {
            return List.of(
                    home.resolve(DISK), images.require(content.imageDigest()).rootfs());
        }

        @Override
        public byte[] guestToken() {
            return HexFormat.of().parseHex(content.guestToken());
        }

        @Override
        public void requireIntact() {
            try {
                for (CheckedFile file : files) {
                    file.requireIntact();
                }
            } catch (Damage e) {
                throw damaged(content.id(), home, e);
            }
            images.require(content.imageDigest());
        }

        @Override
        public void close() {
            memory.close();
            deviceState.close();
        }
    }
}
