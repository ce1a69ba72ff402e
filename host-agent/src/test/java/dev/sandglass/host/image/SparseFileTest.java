package dev.sandglass.host.image;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class SparseFileTest {
    private static final long LENGTH = (64L << 20) + 123;

    @TempDir
    Path directory;

    @Test
    void theDigestDependsOnContentAndNotOnHoles() throws IOException {
        Path sparse = sparseFile("sparse");
        Path full = directory.resolve("full");
        Files.write(full, Files.readAllBytes(sparse)); // the same bytes with every zero allocated
        assertThat(Linux.statx(full).allocatedBytes())
                .isGreaterThan(Linux.statx(sparse).allocatedBytes());
        assertThat(SparseFile.digest(full)).isEqualTo(SparseFile.digest(sparse));
    }

    @Test
    void theDigestSeesEveryByteItsPlaceAndTheLength() throws IOException {
        String original = SparseFile.digest(sparseFile("original"));
        assertThat(SparseFile.digest(changed("bit", file -> put(file, 1 << 20, 2))))
                .isNotEqualTo(original);
        assertThat(SparseFile.digest(changed("moved", file -> {
                    put(file, 1 << 20, 0);
                    put(file, 2 << 20, 1);
                })))
                .isNotEqualTo(original);
        assertThat(SparseFile.digest(changed("end", file -> put(file, LENGTH - 1, 9))))
                .isNotEqualTo(original);
        assertThat(SparseFile.digest(changed("longer", file -> file.setLength(LENGTH + 1))))
                .isNotEqualTo(original);
        assertThat(SparseFile.digest(changed("shorter", file -> file.setLength(LENGTH - 1))))
                .isNotEqualTo(original);
    }

    @Test
    void aCopyIsEqualAndAsSparse() throws IOException {
        Path original = sparseFile("original");
        Path copy = directory.resolve("copy");
        try (FileDescriptor from = Linux.open(original, Linux.O_RDONLY, 0);
                FileDescriptor to = Linux.open(copy, Linux.O_RDWR | Linux.O_CREAT, 0600)) {
            assertThat(SparseFile.copy(from, to)).isEqualTo(SparseFile.digest(original));
        }
        assertThat(Files.mismatch(original, copy)).isEqualTo(-1);
        assertThat(Linux.statx(copy).allocatedBytes()).isLessThan(1 << 20);
    }

    @Test
    void anEmptyFileAndOneOfZeroesHaveDigestsOfTheirOwn() throws IOException {
        Path empty = Files.createFile(directory.resolve("empty"));
        Path zeroes = Files.write(directory.resolve("zeroes"), new byte[1000]);
        assertThat(SparseFile.digest(empty)).isNotEqualTo(SparseFile.digest(zeroes));
    }

    @FunctionalInterface
    private interface Change {
        void apply(RandomAccessFile file) throws IOException;
    }

    private Path changed(String name, Change change) throws IOException {
        Path file = sparseFile(name);
        try (RandomAccessFile opened = new RandomAccessFile(file.toFile(), "rw")) {
            change.apply(opened);
        }
        return file;
    }

    /** A byte at the beginning, one at 1 MiB, one near the end; holes between. */
    private Path sparseFile(String name) throws IOException {
        Path file = directory.resolve(name);
        try (RandomAccessFile opened = new RandomAccessFile(file.toFile(), "rw")) {
            opened.setLength(LENGTH);
            put(opened, 0, 1);
            put(opened, 1 << 20, 1);
            put(opened, LENGTH - 10, 1);
        }
        return file;
    }

    private static void put(RandomAccessFile file, long offset, int value) throws IOException {
        file.seek(offset);
        file.write(value);
    }
}
