package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.acceptance.Api.Answer;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Files that clones depend on and that are not any more what they were: no VM may start from them. */
@Order(33)
@ExtendWith(Shared.class)
class DamageTest {
    private interface Harm {
        void to(Path file) throws IOException;
    }

    private record Case(String name, Harm harm) {}

    private static final List<Case> CASES = List.of(
            new Case("missing", Files::delete),
            new Case("empty", file -> resize(file, 0)),
            new Case("truncated", file -> resize(file, Files.size(file) - 4096)),
            new Case("altered", DamageTest::flip));

    private static void resize(Path file, long size) throws IOException {
        try (RandomAccessFile opened = new RandomAccessFile(file.toFile(), "rw")) {
            opened.setLength(Math.max(0, size));
        }
    }

    private static void flip(Path file) throws IOException {
        try (RandomAccessFile opened = new RandomAccessFile(file.toFile(), "rw")) {
            long middle = opened.length() / 2;
            opened.seek(middle);
            int old = opened.read();
            opened.seek(middle);
            opened.write(old ^ 0xff);
        }
    }

    /** A copy of its own, since files are hard links to those of other installations. */
    private static void detach(Path file) throws IOException {
        Path copy = file.resolveSibling(file.getFileName() + ".copy");
        Shell.of("cp", "-a", "--sparse=always", file.toString(), copy.toString())
                .run()
                .require();
        Files.move(copy, file, StandardCopyOption.REPLACE_EXISTING);
    }

    private static List<Path> files(Path directory) throws IOException {
        try (Stream<Path> all = Files.walk(directory)) {
            return all.filter(Files::isRegularFile)
                    .filter(file -> !file.getFileName().toString().startsWith("."))
                    .sorted()
                    .toList();
        }
    }

    @Test
    void aTemplateThatWasHarmedStartsNoVm(Installation shared) throws IOException {
        try (Installation server = Installation.of("damage").withTemplatesOf(shared)) {
            server.start();
            List<Path> files = files(server.home().resolve("templates")).stream()
                    .filter(file ->
                            file.endsWith("memory") || file.endsWith("state") || file.endsWith("disk-0001.qcow2"))
                    .toList();
            assertThat(files).hasSizeGreaterThanOrEqualTo(3);
            List<String> wrong = new ArrayList<>();
            for (Path file : files) {
                for (Case one : CASES) {
                    Path kept = Files.createTempFile("sandglass-kept-", "");
                    Shell.of("cp", "-a", "--sparse=always", file.toString(), kept.toString())
                            .run()
                            .require();
                    detach(file);
                    one.harm.to(file);
                    Answer answer = server.api().post("/v1/sandboxes", Map.of());
                    if (answer.status() < 500
                            || answer.errorMessage().isBlank()
                            || answer.text().contains(server.home().toString())
                            || !server.vms().isEmpty()) {
                        wrong.add(one.name + " " + file.getFileName() + ": " + answer.status() + " " + answer.text());
                    }
                    Files.move(kept, file, StandardCopyOption.REPLACE_EXISTING);
                }
            }
            assertThat(wrong).isEmpty();
            try (Sandbox sandbox = server.api().create()) {
                assertThat(sandbox.exec("true").exitCode())
                        .as("with the files as they were it works again")
                        .isZero();
            }
        }
    }

    @Test
    void anImageThatWasHarmedIsNamedAndBuiltAgainAsTheMessageSays(Installation shared) throws IOException {
        try (Installation server = Installation.of("image")) {
            Path images = server.home().resolve("images");
            Path image =
                    images.resolve(Installation.read(images.resolve("current")).strip());
            List<String> wrong = new ArrayList<>();
            Map<String, Case> harmed =
                    Map.of("kernel", CASES.get(1), "initramfs", CASES.get(2), "rootfs.ext4", CASES.get(3));
            for (Map.Entry<String, Case> entry : harmed.entrySet()) {
                String name = entry.getKey();
                Case one = entry.getValue();
                Path file = image.resolve(name);
                Path kept = Files.createTempFile("sandglass-kept-", "");
                Shell.of("cp", "-a", "--sparse=always", file.toString(), kept.toString())
                        .run()
                        .require();
                detach(file);
                one.harm.to(file);
                server.launch();
                int status = server.awaitEnd(Installation.START);
                String said = server.logText().substring(server.logText().lastIndexOf("### starting"));
                if (status == 0
                        || !said.contains("damaged")
                        || !said.contains("sandglass up")
                        || said.contains("\tat ")) {
                    wrong.add(one.name + " " + name + ": " + status + " " + said);
                }
                if (!server.vms().isEmpty()) {
                    wrong.add(one.name + " " + name + ": a VM was started");
                }
                Files.move(kept, file, StandardCopyOption.REPLACE_EXISTING);
            }
            assertThat(wrong).isEmpty();
            if (!Boolean.getBoolean("acceptance.full")) {
                return; // the rest builds an image, which takes a minute
            }
            // What the message says to do.
            flip(detached(image.resolve("initramfs")));
            Shell.of("rm", "-rf", image.toString()).run().require();
            server.withTemplatesOf(shared).launch();
            server.awaitReady(Installation.FIRST_START);
            try (Sandbox sandbox = server.api().create()) {
                assertThat(sandbox.exec("true").exitCode()).isZero();
            }
        }
    }

    private static Path detached(Path file) throws IOException {
        detach(file);
        return file;
    }
}
