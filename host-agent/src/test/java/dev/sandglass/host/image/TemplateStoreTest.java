package dev.sandglass.host.image;

import static dev.sandglass.host.image.StoreFixture.alter;
import static dev.sandglass.host.image.StoreFixture.edit;
import static dev.sandglass.host.image.StoreFixture.empty;
import static dev.sandglass.host.image.StoreFixture.halve;
import static dev.sandglass.host.image.StoreFixture.remove;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

final class TemplateStoreTest {
    private static final Shape SHAPE = new Shape("base", 1, 512);
    private static final SortedMap<String, String> IDENTITY = new TreeMap<>(Map.of("vmm", "fake", "build", "1"));
    private static final byte[] TOKEN = "0123456789abcdef0123456789abcdef".getBytes(StandardCharsets.US_ASCII);
    private static final long MEMORY_BYTES = 8 << 20;

    @TempDir
    Path home;

    private Path templates;
    private ImageStore images;
    private BootImages bootImages;

    @BeforeEach
    void makeImages() throws IOException {
        templates = home.resolve("templates");
        StoreFixture.image(Files.createDirectories(home.resolve("images")), "one");
        images = new ImageStore(home.resolve("images"));
        bootImages = images.requireVerified();
    }

    @Test
    void aPublishedTemplateIsFoundByAnotherAgentWithAllItsContent() throws IOException {
        String id;
        try (Template published = publish(store())) {
            id = published.id();
            assertWhole(published);
        }
        try (Template found = store().require(found())) {
            assertThat(found.id()).isEqualTo(id);
            assertThat(found.shape()).isEqualTo(SHAPE);
            assertWhole(found);
        }
        assertThat(StoreFixture.privateToRoot(templates)).isTrue();
        assertThat(StoreFixture.privateToRoot(templates.resolve(id))).isTrue();
        assertThat(store().imageDigests()).hasValue(Set.of(bootImages.digest()));
    }

    private String found() {
        return store().find(SHAPE, IDENTITY, bootImages).orElseThrow();
    }

    private void assertWhole(Template template) throws IOException {
        template.requireIntact();
        assertThat(read(template.memory(), 4096, 4)).isEqualTo(new byte[] {1, 2, 3, 4});
        assertThat(Files.size(template.memory().path())).isEqualTo(MEMORY_BYTES);
        assertThat(read(template.deviceState(), 0, 5)).isEqualTo("state".getBytes(StandardCharsets.US_ASCII));
        assertThat(template.guestToken()).isEqualTo(TOKEN);
        assertThat(template.diskFilesTopFirst())
                .containsExactly(templates.resolve(template.id()).resolve("disk-0001.qcow2"), bootImages.rootfs());
    }

    @Test
    void memoryAndStateOfAnOpenTemplateCannotBeChangedByAnybody() throws IOException {
        try (Template template = publish(store());
                Template found = store().require(found())) {
            for (FileDescriptor file :
                    List.of(template.memory(), template.deviceState(), found.memory(), found.deviceState())) {
                assertThatThrownBy(() -> Linux.ftruncate(file, 1)).isInstanceOf(LinuxException.class);
                assertThatThrownBy(() -> write(file, 0, new byte[1])).isInstanceOf(IOException.class);
            }
        }
    }

    @Test
    void onlyWhatFitsShapeVmmAndImagesIsFound() throws IOException {
        publish(store()).close();
        TemplateStore store = store();
        SortedMap<String, String> otherBuild = new TreeMap<>(IDENTITY);
        otherBuild.put("build", "2");
        StoreFixture.image(home.resolve("images"), "two");
        assertThat(store.find(new Shape("base", 2, 512), IDENTITY, bootImages)).isEmpty();
        assertThat(store.find(SHAPE, otherBuild, bootImages)).isEmpty();
        assertThat(store.find(SHAPE, IDENTITY, images.requireVerified())).isEmpty();
        assertThat(store.find(SHAPE, IDENTITY, bootImages)).isPresent();
    }

    @Test
    void theNewestOfSeveralIsFound() throws IOException {
        publish(store()).close();
        String newer;
        try (Template template = publish(new TemplateStore(
                templates, images, Clock.fixed(Instant.now().plus(Duration.ofHours(1)), ZoneOffset.UTC)))) {
            newer = template.id();
        }
        try (Template found = store().require(found())) {
            assertThat(found.id()).isEqualTo(newer);
        }
    }

