package dev.sandglass.host.image;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Progress;
import dev.sandglass.host.image.ImageStore.Image;
import dev.sandglass.host.image.RecipeRun.RecipeFailed;
import dev.sandglass.host.linux.DurableFile;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Builds the boot images with the recipes in {@code images/}, and only what is not there already. An image has three
 * parts, each with inputs of its own:
 *
 * <pre>
 * kernel      kernel.package kernel.version kernel.recipe            → kernel modules
 * initramfs   those of the kernel, initramfs.recipe initramfs.agent  → initramfs
 * rootfs      rootfs.suite rootfs.recipe                             → rootfs.ext4
 * </pre>
 *
 * A part whose inputs are those of an image at hand is taken from there as a hard link, after its bytes were checked. A
 * build happens in a directory of its own and becomes an image by rename, so one that is killed leaves nothing that looks
 * like an image. Needs root and the packages of {@code images/host-packages.txt}. One builder at a time per store; others
 * wait.
 */
public final class ImageBuilder {
    private static final String BUILD_PREFIX = ".build-";

    /** Downloads at slow lines included. */
    private static final Duration RECIPE = Duration.ofMinutes(30);

    private static final Logger LOG = LoggerFactory.getLogger(ImageBuilder.class);

    private final Path recipes;
    private final Path guestAgent;
    private final Path directory;
    private final ImageStore store;

    @SuppressWarnings("ImmutableEnumChecker") // List.of is
    private enum Part {
        KERNEL(List.of(ImageStore.KERNEL, ImageStore.MODULES), List.of("kernel.")),
        INITRAMFS(List.of(ImageStore.INITRAMFS), List.of("kernel.", "initramfs.")),
        ROOTFS(List.of(ImageStore.ROOTFS), List.of("rootfs."));

        final List<String> files;
        final List<String> prefixes;

        Part(List<String> files, List<String> prefixes) {
            this.files = files;
            this.prefixes = prefixes;
        }

        /** What is not known today (apt has no lists) does not count. */
        boolean satisfiedBy(SortedMap<String, String> built, SortedMap<String, String> wanted) {
            return wanted.entrySet().stream()
                    .filter(input -> prefixes.stream().anyMatch(input.getKey()::startsWith))
                    .allMatch(input -> input.getValue().equals(built.get(input.getKey())));
        }
    }

    /**
     * @param recipes the repository's {@code images} folder
     * @param guestAgent the static binary that becomes /init
     * @param directory {@code images} in SANDGLASS_HOME; made if absent
     */
    public ImageBuilder(Path recipes, Path guestAgent, Path directory) {
        this.recipes = recipes;
        this.guestAgent = guestAgent;
        this.directory = directory;
        this.store = new ImageStore(directory);
    }

