package dev.sandglass.host.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Progress;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** With small recipes that do what the real ones promise; the real ones are run by the tests with real VMs. */
final class ImageBuilderTest {
    @TempDir
    Path home;

    private Path recipes;
    private Path agent;
    private Path images;
    private Path runs;

    @BeforeEach
    void writeRecipes() throws IOException {
        recipes = Files.createDirectories(home.resolve("recipes"));
        agent = Files.writeString(home.resolve("agent"), "agent 1");
        images = home.resolve("images");
        runs = Files.createFile(home.resolve("runs"));
        recipe("inputs.sh", "echo kernel.package linux; echo kernel.version 1; echo rootfs.suite test");
        recipe("kernel.sh", """
                echo kernel >>%s
                echo progress kernel 1/2 half
                echo "kernel $2 $3" >"$1/kernel"
                echo modules >"$1/modules"
                """.formatted(runs));
        recipe("initramfs.sh", "echo initramfs >>%s; cat \"$2\" \"$3\" >\"$1/initramfs\"".formatted(runs));
        recipe("rootfs.sh", "echo rootfs >>%s; truncate -s 8M \"$1/rootfs.ext4\"".formatted(runs));
        recipe("archive.sh", "");
        Files.writeString(recipes.resolve("modules.txt"), "virtio\n");
        Files.writeString(recipes.resolve("rootfs-packages.txt"), "python3\n");
        Files.writeString(recipes.resolve("kernel-arguments.txt"), "# why\nquiet\n\nloglevel=3 # more\n");
    }

    @Test
    void theFirstBuildMakesEverythingAndTheSecondNothing() throws IOException {
        List<String> told = new ArrayList<>();
        BootImages first = builder().build(recording(told));
        assertThat(runs()).containsExactly("kernel", "initramfs", "rootfs");
        assertThat(first.kernelArguments()).isEqualTo("quiet loglevel=3");
        assertThat(Files.readString(first.initramfs())).isEqualTo("modules\nagent 1");
        assertThat(Files.readString(first.kernel())).isEqualTo("kernel linux 1\n");
        assertThat(told).contains("fetching the guest kernel", "1/2", "building the base disk");
        assertThat(StoreFixture.privateToRoot(images)).isTrue();
        assertThat(StoreFixture.privateToRoot(images.resolve(first.digest()))).isTrue();

        assertThat(builder().build(Progress.SILENT)).isEqualTo(first);
        assertThat(runs()).hasSize(3);
        assertThat(new ImageStore(images).requireVerified()).isEqualTo(first);
    }

    @Test
    void onlyThePartsWhoseInputsChangedAreMadeAgain() throws IOException {
        BootImages first = builder().build(Progress.SILENT);

        Files.writeString(agent, "agent 2");
        BootImages second = builder().build(Progress.SILENT);
        assertThat(runs()).endsWith("initramfs").hasSize(4);
        assertThat(second.digest()).isNotEqualTo(first.digest());
        assertThat(second.guestAgentVersion()).isNotEqualTo(first.guestAgentVersion());
        assertThat(Files.isSameFile(first.rootfs(), second.rootfs())).isTrue();

        Files.writeString(recipes.resolve("rootfs-packages.txt"), "python3\ngit\n");
        builder().build(Progress.SILENT);
        assertThat(runs()).endsWith("rootfs").hasSize(5);

        recipe("inputs.sh", "echo kernel.package linux; echo kernel.version 2; echo rootfs.suite test");
        builder().build(Progress.SILENT);
        assertThat(runs()).endsWith("kernel", "initramfs").hasSize(7);

        // Back to what was there before: the older image's part is taken.
        Files.writeString(recipes.resolve("rootfs-packages.txt"), "python3\n");
        builder().build(Progress.SILENT);
        assertThat(runs()).hasSize(7);
        assertThat(new ImageStore(images).require(first.digest()).digest()).isEqualTo(first.digest());
    }