    static Stream<StoreFixture.Case> damages() {
        return Stream.of(
                new StoreFixture.Case("manifest missing", remove("manifest.json"), "manifest is missing"),
                new StoreFixture.Case("manifest empty", empty("manifest.json"), "manifest"),
                new StoreFixture.Case("manifest truncated", halve("manifest.json"), "manifest cannot be read"),
                new StoreFixture.Case(
                        "token in the manifest altered",
                        edit("manifest.json", text -> text.replaceFirst("3031", "3131")),
                        "manifest was altered"),
                new StoreFixture.Case("memory missing", remove("memory"), "memory is missing"),
                new StoreFixture.Case("memory empty", empty("memory"), "memory has 0 bytes"),
                new StoreFixture.Case("memory truncated", halve("memory"), "memory has"),
                new StoreFixture.Case("memory altered", alter("memory"), "memory was altered"),
                new StoreFixture.Case("state missing", remove("state"), "state is missing"),
                new StoreFixture.Case("state empty", empty("state"), "state has 0 bytes"),
                new StoreFixture.Case("state truncated", halve("state"), "state has"),
                new StoreFixture.Case("state altered", alter("state"), "state was altered"),
                new StoreFixture.Case("disk missing", remove("disk-0001.qcow2"), "disk-0001.qcow2 is missing"),
                new StoreFixture.Case("disk altered", alter("disk-0001.qcow2"), "disk-0001.qcow2 was altered"));
    }

    @ParameterizedTest
    @MethodSource("damages")
    void aDamagedTemplateIsRefusedWithTheRemedy(StoreFixture.Case damage) throws IOException {
        String id = publishedId();
        damage.damaging().apply(templates.resolve(id));
        assertThatThrownBy(() -> store().require(found()))
                .isInstanceOf(PlatformException.class)
                .hasMessageContaining(damage.told())
                .hasMessageContaining("Remove templates/" + id)
                .hasMessageNotContaining(home.toString());
    }

    @ParameterizedTest
    @MethodSource("damages")
    void aTemplateDamagedWhileOpenIsRefusedBeforeTheNextClone(StoreFixture.Case damage) throws IOException {
        try (Template template = publish(store())) {
            damage.damaging().apply(templates.resolve(template.id()));
            if (damage.name().contains("manifest")) {
                return; // what it said is known since it was opened
            }
            assertThatThrownBy(template::requireIntact)
                    .isInstanceOf(PlatformException.class)
                    .hasMessageContaining(damage.told())
                    .hasMessageContaining(template.id());
        }
    }

    static Stream<StoreFixture.Case> formats() {
        return Stream.of(
                new StoreFixture.Case("later", format("\"format\" : 7,"), "version 7, this Sandglass knows 1"),
                new StoreFixture.Case("none", format(""), "version 0, this Sandglass knows 1"));
    }

    private static StoreFixture.Damaging format(String line) {
        return edit("manifest.json", text -> text.replaceFirst("\"format\" *: *1,", line));
    }

    @ParameterizedTest
    @MethodSource("formats")
    void aTemplateOfAnotherFormatIsPassedOverAndKeptWithItsImage(StoreFixture.Case other) throws IOException {
        String id = publishedId();
        other.damaging().apply(templates.resolve(id));
        assertThat(store().find(SHAPE, IDENTITY, bootImages)).isEmpty();
        String anew = publishedId();
        assertThat(found()).isEqualTo(anew);
        assertThatThrownBy(() -> store().require(id))
                .isInstanceOfSatisfying(
                        PlatformException.class,
                        refused -> assertThat(refused.code()).isEqualTo(ErrorCode.INCOMPATIBLE_SNAPSHOT))
                .hasMessageContaining(id)
                .hasMessageContaining(other.told());
        assertThat(names()).containsExactlyInAnyOrder(id, anew);
        assertThat(store().imageDigests()).hasValue(Set.of(bootImages.digest()));
    }

    @Test
    void whatALaterVersionFrozeIsNotAmongWhatMayGo() throws IOException {
        String later = publishedId();
        format("\"format\" : 7,").apply(templates.resolve(later));
        String known = publishedId();
        String earlier = publishedId();
        format("").apply(templates.resolve(earlier));
        assertThat(store().ids()).containsExactly(earlier, known);
        edit("manifest.json", text -> text.replaceFirst("imageDigest", "image")).apply(templates.resolve(later));
        assertThat(store().imageDigests()).as("not known, so none may go").isEmpty();
    }

