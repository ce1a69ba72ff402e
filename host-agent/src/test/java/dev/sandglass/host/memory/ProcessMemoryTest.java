package dev.sandglass.host.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.FileStatus;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.process.ProcessIdentity;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** With children that map a file privately and change known pages of it. */
class ProcessMemoryTest {
    private static final int PAGES = 600;

    /** Maps descriptor 0's file in as many areas as asked for, and runs lines of Python from there on. */
    private static final String CHILD = """
            import mmap, os, sys, time
            path, pages, areas = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
            P = 4096
            fd = os.open(path, os.O_RDONLY)
            each = pages // areas
            maps = []
            for i in range(areas):
                n = each if i < areas - 1 else pages - each * i
                m = mmap.mmap(fd, n * P, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE, offset=i * each * P)
                maps.append(m)
            def at(page):
                i = min(page // each, areas - 1)
                return maps[i], (page - i * each) * P
            def fill(page, value):
                m, o = at(page); m[o:o + P] = bytes([value]) * P
            def read(page):
                m, o = at(page); return m[o]
            def drop(page):
                m, o = at(page); m.madvise(mmap.MADV_DONTNEED, o, P)
            for line in sys.stdin:
                if line.startswith('fork'):
                    pid = os.fork()
                    print(pid if pid else 'child', flush=True) if pid else time.sleep(30)
                    continue
                exec(line)
                print('done', flush=True)
            """;

    @TempDir
    Path scratch;

    private final List<Process> children = new ArrayList<>();
    private final FileDescriptor template = Linux.memfdCreate("template");
    private final FileStatus status = makeTemplate();

    private record Child(Process process, BufferedReader answers) {
        String run(String line) throws IOException {
            process.outputWriter().write(line + "\n");
            process.outputWriter().flush();
            return String.valueOf(answers.readLine());
        }

        ProcessMemory memory(FileStatus file) throws IOException {
            return open((int) process.pid(), file);
        }
    }

    private static ProcessMemory open(int pid, FileStatus file) throws IOException {
        return ProcessMemory.open(ProcessIdentity.find(pid).orElseThrow(), file);
    }

