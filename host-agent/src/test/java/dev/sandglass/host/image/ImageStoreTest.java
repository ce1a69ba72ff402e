package dev.sandglass.host.image;

import static dev.sandglass.host.image.StoreFixture.alter;
import static dev.sandglass.host.image.StoreFixture.edit;
import static dev.sandglass.host.image.StoreFixture.empty;
import static dev.sandglass.host.image.StoreFixture.halve;
import static dev.sandglass.host.image.StoreFixture.remove;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.PlatformException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

final class ImageStoreTest {
    @TempDir
    Path images;

    private String digest;
    private Path image;

    @BeforeEach
    void makeAnImage() throws IOException {
        digest = StoreFixture.image(images, "one");
        image = images.resolve(digest);
    }

    @Test
    void theCurrentImageIsGivenWithItsFiles() {
        BootImages found = new ImageStore(images).requireVerified();
        assertThat(found.digest()).isEqualTo(digest);
        assertThat(found.rootfs()).isEqualTo(image.resolve("rootfs.ext4")).isRegularFile();
        assertThat(found.kernel()).isRegularFile();
        assertThat(found.initramfs()).isRegularFile();
        assertThat(found.guestAgentVersion()).isEqualTo("agent-one");
        assertThat(found.kernelArguments()).isEqualTo("quiet");
    }

    @Test
    void anOlderImageCanStillBeRequired() throws IOException {
        String newer = StoreFixture.image(images, "two");
        ImageStore store = new ImageStore(images);
        assertThat(store.requireVerified().digest()).isEqualTo(newer);
        assertThat(store.require(digest).digest()).isEqualTo(digest);
    }

    @Test
    void imagesThatNothingDependsOnAreRemoved() throws IOException {
        String needed = StoreFixture.image(images, "two");
        String current = StoreFixture.image(images, "three");
        ImageStore store = new ImageStore(images);
        store.require(digest);
        store.retain(Set.of(needed));
        assertThat(image).doesNotExist();
        assertThat(store.require(needed).digest()).isEqualTo(needed);
        assertThat(store.requireVerified().digest()).isEqualTo(current);
        assertThatThrownBy(() -> store.require(digest)).isInstanceOf(PlatformException.class);
    }

    @Test
    void withoutAnyImageTheRemedyIsTold() {
        assertThatThrownBy(() -> new ImageStore(images.resolve("nowhere")).requireVerified())
                .isInstanceOf(PlatformException.class)
                .hasMessageContaining("./sandglass up");
    }

    @Test
    void aTouchedButEqualFileIsReadAgainAndAccepted() throws IOException {
        ImageStore store = new ImageStore(images);
        store.requireVerified();
        Files.write(image.resolve("kernel"), Files.readAllBytes(image.resolve("kernel")));
        assertThat(store.requireVerified().digest()).isEqualTo(digest);
    }

    static Stream<StoreFixture.Case> damages() {
        return Stream.of(
                new StoreFixture.Case("manifest missing", remove("manifest.json"), "manifest is missing"),
                new StoreFixture.Case("manifest empty", empty("manifest.json"), "manifest"),
                new StoreFixture.Case("manifest truncated", halve("manifest.json"), "manifest cannot be read"),
                new StoreFixture.Case(
                        "manifest altered",
                        edit("manifest.json", text -> text.replace("\"quiet\"", "\"debug\"")),
                        "manifest was altered"),
                new StoreFixture.Case(
                        "manifest of a later format",
                        edit("manifest.json", text -> text.replaceFirst("\"format\" *: *1", "\"format\" : 2")),
                        "format is version 2"),
                new StoreFixture.Case("manifest of another image", ImageStoreTest::swapManifest, "another image"),
                new StoreFixture.Case("manifest with a path", ImageStoreTest::manifestWithPath, "another image"),
                new StoreFixture.Case("kernel missing", remove("kernel"), "kernel is missing"),
                new StoreFixture.Case("kernel empty", empty("kernel"), "kernel has 0 bytes"),
                new StoreFixture.Case("initramfs altered", alter("initramfs"), "initramfs was altered"),
                new StoreFixture.Case("root disk missing", remove("rootfs.ext4"), "rootfs.ext4 is missing"),
                new StoreFixture.Case("root disk truncated", halve("rootfs.ext4"), "rootfs.ext4 has"),
                new StoreFixture.Case("root disk altered", alter("rootfs.ext4"), "rootfs.ext4 was altered"));
    }

    @ParameterizedTest
    @MethodSource("damages")
    void aDamagedImageIsRefusedWithTheRemedy(StoreFixture.Case damage) throws IOException {
        damage.damaging().apply(image);
        assertRefused(new ImageStore(images), damage);
    }

    @ParameterizedTest
    @MethodSource("damages")
    void anImageDamagedAfterItWasCheckedIsRefusedToo(StoreFixture.Case damage) throws IOException {
        ImageStore store = new ImageStore(images);
        store.requireVerified();
        damage.damaging().apply(image);
        assertRefused(store, damage);
    }

    private void assertRefused(ImageStore store, StoreFixture.Case damage) {
        assertThatThrownBy(store::requireVerified)
                .isInstanceOf(PlatformException.class)
                .hasMessageContaining(digest.substring(0, 12))
                .hasMessageContaining(damage.told())
                .hasMessageContaining("./sandglass up")
                .hasMessageNotContaining(images.toString());
    }

    @Test
    void theNameOfTheCurrentImageIsNoPath() throws IOException {
        for (String name : new String[] {"../" + digest, "", "/etc", digest + "/../" + digest, "x".repeat(1000)}) {
            Files.writeString(images.resolve("current"), name);
            assertThatThrownBy(() -> new ImageStore(images).requireVerified())
                    .isInstanceOf(PlatformException.class)
                    .hasMessageContaining("not a digest");
        }
    }

    private static void swapManifest(Path image) throws IOException {
        Path images = image.resolve("..").normalize();
        String other = StoreFixture.image(images, "two");
        Files.writeString(images.resolve("current"), image.getFileName() + "\n");
        Files.write(
                image.resolve("manifest.json"),
                Files.readAllBytes(images.resolve(other).resolve("manifest.json")));
    }

    /** Its checksum is right for what it says. */
    private static void manifestWithPath(Path image) {
        TreeMap<String, FileFacts> files = new TreeMap<>();
        files.put("../../kernel", new FileFacts(1, "0".repeat(64)));
        Manifest.write(image, new ImageContent(new TreeMap<>(), files, "agent", ""));
    }
}