    @Test
    void aManifestInTheWrongDirectoryIsRefused() throws IOException {
        String one = publishedId();
        String two = publishedId();
        Files.write(
                templates.resolve(one).resolve("manifest.json"),
                Files.readAllBytes(templates.resolve(two).resolve("manifest.json")));
        assertThatThrownBy(() -> store().require(one))
                .isInstanceOf(PlatformException.class)
                .hasMessageContaining("another template");
    }

    @Test
    void aTemplateWhoseImageIsDamagedIsRefused() throws IOException {
        try (Template template = publish(store())) {
            alter("rootfs.ext4").apply(home.resolve("images").resolve(bootImages.digest()));
            assertThatThrownBy(template::requireIntact)
                    .isInstanceOf(PlatformException.class)
                    .hasMessageContaining("rootfs.ext4 was altered");
        }
    }

    @Test
    void anIdIsNoPath() {
        for (String id : List.of("", "..", "../images", "tpl../../../../etc/passwd", "tpl00000000000000000/..")) {
            assertThatThrownBy(() -> store().require(id)).isInstanceOf(PlatformException.class);
            assertThatThrownBy(() -> store().remove(id)).isInstanceOf(PlatformException.class);
        }
    }

    @Test
    void aDraftIsGoneUnlessItIsPublished() throws IOException {
        try (TemplateStore.Draft draft = store().begin(SHAPE)) {
            Files.writeString(draft.deviceState(), "state");
            assertThat(draft.directory()).isDirectory();
            assertThat(StoreFixture.privateToRoot(draft.directory())).isTrue();
        }
        assertThat(names()).isEmpty();
    }

    @Test
    void draftsOfDeadAgentsAreReclaimedAndThoseOfLivingOnesKept() throws IOException {
        Path dead = Files.createDirectory(templates().resolve(".draft-dead"));
        Files.writeString(dead.resolve("lock"), "");
        Files.writeString(dead.resolve("memory"), "half");
        Path deadWhilePublishing = Files.createDirectory(templates().resolve(".draft-publishing"));
        Files.writeString(deadWhilePublishing.resolve("manifest.json"), "{}");
        try (TemplateStore.Draft living = store().begin(SHAPE)) {
            store().reclaim();
            assertThat(living.directory()).isDirectory();
            assertThat(dead).doesNotExist();
            assertThat(deadWhilePublishing).doesNotExist();
        }
    }

    @Test
    void removingIsFinalAndIdempotent() throws IOException {
        String id = publishedId();
        store().remove(id);
        store().remove(id);
        assertThat(names()).isEmpty();
        assertThat(store().find(SHAPE, IDENTITY, bootImages)).isEmpty();
    }

    private TemplateStore store() {
        return new TemplateStore(templates, images, Clock.systemUTC());
    }

    private Path templates() {
        store();
        return templates;
    }

    private String publishedId() throws IOException {
        try (Template template = publish(store())) {
            return template.id();
        }
    }

    private Template publish(TemplateStore store) throws IOException {
        FileDescriptor memory = Linux.memfdCreate("test-memory");
        Linux.ftruncate(memory, MEMORY_BYTES);
        write(memory, 4096, new byte[] {1, 2, 3, 4});
        write(memory, MEMORY_BYTES / 2, new byte[] {5});
        try (TemplateStore.Draft draft = store.begin(SHAPE)) {
            Files.writeString(draft.deviceState(), "state ".repeat(100));
            Files.writeString(draft.directory().resolve("disk-0001.qcow2"), "disk ".repeat(100));
            return store.publish(draft, IDENTITY, bootImages, TOKEN, memory);
        }
    }

    private List<String> names() throws IOException {
        try (Stream<Path> entries = Files.list(templates)) {
            return entries.map(path -> String.valueOf(path.getFileName())).toList();
        }
    }

    private static void write(FileDescriptor file, long offset, byte[] bytes) throws IOException {
        try (FileChannel channel = FileChannel.open(file.path(), StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.wrap(bytes), offset);
        }
    }

    private static byte[] read(FileDescriptor file, long offset, int length) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(length);
        try (FileChannel channel = FileChannel.open(file.path(), StandardOpenOption.READ)) {
            channel.read(bytes, offset);
        }
        return bytes.array();
    }
}