    /** Every third page is zero, the others have their number's low bits. */
    private FileStatus makeTemplate() {
        try (FileChannel channel = FileChannel.open(template.path(), StandardOpenOption.WRITE)) {
            Linux.ftruncate(template, PAGES * 4096L);
            for (int page = 0; page < PAGES; page++) {
                if (page % 3 != 0) {
                    channel.write(page(page), page * 4096L);
                }
            }
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
        Linux.addSeals(template, Linux.F_SEAL_WRITE | Linux.F_SEAL_GROW | Linux.F_SEAL_SHRINK);
        return Linux.statx(template.path());
    }

    private static ByteBuffer page(int fill) {
        byte[] bytes = new byte[4096];
        java.util.Arrays.fill(bytes, (byte) fill);
        return ByteBuffer.wrap(bytes);
    }

    private Child start(int areas) throws IOException {
        Process process = new ProcessBuilder(
                        "python3",
                        "-c",
                        CHILD,
                        template.path().toString(),
                        Integer.toString(PAGES),
                        Integer.toString(areas))
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        children.add(process);
        Child child = new Child(process, process.inputReader());
        assertThat(child.run("x = 0")).isEqualTo("done");
        return child;
    }

    @BeforeEach
    void pagesAreOf4096Bytes() {
        assertThat(status.size()).isEqualTo(PAGES * 4096L);
    }

    @AfterEach
    void endChildren() throws InterruptedException {
        for (Process child : children) {
            child.descendants().forEach(ProcessHandle::destroyForcibly);
            child.destroyForcibly().waitFor();
        }
        template.close();
    }

    @Test
    void exactlyTheWrittenPagesArePrivateWhicheverAreaTheyAreIn() throws IOException {
        for (int areas : new int[] {1, 7}) {
            Child child = start(areas);
            try (ProcessMemory memory = child.memory(status)) {
                assertThat(memory.bytes()).isEqualTo(PAGES * 4096L);
                assertThat(memory.privatePages().cardinality()).isZero();
                child.run("[read(p) for p in range(pages)]");
                assertThat(memory.privatePages().cardinality()).isZero();
                child.run("fill(0, 1); fill(1, 0); fill(84, 9); fill(85, 9); fill(599, 200); drop(84)");
                assertThat(memory.privatePages().stream()).containsExactly(0, 1, 85, 599);
                ByteBuffer all = ByteBuffer.allocateDirect(PAGES * 4096);
                memory.read(0, all);
                assertThat(all.get(0)).isEqualTo((byte) 1);
                assertThat(all.get(4096)).isZero();
                assertThat(all.get(84 * 4096)).isZero();
                assertThat(all.get(85 * 4096)).isEqualTo((byte) 9);
                assertThat(all.get(86 * 4096)).isEqualTo((byte) 86);
                assertThat(all.get(599 * 4096 + 4095)).isEqualTo((byte) 200);
                assertThat(memory.privatePages().cardinality()).isEqualTo(4);
            }
        }
    }

    @Test
    void aForkedProcessHasThePagesOfItsParentForItself() throws IOException {
        Child parent = start(2);
        parent.run("fill(10, 1); fill(400, 2)");
        int forked = Integer.parseInt(parent.run("fork"));
        parent.run("fill(10, 3); fill(11, 4); drop(400)");
        try (ProcessMemory ofParent = parent.memory(status);
                ProcessMemory ofChild = open(forked, status)) {
            assertThat(ofParent.privatePages().stream()).containsExactly(10, 11);
            assertThat(ofChild.privatePages().stream()).containsExactly(10, 400);
            ByteBuffer page = ByteBuffer.allocate(4096);
            ofChild.read(10 * 4096, page);
            assertThat(page.get(0)).isEqualTo((byte) 1);
        }
    }

    @Test
    void roundsOfPauseAndResumeKeepEveryByte() throws IOException {
        Base base = Base.flat(BuildId.named("t"), status.size(), template.path());
        GenerationStore store = GenerationStore.open(scratch.resolve("memory"), base);
        Child child = start(3);
        for (int round = 1; round <= 12; round++) {
            child.run("[fill(p, " + round + ") for p in range(" + round * 20 + ", " + (round * 20 + 40) + ")]");
            child.run("fill(" + (round * 7 + 1) + ", 0); fill(" + (round * 20 + 5) + ", 0); drop(" + (round * 20 + 3)
                    + ")");
            try (ProcessMemory memory = child.memory(status)) {
                try (Draft draft = store.begin()) {
                    Draft.Saved saved = draft.save(memory);
                    assertThat(saved.changed()).isBetween(20L, 43L);
                    draft.commit();
                }
                try (MemoryImage image = store.verifiedImage()) {
                    assertThat(image.firstDifference(memory)).isEmpty();
                }
            }
            if (round % 3 == 0) {
                child = start(1 + round % 2);
                store = GenerationStore.open(scratch.resolve("memory"), base);
                try (ProcessMemory memory = child.memory(status);
                        MemoryImage image = store.verifiedImage()) {
                    image.restore(memory);
                    assertThat(image.firstDifference(memory)).isEmpty();
                }
            }
            if (store.mergeDue()) {
                assertThat(store.merge()).isTrue();
            }
        }
    }

    @Test
    void anIncompleteOrDoubleMappingIsRefused() throws IOException {
        Child child = start(4);
        child.run("gone = maps.pop(1); gone.close()");
        assertThatThrownBy(() -> child.memory(status)).hasMessageContaining("from 614400 not mapped");
        Child twice = start(1);
        twice.run("again = mmap.mmap(fd, 10 * P, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ, offset=5 * P)");
        assertThatThrownBy(() -> twice.memory(status)).hasMessageContaining("mapped twice");
        Child shorter = start(4);
        shorter.run("maps.pop().close()");
        assertThatThrownBy(() -> shorter.memory(status)).hasMessageContaining("1843200 of the file's 2457600 bytes");
    }

    @Test
    void aProcessThatEndedIsAnErrorNotZeroes() throws IOException, InterruptedException {
        Child child = start(1);
        try (ProcessMemory memory = child.memory(status)) {
            child.process().destroyForcibly().waitFor();
            assertThatThrownBy(() -> memory.read(0, ByteBuffer.allocate(4096))).hasMessageContaining("has ended");
            assertThatThrownBy(memory::privatePages).hasMessageContaining("has ended");
            assertThatThrownBy(() -> memory.write(0, ByteBuffer.allocate(4096))).hasMessageContaining("has ended");
        }
    }
}