    /**
     * The image that today's inputs make, built where needed: half a minute the first time, milliseconds when nothing has
     * changed. What was at hand is not read: {@link ImageStore#require} does that before anything is booted from it.
     */
    public BootImages build(Progress progress) {
        try {
            Files.createDirectories(
                    directory, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        } catch (IOException e) {
            throw new UncheckedIOException("make the image store", e);
        }
        try (FileDescriptor lock = Linux.open(directory.resolve(".lock"), Linux.O_RDWR | Linux.O_CREAT, 0600)) {
            Linux.flock(lock);
            removeLeftovers();
            return buildLocked(progress);
        }
    }

    private BootImages buildLocked(Progress progress) {
        SortedMap<String, String> inputs = inputs();
        try {
            return build(inputs, progress);
        } catch (RecipeFailed first) {
            // Lists that are missing or name packages that have been superseded since.
            LOG.info("Refreshing apt's package lists, since a build step failed: {}", first.getMessage());
            progress.step("refreshing package lists");
            try {
                RecipeRun.of(List.of("apt-get", "-q", "update"), RECIPE).run(line -> {});
                return build(inputs(), progress);
            } catch (RecipeFailed second) {
                LOG.error("The boot images could not be built", second);
                throw new PlatformException(
                        ErrorCode.INTERNAL_ERROR,
                        "The boot images could not be built: " + second.reason()
                                + " Check that this machine reaches its package sources (`apt-get update`), then try"
                                + " again.",
                        second);
            }
        }
    }

    private BootImages build(SortedMap<String, String> wanted, Progress progress) throws RecipeFailed {
        Optional<Image> whole = current(wanted);
        if (whole.isPresent()) {
            return whole.get().bootImages();
        }
        if (!wanted.containsKey("kernel.version")) {
            throw new RecipeFailed("apt does not know which kernel it would install.", "");
        }
        try {
            Path work = Files.createTempDirectory(directory, BUILD_PREFIX);
            try {
                for (Part part : Part.values()) {
                    if (!reuse(part, wanted, work)) {
                        make(part, wanted, work, progress);
                    }
                }
                return publish(wanted, work);
            } finally {
                TemplateStore.removeTree(work);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("build the boot images", e);
        }
    }

    /** The current image if it is what is wanted; a missing file makes it be built again. */
    private Optional<Image> current(SortedMap<String, String> wanted) {
        try {
            Image image = store.open(store.currentDigest());
            boolean satisfied = true;
            for (Part part : Part.values()) {
                satisfied &= part.satisfiedBy(image.content().inputs(), wanted)
                        && part.files.stream()
                                .allMatch(file -> Files.exists(image.file(file).path()));
            }
            return satisfied ? Optional.of(image) : Optional.empty();
        } catch (Damage e) {
            return Optional.empty();
        }
    }

    private boolean reuse(Part part, SortedMap<String, String> wanted, Path work) throws IOException {
        for (Image image : store.sound()) {
            if (part.satisfiedBy(image.content().inputs(), wanted) && intact(part, image)) {
                for (String file : part.files) {
                    Files.createLink(work.resolve(file), image.file(file).path());
                }
                return true;
            }
        }
        return false;
    }

    private static boolean intact(Part part, Image image) {
        try {
            for (String file : part.files) {
                image.file(file).requireIntact();
            }
            return true;
        } catch (Damage e) {
            LOG.warn("Image {} is not reused: {}", image.digest(), e.what());
            return false;
        }
    }

    private void make(Part part, SortedMap<String, String> wanted, Path work, Progress progress) throws RecipeFailed {
        switch (part) {
            case KERNEL -> {
                progress.step("fetching the guest kernel");
                run(
                        progress,
                        "kernel.sh",
                        work.toString(),
                        wanted.getOrDefault("kernel.package", ""),
                        wanted.getOrDefault("kernel.version", ""));
            }
            case INITRAMFS -> {
                progress.step("packing the guest agent");
                run(
                        progress,
                        "initramfs.sh",
                        work.toString(),
                        work.resolve(ImageStore.MODULES).toString(),
                        guestAgent.toString());
            }
            case ROOTFS -> {
                progress.step("building the base disk");
                run(progress, "rootfs.sh", work.toString());
            }
        }
    }

    private void run(Progress progress, String recipe, String... arguments) throws RecipeFailed {
        List<String> argv = new ArrayList<>(
                List.of("sh", recipes.resolve(recipe).toAbsolutePath().toString()));
        argv.addAll(List.of(arguments));
        RecipeRun.of(argv, RECIPE).run(line -> report(line, progress));
    }

    /** {@code progress <step> <n>/<m> <text>}. */
    private static void report(String line, Progress progress) {
        String[] words = line.split(" ", 4);
        if (words.length < 3 || !words[0].equals("progress") || !words[2].matches("[0-9]{1,9}/[0-9]{1,9}")) {
            return;
        }
        String[] counts = words[2].split("/", 2);
        progress.advance(Long.parseLong(counts[0]), Long.parseLong(counts[1]), "steps");
    }

    private BootImages publish(SortedMap<String, String> wanted, Path work) throws IOException {
        TreeMap<String, FileFacts> files = new TreeMap<>();
        for (Part part : Part.values()) {
            for (String name : part.files) {
                Path file = work.resolve(name);
                try (FileDescriptor opened = Linux.open(file, Linux.O_RDWR, 0)) {
                    Linux.fsync(opened);
                    files.put(name, new FileFacts(Files.size(file), SparseFile.digest(opened)));
                }
            }
        }
        Files.setPosixFilePermissions(work, PosixFilePermissions.fromString("rwx------"));
        String agent = wanted.getOrDefault("initramfs.agent", "").substring(0, 12);
        String digest = Manifest.write(work, new ImageContent(wanted, files, agent, kernelArguments()));
        Path home = directory.resolve(digest);
        // The same image with a file missing: what is left of it makes room.
        if (Files.exists(home)) {
            Files.move(home, directory.resolve(BUILD_PREFIX + "replaced-" + digest), StandardCopyOption.ATOMIC_MOVE);
        }
        try {
            Files.move(work, home, StandardCopyOption.ATOMIC_MOVE);
        } catch (FileAlreadyExistsException e) {
            throw new IllegalStateException("somebody else builds without the lock", e);
        }
        Linux.fsyncDirectory(directory);
        DurableFile.write(directory.resolve(ImageStore.CURRENT), (digest + "\n").getBytes(StandardCharsets.US_ASCII));
        removeLeftovers();
        return new ImageStore(directory).require(digest);
    }

    private void removeLeftovers() {
        try (var leftovers = Files.newDirectoryStream(directory, BUILD_PREFIX + "*")) {
            leftovers.forEach(TemplateStore::removeTree);
        } catch (IOException e) {
            throw new UncheckedIOException("remove what a killed build left", e);
        }
    }

    private SortedMap<String, String> inputs() {
        SortedMap<String, String> inputs = new AptInputs(recipes.resolve("inputs.sh"), directory).ask();
        inputs.put("kernel.recipe", sha256("kernel.sh", "archive.sh", "modules.txt"));
        inputs.put("initramfs.recipe", sha256("initramfs.sh", "archive.sh"));
        inputs.put("initramfs.agent", sha256(guestAgent));
        inputs.put("initramfs.arguments", kernelArguments());
        inputs.put("rootfs.recipe", sha256("rootfs.sh", "rootfs-packages.txt"));
        return inputs;
    }

    private String kernelArguments() {
        return lines(recipes.resolve("kernel-arguments.txt")).collect(Collectors.joining(" "));
    }

    /** Without comments and blank lines. */
    private static Stream<String> lines(Path file) {
        try {
            return Files.readAllLines(file).stream()
                    .map(line -> line.replaceFirst("#.*", "").strip())
                    .filter(line -> !line.isEmpty());
        } catch (IOException e) {
            throw new UncheckedIOException("read " + file, e);
        }
    }

    private String sha256(String... files) {
        return sha256(List.of(files).stream().map(recipes::resolve).toArray(Path[]::new));
    }

    private static String sha256(Path... files) {
        MessageDigest digest = SparseFile.sha256();
        for (Path file : files) {
            try {
                digest.update(Files.readAllBytes(file));
            } catch (IOException e) {
                throw new UncheckedIOException("read " + file, e);
            }
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    /** For tests and reports: which inputs an image was made from. */
    static Map<String, String> inputsOf(ImageStore store, String digest) throws Damage {
        return store.open(digest).content().inputs();
    }
}
