package dev.sandglass.host.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LinuxTest {
    @TempDir
    Path directory;

    @Test
    void aFailureNamesCallSubjectAndErrno() {
        assertThatThrownBy(() -> Linux.open(directory.resolve("missing"), Linux.O_RDONLY, 0))
                .isInstanceOfSatisfying(LinuxException.class, e -> {
                    assertThat(e.call()).isEqualTo("open");
                    assertThat(e.errno()).isEqualTo(Errno.ENOENT);
                    assertThat(e.subject()).endsWith("missing");
                    assertThat(e).hasMessageContaining("No such file or directory");
                });
    }

    @Test
    void aDescriptorIsClosedOnceAndNotUsableAfterwards() {
        FileDescriptor file = Linux.open(directory, Linux.O_RDONLY, 0);
        Path inProc = file.path();
        assertThat(inProc).exists();
        file.close();
        file.close();
        assertThat(inProc).doesNotExist();
        assertThatThrownBy(file::number).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void aSealedMemfdRefusesWritesAndIsReadThroughItsPath() throws IOException {
        try (FileDescriptor memfd = Linux.memfdCreate("test")) {
            Linux.ftruncate(memfd, 8192);
            Files.write(memfd.path(), new byte[] {1, 2, 3}, StandardOpenOption.WRITE);
            Linux.addSeals(memfd, Linux.F_SEAL_WRITE | Linux.F_SEAL_SHRINK | Linux.F_SEAL_GROW);
            assertThat(Linux.seals(memfd)).isEqualTo(Linux.F_SEAL_WRITE | Linux.F_SEAL_SHRINK | Linux.F_SEAL_GROW);
            assertThatThrownBy(() -> Files.write(memfd.path(), new byte[] {4}, StandardOpenOption.WRITE))
                    .isInstanceOf(IOException.class);
            assertThat(Files.readAllBytes(memfd.path())).hasSize(8192).startsWith(1, 2, 3);
            assertThat(Linux.statx(memfd.path()).size()).isEqualTo(8192);
        }
    }

    @Test
    void holesAreFoundAndMade() throws IOException {
        Path file = directory.resolve("sparse");
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.wrap(new byte[64 << 10]), 1 << 20);
        }
        try (FileDescriptor opened = Linux.open(file, Linux.O_RDWR, 0)) {
            assertThat(Linux.lseek(opened, 0, Linux.SEEK_DATA)).isEqualTo(1 << 20);
            assertThat(Linux.lseek(opened, 1 << 20, Linux.SEEK_HOLE)).isEqualTo((1 << 20) + (64 << 10));
            Linux.fsync(opened);
            assertThat(Linux.statx(file).allocatedBytes()).isGreaterThanOrEqualTo(64 << 10);
            Linux.punchHole(opened, 0, (1 << 20) + (64 << 10));
            assertThatThrownBy(() -> Linux.lseek(opened, 0, Linux.SEEK_DATA))
                    .isInstanceOfSatisfying(
                            LinuxException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ENXIO));
            assertThat(Linux.statx(file).allocatedBytes()).isLessThan(64 << 10);
        }
    }

    @Test
    void statusAgreesWithJava() throws IOException {
        Path file = Files.write(directory.resolve("file"), new byte[5000]);
        FileStatus status = Linux.statx(file);
        assertThat(status.size()).isEqualTo(5000);
        assertThat(status.inode()).isEqualTo(Files.getAttribute(file, "unix:ino"));
        assertThat(status.uid()).isEqualTo(Files.getAttribute(file, "unix:uid"));
        assertThat(status.mode()).isEqualTo(Files.getAttribute(file, "unix:mode"));
        assertThat(status.modifiedNanos() / 1_000_000)
                .isEqualTo(Files.getLastModifiedTime(file).toMillis());
        FileSystemStatus fileSystem = Linux.statfs(directory);
        assertThat(fileSystem.totalBytes())
                .isEqualTo(Files.getFileStore(directory).getTotalSpace());
        assertThat(fileSystem.availableBytes()).isPositive();
    }

    @Test
    void copiesInsideTheKernel() throws IOException {
        Path from = Files.write(directory.resolve("from"), new byte[] {1, 2, 3, 4, 5});
        Path to = directory.resolve("to");
        try (FileDescriptor in = Linux.open(from, Linux.O_RDONLY, 0);
                FileDescriptor out = Linux.open(to, Linux.O_WRONLY | Linux.O_CREAT, 0600);
                FileDescriptor memfd = Linux.memfdCreate("copy")) {
            assertThat(Linux.copyFileRange(in, 1, out, 0, 3)).isEqualTo(3);
            assertThat(Linux.sendfile(memfd, in, 5)).isEqualTo(5);
            assertThat(Files.readAllBytes(to)).containsExactly(2, 3, 4);
            assertThat(Files.readAllBytes(memfd.path())).containsExactly(1, 2, 3, 4, 5);
        }
    }

    @Test
    void readsAndWritesThroughSegments() {
        try (Arena arena = Arena.ofConfined();
                FileDescriptor memfd = Linux.memfdCreate("test");
                FileDescriptor again = Linux.open(memfd.path(), Linux.O_RDONLY, 0)) {
            MemorySegment text = arena.allocateFrom("hello");
            assertThat(Linux.write(memfd, text)).isEqualTo(6);
            MemorySegment read = arena.allocate(100);
            assertThat(Linux.read(again, read)).isEqualTo(6);
            assertThat(read.getString(0)).isEqualTo("hello");
            assertThat(Linux.read(again, read)).isZero();
        }
    }

    @Test
    void pollSeesAnEventAndATimeout() {
        try (FileDescriptor one = Linux.eventfd();
                FileDescriptor other = Linux.eventfd()) {
            assertThat(Linux.poll(List.of(one, other), 1)).containsExactly(false, false);
            Linux.signalEvent(other);
            assertThat(Linux.poll(List.of(one, other), -1)).containsExactly(false, true);
            Linux.clearEvent(other);
            Linux.clearEvent(other);
            assertThat(Linux.poll(List.of(one, other), 0)).containsExactly(false, false);
        }
    }

    @Test
    void aPidfdIsReadableWhenItsProcessHasEnded() throws Exception {
        Process sleep = new ProcessBuilder("sleep", "100").start();
        try (FileDescriptor pidfd = Linux.pidfdOpen((int) sleep.pid())) {
            assertThat(Linux.poll(List.of(pidfd), 0)).containsExactly(false);
            Linux.pidfdSendSignal(pidfd, Linux.SIGKILL);
            assertThat(Linux.poll(List.of(pidfd), 5000)).containsExactly(true);
            sleep.waitFor();
            assertThatThrownBy(() -> Linux.pidfdSendSignal(pidfd, Linux.SIGKILL))
                    .isInstanceOfSatisfying(
                            LinuxException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ESRCH));
        } finally {
            sleep.destroyForcibly();
        }
    }

    @Test
    void anExclusiveLockHasOneOwnerUntilItIsClosed() {
        Path file = directory.resolve("lock");
        try (FileDescriptor other = Linux.open(file, Linux.O_RDWR | Linux.O_CREAT, 0600)) {
            try (FileDescriptor one = Linux.open(file, Linux.O_RDWR, 0)) {
                assertThat(Linux.tryFlock(one)).isTrue();
                assertThat(Linux.tryFlock(other)).isFalse();
            }
            assertThat(Linux.tryFlock(other)).isTrue();
        }
    }

    @Test
    void aDurableFileIsReplacedWholeAndPrivate() throws IOException {
        Path file = directory.resolve("state");
        DurableFile.write(file, new byte[] {1});
        DurableFile.write(file, new byte[] {2, 3});
        assertThat(Files.readAllBytes(file)).containsExactly(2, 3);
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
                .isEqualTo("rw-------");
        try (var files = Files.list(directory)) {
            assertThat(files).containsExactly(file);
        }
    }
}