    @Test
    void anImageAtHandIsGoodEnoughWhileAptKnowsNothing() throws IOException {
        BootImages first = builder().build(Progress.SILENT);
        recipe("inputs.sh", "exit 3");
        assertThat(builder().build(Progress.SILENT)).isEqualTo(first);
        assertThat(runs()).hasSize(3);
    }

    @Test
    void aRemovedFileIsMadeAgainAndADamagedOneIsNotSpread() throws IOException {
        BootImages first = builder().build(Progress.SILENT);
        Files.delete(first.rootfs());
        BootImages second = builder().build(Progress.SILENT);
        assertThat(runs()).endsWith("rootfs").hasSize(4);
        assertThat(second.rootfs()).isRegularFile();

        StoreFixture.alter("rootfs.ext4").apply(images.resolve(second.digest()));
        builder().build(Progress.SILENT);
        assertThatThrownBy(() -> new ImageStore(images).requireVerified())
                .isInstanceOf(PlatformException.class)
                .hasMessageContaining("rootfs.ext4 was altered");
        Files.writeString(agent, "agent 3");
        BootImages third = builder().build(Progress.SILENT);
        assertThat(runs()).contains("rootfs").hasSize(6);
        assertThat(new ImageStore(images).requireVerified()).isEqualTo(third);
    }

    @Test
    void whatAKilledBuildLeftIsNoImageAndIsRemoved() throws Exception {
        Path started = home.resolve("started");
        recipe("rootfs.sh", "head -c 100000 /dev/zero >\"$1/rootfs.ext4\"; echo $$ >%s; sleep 60".formatted(started));
        Process builder = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-cp",
                        System.getProperty("java.class.path"),
                        ImageBuilderTest.class.getName(),
                        recipes.toString(),
                        agent.toString(),
                        images.toString())
                .redirectErrorStream(true)
                .redirectOutput(home.resolve("output").toFile())
                .start();
        try {
            await(() -> Files.exists(started));
            assertThat(sleepers()).isNotEmpty();
        } finally {
            builder.destroyForcibly().waitFor(5, TimeUnit.SECONDS);
        }
        await(() -> sleepers().isEmpty());
        assertThatThrownBy(() -> new ImageStore(images).requireVerified()).isInstanceOf(PlatformException.class);
        assertThat(names()).anyMatch(name -> name.startsWith(".build-"));

        recipe("rootfs.sh", "truncate -s 8M \"$1/rootfs.ext4\"");
        BootImages built = builder().build(Progress.SILENT);
        assertThat(names()).containsExactlyInAnyOrder(".lock", ".inputs", "current", built.digest());
    }

    /** What a process of its own runs, to be killed. */
    public static void main(String[] arguments) {
        new ImageBuilder(Path.of(arguments[0]), Path.of(arguments[1]), Path.of(arguments[2])).build(Progress.SILENT);
    }

    private List<String> sleepers() {
        String marker = home.toString();
        return ProcessHandle.allProcesses()
                .map(process -> process.info().commandLine().orElse(""))
                .filter(line -> line.contains(marker) && line.contains("rootfs.sh"))
                .toList();
    }

    private interface Condition {
        boolean holds();
    }

    private static void await(Condition condition) throws InterruptedException {
        long end = System.nanoTime() + Duration.ofSeconds(20).toNanos();
        while (!condition.holds()) {
            assertThat(System.nanoTime()).as("in time").isLessThan(end);
            Thread.sleep(20);
        }
    }

    private ImageBuilder builder() {
        return new ImageBuilder(recipes, agent, images);
    }

    private void recipe(String name, String script) throws IOException {
        Files.writeString(recipes.resolve(name), "set -e\n" + script + "\n");
    }

    private List<String> runs() throws IOException {
        return Files.readAllLines(runs);
    }

    private List<String> names() throws IOException {
        try (Stream<Path> entries = Files.list(images)) {
            return entries.map(path -> String.valueOf(path.getFileName())).toList();
        }
    }

    private static Progress recording(List<String> told) {
        return new Progress() {
            @Override
            public void step(String text) {
                told.add(text);
            }

            @Override
            public void advance(long done, long total, String unit) {
                told.add(done + "/" + total);
            }
        };
    }
}
