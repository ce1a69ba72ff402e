package dev.sandglass.host.image;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Boot images as {@link ImageBuilder} made them. Thread-safe. */
public final class ImageStore {
    static final String CURRENT = "current";
    static final String KERNEL = "kernel";
    static final String MODULES = "modules";
    static final String INITRAMFS = "initramfs";
    static final String ROOTFS = "rootfs.ext4";

    private static final Set<String> FILES = Set.of(KERNEL, MODULES, INITRAMFS, ROOTFS);
    private static final Logger LOG = LoggerFactory.getLogger(ImageStore.class);

    private final Path directory;

    @GuardedBy("this")
    private final Map<String, Image> opened = new HashMap<>();

    /** An image whose manifest is sound; its files are checked when asked. */
    record Image(String digest, ImageContent content, Map<String, CheckedFile> files) {
        void requireIntact() throws Damage {
            for (CheckedFile file : files.values()) {
                file.requireIntact();
            }
        }

        CheckedFile file(String name) {
            return Objects.requireNonNull(files.get(name));
        }

        BootImages bootImages() {
            return new BootImages(
                    digest,
                    file(KERNEL).path(),
                    file(INITRAMFS).path(),
                    file(ROOTFS).path(),
                    content.guestAgentVersion(),
                    content.kernelArguments());
        }
    }

    /** @param directory {@code images} in SANDGLASS_HOME */
    public ImageStore(Path directory) {
        this.directory = directory;
    }

    /**
     * The current image, whole and unchanged. The first call reads everything (a third of a second); later ones cost a
     * few stats.
     *
     * @throws PlatformException that names what is wrong and the remedy
     */
    public BootImages requireVerified() {
        String digest;
        try {
            digest = currentDigest();
        } catch (Damage e) {
            throw new PlatformException(
                    ErrorCode.INTERNAL_ERROR,
                    "There are no boot images: " + e.what() + ". Run `./sandglass up`, which builds them.");
        }
        return require(digest);
    }

    /** An image that something frozen depends on, current or not. */
    public BootImages require(String digest) {
        try {
            Image image = open(digest);
            image.requireIntact();
            return image.bootImages();
        } catch (Damage e) {
            LOG.error("Image {} is damaged: {}; in {}", shown(digest), e.what(), directory);
            throw new PlatformException(
                    ErrorCode.INTERNAL_ERROR,
                    "Boot image " + shown(digest) + " is damaged: " + e.what() + ". Remove images/" + shown(digest)
                            + "* in SANDGLASS_HOME and run `./sandglass up`, which builds it again.");
        }
    }

    /**
     * Removes all images but the current one and those named: the images of templates and of sandboxes' disks. Not while
     * one is being built.
     */
    public void retain(Set<String> digests) {
        for (Image image : sound()) {
            if (!digests.contains(image.digest()) && !isCurrent(image.digest())) {
                LOG.info("Removing image {}, which nothing depends on", shown(image.digest()));
                TemplateStore.removeTree(directory.resolve(image.digest()));
                synchronized (this) {
                    opened.remove(image.digest());
                }
            }
        }
    }

    private boolean isCurrent(String digest) {
        try {
            return digest.equals(currentDigest());
        } catch (Damage e) {
            return true; // not known: keep all
        }
    }

    String currentDigest() throws Damage {
        try {
            Path file = directory.resolve(CURRENT);
            return Files.size(file) > 200
                    ? ""
                    : requireDigest(Files.readString(file).strip());
        } catch (NoSuchFileException e) {
            throw new Damage("none was built yet");
        } catch (IOException e) {
            throw new UncheckedIOException("read the current image's name", e);
        }
    }

    /** Manifest read and checked; kept, so that each file is read once. */
    synchronized Image open(String digest) throws Damage {
        Path image = directory.resolve(requireDigest(digest));
        Manifest<ImageContent> manifest = Manifest.read(image, ImageContent.class);
        if (!manifest.checksum().equals(digest)) {
            throw new Damage("its manifest is that of another image");
        }
        Image known = opened.get(digest);
        if (known != null) {
            return known;
        }
        if (!manifest.content().files().keySet().equals(FILES)) {
            throw new Damage("its manifest does not list the files of an image");
        }
        Map<String, CheckedFile> files = new HashMap<>();
        manifest.content()
                .files()
                .forEach((name, facts) -> files.put(name, new CheckedFile(name, image.resolve(name), facts)));
        Image fresh = new Image(digest, manifest.content(), Map.copyOf(files));
        opened.put(digest, fresh);
        return fresh;
    }

    /** Those with a sound manifest; a damaged one is met when it is needed. */
    List<Image> sound() {
        List<Image> images = new ArrayList<>();
        try (var entries = Files.newDirectoryStream(directory, "[0-9a-f]*")) {
            for (Path entry : entries) {
                String name = String.valueOf(entry.getFileName());
                if (name.equals(CURRENT)) {
                    continue;
                }
                try {
                    images.add(open(name));
                } catch (Damage e) {
                    LOG.warn("Image in {} cannot be used: {}", entry, e.what());
                }
            }
        } catch (NoSuchFileException e) {
            return List.of();
        } catch (IOException e) {
            throw new UncheckedIOException("list images", e);
        }
        return images;
    }

    private static String requireDigest(String text) throws Damage {
        if (!text.matches("[0-9a-f]{64}")) {
            throw new Damage("the name of the current one is not a digest");
        }
        return text;
    }

    private static String shown(String digest) {
        return digest.length() > 12 ? digest.substring(0, 12) : digest;
    }
}
