package dev.sandglass.host.vmm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.Scope;
import dev.sandglass.host.image.BootImages;
import dev.sandglass.host.linux.Command;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.DeadlineExceeded;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.process.ExitStatus;
import dev.sandglass.host.process.Processes;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/**
 * What every VMM does, shown with real machines: one is booted and frozen for all tests, and they clone it. Needs root.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
abstract class VmmContractTest {
    private static final int MEMORY_MB = 256;
    private static final int SEALS = Linux.F_SEAL_WRITE | Linux.F_SEAL_SHRINK | Linux.F_SEAL_GROW | Linux.F_SEAL_SEAL;

    /** A Welcome is field 2 of a Reply: length prefix, then this tag. */
    private static final String WELCOME = "^000000..12.*";

    private final Scope suite = Scope.open("contract suite");
    private Scope test;
    private Path directory;
    private BootImages images;
    private Processes processes;
    private Vmm vmm;
    private Frozen frozen;

    private record Frozen(FileDescriptor memory, Path deviceState, Path disk, long diskBytes) {}

    private record Clone(TestPlace place, VirtualMachine machine) {}

    abstract Vmm vmm(Processes processes, BootImages images);

    @BeforeAll
    void bootAndFreezeOnce(@TempDir Path suiteDirectory) throws IOException {
        directory = suiteDirectory;
        images = TestImages.build();
        processes = suite.own(Processes.open());
        vmm = vmm(processes, images);
        try (Scope boot = Scope.open("boot")) {
            test = boot;
            frozen = freeze();
        }
    }

    private Frozen freeze() throws IOException {
        FileDescriptor memory = suite.own(Linux.memfdCreate("contract-memory"));
        Linux.ftruncate(memory, (long) MEMORY_MB << 20);
        TestPlace place = place();
        long bytes = Files.size(images.rootfs());
        List<BlockLayer> disk = place.diskOver(List.of(new BlockLayer(images.rootfs(), false)), bytes);
        BootSource source = new BootSource(images.kernel(), images.initramfs(), images.kernelArguments(), memory, true);
        VirtualMachine machine = owned(vmm.boot(place.plan(MEMORY_MB, disk), disk.subList(0, 1), source, soon()));
        assertThat(firstAnswer(place, machine)).matches(WELCOME);
        machine.stopVcpus(soon());
        Path state = directory.resolve("state");
        machine.saveTemplateState(state, soon());
        machine.kill(soon());
        Linux.addSeals(memory, SEALS);
        Path kept = Files.copy(disk.getFirst().file(), directory.resolve("template.qcow2"));
        return new Frozen(memory, state, kept, bytes);
    }

    private static String firstAnswer(TestPlace place, VirtualMachine machine) {
        try {
            return place.answer(Deadline.after(Duration.ofSeconds(30)));
        } catch (DeadlineExceeded e) {
            throw new AssertionError(machine.consoleTail(soon()), e);
        }
    }

    @AfterAll
    void releaseTemplate() {
        suite.close();
    }

    @BeforeEach
    void beginTest() {
        test = Scope.open("test");
    }

    @AfterEach
    void leaveNothing() {
        test.close();
    }

    @Test
    void clonesOfOneTemplateAnswerAtTheSameTimeAndLeaveItUnchanged() throws IOException {
        String before = sha256(frozen.memory().path());
        List<Clone> clones = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            clones.add(restoredClone());
        }
        clones.forEach(clone -> clone.machine.continueVcpus(soon()));
        for (Clone clone : clones) {
            assertThat(clone.place.answer(soon())).matches(WELCOME);
        }
        for (Clone clone : clones) {
            assertThat(clone.machine.exit()).isNotDone();
        }
        assertThat(sha256(frozen.memory().path())).isEqualTo(before);
    }

    @Test
    void aRestoredMachineStandsStillUntilItIsContinuedAndAgainWhenStopped() throws IOException {
        Clone clone = restoredClone();
        assertThat(clone.place.answers()).isFalse();

        clone.machine.continueVcpus(soon());
        assertThat(clone.place.answer(soon())).matches(WELCOME);

        clone.machine.stopVcpus(soon());
        assertThat(clone.place.answers()).isFalse();
    }

    @Test
    void theProcessIsConfined() throws IOException {
        Clone clone = restoredClone();
        clone.machine.continueVcpus(soon());
        Path proc = Path.of("/proc", Integer.toString(clone.machine.identity().pid()));
        int uid = clone.place.confinement.uid();
        String ids = "\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid;

        assertThat(Files.readAllLines(proc.resolve("status")))
                .contains("Uid:" + ids, "Gid:" + ids, "NoNewPrivs:\t1", "Seccomp:\t2")
                .contains("CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000")
                .anyMatch(line -> line.matches("Groups:\\s*"));
        for (String namespace : List.of("ns/mnt", "ns/net")) {
            assertThat(Files.readSymbolicLink(proc.resolve(namespace)))
                    .isNotEqualTo(Files.readSymbolicLink(Path.of("/proc/self").resolve(namespace)));
        }
        try (Stream<Path> devices = Files.list(proc.resolve("root/dev"))) {
            assertThat(devices.map(path -> String.valueOf(path.getFileName()))).isSubsetOf("net", "null", "kvm");
        }
        try (Stream<Path> seen = Files.list(proc.resolve("root"))) {
            assertThat(seen.map(path -> String.valueOf(path.getFileName())))
                    .isSubsetOf("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "dev", "proc", "etc");
        }
        assertThat(proc.resolve("root/etc")).isDirectoryContaining("glob:**/ld.so.cache");
        assertThat(Command.of(
                                "nsenter",
                                "--target",
                                "" + clone.machine.identity().pid(),
                                "--mount",
                                "ls",
                                "/proc",
                                "/etc")
                        .run())
                .doesNotContain("cpuinfo", "passwd");
        // What it says goes through a pipe to who bounds it.
        assertThat(Files.readSymbolicLink(proc.resolve("fd/2")).toString()).startsWith("pipe:");
        assertThat(openFiles(proc)).allMatch(file -> isItsOwn(file, clone), "belongs to this VM");
    }

    private boolean isItsOwn(String file, Clone clone) {
        return file.startsWith("anon_inode:")
                || file.startsWith("socket:")
                || file.startsWith("pipe:")
                || file.startsWith("/memfd:")
                || List.of("/dev/null", "/dev/net/tun", "/dev/kvm").contains(file)
                || file.startsWith(clone.place.directory.toString())
                || file.equals(frozen.disk.toString())
                || file.equals(images.rootfs().toString());
    }

    private static List<String> openFiles(Path proc) throws IOException {
        try (Stream<Path> files = Files.list(proc.resolve("fd"))) {
            List<String> names = new ArrayList<>();
            for (Path file : files.toList()) {
                names.add(Files.readSymbolicLink(file).toString());
            }
            return names;
        }
    }

    @Test
    void theEndOfTheProcessIsNoticedAndTold() throws Exception {
        Clone clone = restoredClone();
        Linux.kill(clone.machine.identity().pid(), Linux.SIGKILL);
        assertThat(clone.machine.exit().get(1, TimeUnit.SECONDS)).isEqualTo(new ExitStatus.Signalled(Linux.SIGKILL));
        assertThatThrownBy(() -> clone.machine.continueVcpus(soon())).isInstanceOf(VmmFailed.class);
        clone.machine.kill(soon());
    }

    @Test
    void aBrokenConnectionIsMadeAnew() throws IOException {
        Clone clone = restoredClone();
        // An interrupt closes the channel that the thread is writing to.
        CompletableFuture<Void> interrupted = new CompletableFuture<>();
        Thread.ofPlatform().start(() -> {
            Thread.currentThread().interrupt();
            try {
                clone.machine.vcpusRunning(soon());
                interrupted.complete(null);
            } catch (Throwable e) {
                interrupted.completeExceptionally(e);
            }
        });
        assertThatThrownBy(interrupted::join).hasCauseInstanceOf(VmmFailed.class);

        clone.machine.continueVcpus(soon());
        assertThat(clone.place.answer(soon())).matches(WELCOME);
        clone.machine.stopVcpus(soon());
        assertThat(clone.machine.vcpusRunning(soon())).isFalse();
    }

    @Test
    void aMachineIsAdoptedByAnAgentThatDidNotStartIt() throws Exception {
        Clone clone = restoredClone();
        clone.machine.continueVcpus(soon());
        vmm.close();
        Vmm later = test.own(vmm(test.own(Processes.open()), images));

        VirtualMachine adopted = later.adopt(clone.place.directory.resolve("vm"), clone.machine.identity());
        assertThat(adopted.exit()).isNotDone();
        adopted.stopVcpus(soon());
        adopted.continueVcpus(soon());
        assertThat(clone.place.answer(soon())).matches(WELCOME);

        adopted.kill(soon());
        assertThat(adopted.exit().get(1, TimeUnit.SECONDS)).isEqualTo(new ExitStatus.Signalled(Linux.SIGKILL));
        VirtualMachine dead = later.adopt(clone.place.directory.resolve("vm"), adopted.identity());
        assertThat(dead.exit().get(1, TimeUnit.SECONDS)).isEqualTo(new ExitStatus.Signalled(Linux.SIGKILL));
        dead.kill(soon());
    }

    @Test
    void aDamagedDeviceStateFailsTheRestoreWithItsReasonAndLeavesNoProcess() throws IOException {
        Path damaged = directory.resolve("damaged-state");
        byte[] whole = Files.readAllBytes(frozen.deviceState);
        Files.write(damaged, Arrays.copyOf(whole, whole.length / 2));
        TestPlace place = place();
        assertThatThrownBy(() -> restore(place, damaged))
                .isInstanceOf(VmmFailed.class)
                .hasMessageContaining("stderr");
        assertThat(Processes.find(place.directory.resolve("vm")))
                .hasValueSatisfying(process -> assertThat(process.alive()).isFalse());
    }

    @Test
    void whatTakesTooLongIsEnded() throws IOException {
        TestPlace place = place();
        assertThatThrownBy(() -> restore(place, frozen.deviceState, Deadline.after(Duration.ofMillis(12))))
                .isInstanceOf(DeadlineExceeded.class);
        Processes.find(place.directory.resolve("vm"))
                .ifPresent(process -> assertThat(process.alive()).isFalse());
    }

    @Test
    void theConsoleIsKeptAndBounded() throws IOException {
        Clone clone = restoredClone();
        assertThat(clone.machine.consoleTail(soon()).length()).isLessThanOrEqualTo(64 << 10);
    }

    @Test
    void itsIdentityIsTheSameEachTimeAndNamesWhatDiffers() {
        VmmIdentity identity = vmm.identity();
        assertThat(identity).isEqualTo(vmm(processes, images).identity());
        assertThat(identity.properties()).containsKeys("vmm", "build", "accelerator", "cpu", "machine", "devices");
        var other = new TreeMap<>(identity.properties());
        other.put("build", "another");
        assertThat(identity.differences(new VmmIdentity(other)))
                .singleElement()
                .asString()
                .contains("build", "another");
    }

    private Clone restoredClone() throws IOException {
        TestPlace place = place();
        return new Clone(place, owned(restore(place, frozen.deviceState)));
    }

    private VirtualMachine restore(TestPlace place, Path deviceState) throws IOException {
        return restore(place, deviceState, soon());
    }

    private VirtualMachine restore(TestPlace place, Path deviceState, Deadline deadline) throws IOException {
        List<BlockLayer> disk = place.diskOver(
                List.of(new BlockLayer(frozen.disk, true), new BlockLayer(images.rootfs(), false)), frozen.diskBytes);
        try (FileDescriptor state = Linux.open(deviceState, Linux.O_RDONLY, 0)) {
            return vmm.prepare(place.plan(MEMORY_MB, disk), frozen.memory, StateForm.TEMPLATE, deadline)
                    .restore(disk.subList(0, 1), state, MemoryLoader.NONE, deadline);
        }
    }

    private TestPlace place() throws IOException {
        return test.own(new TestPlace(directory));
    }

    private VirtualMachine owned(VirtualMachine machine) {
        test.defer("machine", () -> machine.kill(soon()));
        return machine;
    }

    private static Deadline soon() {
        return Deadline.after(Duration.ofSeconds(20));
    }

    private static String sha256(Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            ByteBuffer buffer = ByteBuffer.allocate(1 << 20);
            while (channel.read(buffer.clear()) > 0) {
                digest.update(buffer.flip());
            }
            return HexFormat.of().formatHex(digest.digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
