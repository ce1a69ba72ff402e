package dev.sandglass.host.vmm;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Scope;
import dev.sandglass.contract.guest.v1.StartExec;
import dev.sandglass.host.disk.Disk;
import dev.sandglass.host.disk.DiskLayer;
import dev.sandglass.host.disk.Qcow2Disks;
import dev.sandglass.host.guest.ExecResult;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.image.BootImages;
import dev.sandglass.host.linux.Command;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.FileStatus;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.memory.Base;
import dev.sandglass.host.memory.BuildId;
import dev.sandglass.host.memory.Draft;
import dev.sandglass.host.memory.GenerationStore;
import dev.sandglass.host.memory.MemoryImage;
import dev.sandglass.host.memory.ProcessMemory;
import dev.sandglass.host.network.Ipv4Range;
import dev.sandglass.host.network.NetworkConfiguration;
import dev.sandglass.host.network.Networks;
import dev.sandglass.host.network.Slot;
import dev.sandglass.host.process.Processes;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/**
 * What every VMM does for pausing, resuming and live snapshots, with real machines in real slots and a process in the guest
 * that remembers. Needs root.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
abstract class PauseContractTest {
    private static final int MEMORY_MB = 256;
    private static final int SEALS = Linux.F_SEAL_WRITE | Linux.F_SEAL_SHRINK | Linux.F_SEAL_GROW | Linux.F_SEAL_SEAL;
    private static final int GUEST_PORT = 49983;
    private static final int OUTPUT_BYTES = 64 << 10;

    /** What a guest accepts until its first renewal. */
    private static final byte[] TOKEN = new byte[GuestClient.TOKEN_BYTES];

    /** Answers its process number, how often it was asked, and whether 4 MiB of memory are still what they were. */
    private static final String WITNESS = """
            import os, zlib
            data = os.urandom(4 << 20)
            crc = zlib.crc32(data)
            os.mkfifo('/root/ask')
            os.mkfifo('/root/answer')
            print(os.getpid(), flush=True)
            asked = 0
            while True:
                open('/root/ask').read()
                asked += 1
                whole = zlib.crc32(data) == crc
                with open('/root/answer', 'w') as answer:
                    answer.write(f'{os.getpid()} {asked} {whole}')
            """;

    private final Scope suite = Scope.open("pause suite");
    private final AtomicInteger places = new AtomicInteger();
    private Scope test;
    private Path directory;
    private BootImages images;
    private Processes processes;
    private Networks networks;
    private Vmm vmm;
    private Template template;

    private record Template(Base memory, FileDescriptor memoryFile, Path deviceState, List<DiskLayer> disk) {}

    /** A slot, a disk and a place for the machine's files; the machines in it come and go. */
    private final class Home {
        final Path root = Files.createDirectories(directory.resolve("home-" + places.incrementAndGet()));
        final Path diskDirectory = root.resolve("disk");
        final List<DiskLayer> base;
        final Slot slot = networks.acquire(soon());

        Home(List<DiskLayer> base) throws IOException {
            this(base, _ -> {});
        }

        /** @param place makes {@code root} what it is to be */
        Home(List<DiskLayer> base, Consumer<Path> place) throws IOException {
            this.base = base;
            place.accept(root);
            Files.createDirectory(diskDirectory);
            test.defer("slot", () -> networks.release(slot));
            new Qcow2Disks().create(diskDirectory, base, diskBytes(), soon());
        }

        Path machineDirectory() {
            return root.resolve("vm");
        }

        MachinePlan plan() {
            return new MachinePlan(
                    "pause-" + slot.index(),
                    machineDirectory(),
                    1,
                    MEMORY_MB,
                    blockLayers(base),
                    new Confinement(slot.uid(), slot.namespace(), slot.tap(), List.of()));
        }

        List<BlockLayer> ownDisk() {
            Disk disk = new Qcow2Disks().open(diskDirectory, base);
            return blockLayers(disk.own());
        }

        Path push() {
            return new Qcow2Disks()
                    .push(diskDirectory, base, soon())
                    .layers()
                    .getFirst()
                    .file();
        }

        GenerationStore store(Base memory) {
            return GenerationStore.open(root.resolve("memory"), memory);
        }

        /** A new connection: those of before a pause are dead. */
        String run(String... argv) {
            try (GuestClient guest =
                    GuestClient.awaitReady(new InetSocketAddress(slot.hostAddress(), GUEST_PORT), TOKEN, soon())) {
                StartExec start = StartExec.newBuilder()
                        .setExecId(Id.Ids.randomCharacters(12))
                        .addAllArgv(List.of(argv))
                        .build();
                ExecResult result = guest.exec(start, new byte[0], OUTPUT_BYTES, soon());
                assertThat(result.exited().getExitCode())
                        .as(result.stderr().toString(UTF_8))
                        .isZero();
                return result.stdout().toString(UTF_8).strip();
            }
        }

        String shell(String script) {
            return run("/bin/sh", "-ec", script);
        }

        String startWitness() {
            return run("/bin/sh", "-ec", """
                    setsid python3 -c "$0" >/root/log 2>&1 </dev/null &
                    until [ -p /root/answer ] && [ -s /root/log ]; do sleep 0.1; done
                    cat /root/log
                    """, WITNESS);
        }

        String askWitness() {
            return shell("echo >/root/ask; cat /root/answer");
        }
    }

    abstract Vmm vmm(Processes processes, BootImages images);

    // ---- A template for all tests

    @BeforeAll
    void freezeOnce(@TempDir Path suiteDirectory) throws IOException {
        directory = suiteDirectory;
        images = TestImages.build();
        processes = suite.own(Processes.open());
        vmm = suite.own(vmm(processes, images));
        networks = suite.own(Networks.open(NetworkConfiguration.standard(
                "pt" + Id.Ids.randomCharacters(8), directory, Ipv4Range.parseAddress("203.0.113.53"), 0)));
        try (Scope boot = Scope.open("boot")) {
            test = boot;
            template = freeze();
        }
    }

    private Template freeze() throws IOException {
        FileDescriptor memory = suite.own(memoryFile("pause-template"));
        Home home = new Home(rootfs());
        VirtualMachine machine = boot(home, memory, true);
        home.run("/usr/bin/python3", "-c", "import os, zlib");
        machine.stopVcpus(soon());
        Path state = directory.resolve("template-state");
        machine.saveTemplateState(state, soon());
        machine.kill(soon());
        Linux.addSeals(memory, SEALS);
        return new Template(
                Base.flat(BuildId.named("pause-template"), memoryBytes(), memory.path()),
                memory,
                state,
                new Qcow2Disks().open(home.diskDirectory, home.base).layers());
    }

    private static FileDescriptor memoryFile(String name) {
        FileDescriptor memory = Linux.memfdCreate(name);
        Linux.ftruncate(memory, memoryBytes());
        return memory;
    }

    private List<DiskLayer> rootfs() {
        return List.of(new DiskLayer(images.rootfs(), DiskLayer.Format.RAW));
    }

    private long diskBytes() throws IOException {
        return Files.size(images.rootfs());
    }

    private VirtualMachine boot(Home home, FileDescriptor memory, boolean shared) {
        return owned(vmm.boot(
                home.plan(),
                home.ownDisk(),
                new BootSource(images.kernel(), images.initramfs(), images.kernelArguments(), memory, shared),
                soon()));
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

    // ---- Pause and resume

    @Test
    void aProcessInTheGuestGoesOnThroughTenPauses() throws IOException {
        Home home = new Home(template.disk);
        VirtualMachine machine = running(restored(home));
        String pid = home.startWitness();
        for (int round = 1; round <= 10; round++) {
            pause(home, machine);
            assertThat(machine.identity().alive()).isFalse();
            machine = running(resumed(home));
            assertThat(home.askWitness()).isEqualTo(pid + " " + round + " True");
        }
    }

    @Test
    void aProcessThatWasThereBeforehandBecomesTheMachineWithAllItsDiskLayers() throws IOException {
        Home home = new Home(template.disk);
        VirtualMachine machine = running(restored(home));
        String pid = home.startWitness();
        String first = write(home, 0);
        try (DiskSwitch disk = machine.prepareDiskLayer(home.push(), soon())) {
            machine.stopVcpus(soon());
            disk.commit(soon());
            machine.continueVcpus(soon());
        }
        String second = write(home, 1);
        pause(home, machine);

        MachinePlan plan = home.plan();
        BlankMachine blank = vmm.prepare(plan, template.memoryFile, StateForm.DEVICES, soon());
        test.defer("blank", () -> blank.kill(soon()));
        assertThat(blank.alive()).isTrue();
        VirtualMachine resumed =
                running(restore(blank, home, template.memory, Linux.statx(template.memoryFile.path())));
        assertThat(resumed.topDiskInode(soon()))
                .isEqualTo(Linux.statx(home.ownDisk().getFirst().file()).inode());
        assertThat(home.askWitness()).isEqualTo(pid + " 1 True");
        assertThat(home.shell("cd /root; echo 3 >/proc/sys/vm/drop_caches; sha256sum file-0 file-1 | cut -c 1-64"))
                .isEqualTo(first + "\n" + second);
        assertThat(home.machineDirectory().resolve("control")).isDirectoryNotContaining("glob:**/disk-*");
    }

    @Test
    void aProcessThatNobodyNeededIsEnded() throws IOException {
        Home home = new Home(template.disk);
        BlankMachine blank = vmm.prepare(home.plan(), template.memoryFile, StateForm.DEVICES, soon());
        blank.kill(soon());
        assertThat(blank.alive()).isFalse();
        blank.kill(soon());
    }

    @Test
    void aMachineThatWasBootedWithMemoryOfItsOwnIsPausedAndResumed() throws IOException {
        FileDescriptor empty = test.own(ZeroMemory.open());
        Base zero = Base.zero(memoryBytes(), empty.path());
        FileStatus mapped = ZeroMemory.mapped(memoryBytes());
        Home home = new Home(rootfs());
        VirtualMachine machine = boot(home, empty, false);
        String pid = home.startWitness();
        for (int round = 1; round <= 2; round++) {
            pause(home, machine, zero, mapped);
            machine = running(resumed(home, zero, empty, mapped));
            assertThat(home.askWitness()).isEqualTo(pid + " " + round + " True");
        }
    }

    @Test
    void aMachineGoesOnAfterItsStateWasSaved() throws IOException {
        Home home = new Home(template.disk);
        VirtualMachine machine = running(restored(home));
        assertThatThrownBy(() -> machine.saveDeviceState(home.root.resolve("early"), soon()))
                .isInstanceOf(IllegalStateException.class);
        for (int i = 0; i < 3; i++) {
            machine.stopVcpus(soon());
            assertThat(machine.vcpusRunning(soon())).isFalse();
            Path state = home.root.resolve("state-" + i);
            machine.saveDeviceState(state, soon());
            assertThat(Linux.statx(state)).satisfies(file -> {
                assertThat(file.uid()).isZero();
                assertThat(file.mode() & 0777).isEqualTo(0600);
            });
            machine.continueVcpus(soon());
            assertThat(machine.vcpusRunning(soon())).isTrue();
            assertThat(home.shell("echo on")).isEqualTo("on");
        }
        machine.stopVcpus(soon());
        assertThatThrownBy(() -> machine.saveDeviceState(home.root.resolve("state-0"), soon()))
                .isInstanceOf(VmmFailed.class);
    }

    @Test
    void anAgentThatDidNotStartAMachinePausesItAndSwitchesItsDisk() throws IOException {
        Home home = new Home(template.disk);
        VirtualMachine machine = running(restored(home));
        String pid = home.startWitness();
        vmm.close();

        Vmm later = test.own(vmm(test.own(Processes.open()), images));
        VirtualMachine adopted = owned(later.adopt(home.machineDirectory(), machine.identity()));
        assertThat(adopted.vcpusRunning(soon())).isTrue();
        long before = adopted.topDiskInode(soon());
        Path top = home.push();
        try (DiskSwitch disk = adopted.prepareDiskLayer(top, soon())) {
            adopted.stopVcpus(soon());
            disk.commit(soon());
        }
        assertThat(adopted.topDiskInode(soon()))
                .isEqualTo(Linux.statx(top).inode())
                .isNotEqualTo(before);
        adopted.continueVcpus(soon());
        assertThat(home.askWitness()).isEqualTo(pid + " 1 True");
        pause(home, adopted);
        running(resumed(home));
        assertThat(home.askWitness()).isEqualTo(pid + " 2 True");
    }

    @Test
    void aFullDiskFailsTheSaveAndTheMachineGoesOn() throws IOException {
        Home home = new Home(template.disk, root -> mountSmall(root, "4m"));
        Path tinyToo = mountSmall(Files.createDirectories(home.root.resolve("tiny")), "64k");
        VirtualMachine machine = running(restored(home));
        Path filler = home.machineDirectory().resolve("filler");
        fill(filler);
        machine.stopVcpus(soon());
        assertFull(machine, home.root.resolve("state"));
        machine.continueVcpus(soon());
        assertThat(home.shell("echo on")).isEqualTo("on");

        Files.delete(filler);
        machine.stopVcpus(soon());
        fill(tinyToo.resolve("filler"));
        assertFull(machine, tinyToo.resolve("state"));
        machine.saveDeviceState(home.root.resolve("state"), soon());
        machine.continueVcpus(soon());
        assertThat(home.shell("echo on")).isEqualTo("on");
    }

    private static void assertFull(VirtualMachine machine, Path state) {
        assertThatThrownBy(() -> machine.saveDeviceState(state, soon()))
                .isInstanceOfSatisfying(
                        PlatformException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.DISK_FULL));
        assertThat(state).doesNotExist();
    }

    private Path mountSmall(Path at, String size) {
        Command.of("mount", "-t", "tmpfs", "-o", "size=" + size, "sandglass-test", at.toString())
                .run();
        test.defer("tmpfs", () -> Command.of("umount", at.toString()).run());
        return at;
    }

    private static void fill(Path file) throws IOException {
        try (var stream = Files.newOutputStream(file)) {
            while (true) {
                stream.write(new byte[4096]);
            }
        } catch (IOException e) {
            assertThat(e).hasMessageContaining("No space left");
        }
    }

    // ---- Failures of a restore

    @Test
    void aProcessThatEndsWhileItsMemoryIsLoadedIsAFailureOfTheVmm() throws IOException {
        Home home = new Home(template.disk);
        assertThatThrownBy(() -> restored(home, process -> {
                    Linux.kill(process.pid(), Linux.SIGKILL);
                    try (ProcessMemory memory = ProcessMemory.open(process, Linux.statx(template.memoryFile.path()))) {
                        memory.write(0, ByteBuffer.allocate(4096));
                    }
                }))
                .isInstanceOf(VmmFailed.class)
                .hasMessageContaining("signal 9");
    }

    @Test
    void whatALoaderThrowsReachesTheCallerAndEndsTheProcess() throws IOException {
        Home home = new Home(template.disk);
        PlatformException damaged = new PlatformException(ErrorCode.INTERNAL_ERROR, "Damaged.");
        assertThatThrownBy(() -> restored(home, _ -> {
                    throw damaged;
                }))
                .isSameAs(damaged);
        assertThat(Processes.find(home.machineDirectory()))
                .hasValueSatisfying(process -> assertThat(process.alive()).isFalse());
    }

    // ---- Disk

    @Test
    void aDiskIsSwitchedThreeTimesUnderALivingMachineAndItsLayersReadBack() throws IOException {
        Home home = new Home(template.disk);
        VirtualMachine machine = running(restored(home));
        String pid = home.startWitness();
        String[] sums = new String[4];
        for (int round = 0; round < 3; round++) {
            sums[round] = write(home, round);
            List<DiskLayer> frozen =
                    new Qcow2Disks().open(home.diskDirectory, home.base).layers();
            assertThat(machine.topDiskInode(soon()))
                    .isEqualTo(Linux.statx(frozen.getFirst().file()).inode());
            try (DiskSwitch disk = machine.prepareDiskLayer(home.push(), soon())) {
                machine.stopVcpus(soon());
                disk.commit(soon());
                assertHolds(home, frozen, sums, round);
            }
            machine.continueVcpus(soon());
            assertThat(home.askWitness()).isEqualTo(pid + " " + (round + 1) + " True");
        }
        sums[3] = write(home, 3);
        List<DiskLayer> all =
                new Qcow2Disks().open(home.diskDirectory, home.base).layers();
        assertThat(all).hasSize(home.base.size() + 4);
        for (int round = 0; round < 3; round++) {
            assertHolds(home, all.subList(3 - round, all.size()), sums, round);
        }
        assertThat(home.shell("cd /root; sha256sum file-0 file-1 file-2 file-3 | cut -c 1-64"))
                .isEqualTo(String.join("\n", sums));
        assertThat(home.machineDirectory().resolve("control")).isDirectoryNotContaining("glob:**/disk-*");
    }

    @Test
    void aPreparedLayerThatIsNotUsedIsLetGo() throws IOException {
        Home home = new Home(template.disk);
        VirtualMachine machine = running(restored(home));
        long before = machine.topDiskInode(soon());
        Path top = home.push();
        machine.prepareDiskLayer(top, soon()).close();
        assertThat(machine.topDiskInode(soon())).isEqualTo(before);
        try (DiskSwitch disk = machine.prepareDiskLayer(top, soon())) {
            machine.stopVcpus(soon());
            disk.commit(soon());
            machine.continueVcpus(soon());
        }
        assertThat(machine.topDiskInode(soon())).isEqualTo(Linux.statx(top).inode());
        assertThat(Linux.statx(top).uid()).isZero();
        assertThat(home.shell("echo more >/root/more; sync; cat /root/more")).isEqualTo("more");
    }

    private static String write(Home home, int round) {
        return home.shell("cd /root; head -c 300000 /dev/urandom >file-$1; sync; sha256sum file-$1 | cut -c 1-64"
                .replace("$1", Integer.toString(round)));
    }

    /** Read by somebody else, from the files that the machine has open: with all files up to {@code last}, none later. */
    private void assertHolds(Home home, List<DiskLayer> layers, String[] sums, int last) throws IOException {
        Path raw = home.root.resolve("raw");
        Command.of("qemu-img", "convert", "-U", "-O", "raw", "json:" + chain(layers), raw.toString())
                .timeout(Duration.ofMinutes(1))
                .run();
        // The guest's journal is replayed first: it is a machine's disk after a power cut.
        Command.of("sh", "-c", "e2fsck -fy \"$1\" >/dev/null; [ $? -le 1 ]", "sh", raw.toString())
                .timeout(Duration.ofMinutes(1))
                .run();
        for (int file = 0; file <= last + 1; file++) {
            String sum = Command.of(
                            "sh",
                            "-c",
                            "debugfs -R \"cat /root/file-$2\" \"$1\" 2>/dev/null | sha256sum | cut -c 1-64",
                            "sh",
                            raw.toString(),
                            Integer.toString(file))
                    .run()
                    .strip();
            if (file <= last) {
                assertThat(sum).isEqualTo(sums[file]);
            } else {
                assertThat(sum).isEqualTo("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
            }
        }
        Files.delete(raw);
    }

    private static String chain(List<DiskLayer> layers) {
        DiskLayer top = layers.getFirst();
        String file = "{\"driver\":\"file\",\"filename\":\"" + top.file() + "\"}";
        String backing = layers.size() == 1 ? "" : ",\"backing\":" + chain(layers.subList(1, layers.size()));
        return top.format() == DiskLayer.Format.RAW
                ? "{\"driver\":\"raw\",\"file\":" + file + "}"
                : "{\"driver\":\"qcow2\",\"file\":" + file + backing + "}";
    }

    // ---- Steps

    private VirtualMachine restored(Home home) throws IOException {
        return restored(home, MemoryLoader.NONE);
    }

    private VirtualMachine restored(Home home, MemoryLoader loader) throws IOException {
        try (FileDescriptor state = Linux.open(template.deviceState, Linux.O_RDONLY, 0)) {
            return owned(vmm.prepare(home.plan(), template.memoryFile, StateForm.TEMPLATE, soon())
                    .restore(home.ownDisk(), state, loader, soon()));
        }
    }

    private static VirtualMachine running(VirtualMachine machine) {
        machine.continueVcpus(soon());
        return machine;
    }

    private void pause(Home home, VirtualMachine machine) throws IOException {
        pause(home, machine, template.memory, Linux.statx(template.memoryFile.path()));
    }

    private static void pause(Home home, VirtualMachine machine, Base base, FileStatus mapped) throws IOException {
        machine.stopVcpus(soon());
        try (Draft draft = home.store(base).begin();
                ProcessMemory memory = ProcessMemory.open(machine.identity(), mapped)) {
            machine.saveDeviceState(draft.directory().resolve("devices"), soon());
            draft.save(memory);
            draft.commit();
        }
        machine.kill(soon());
    }

    private VirtualMachine resumed(Home home) throws IOException {
        return resumed(home, template.memory, template.memoryFile, Linux.statx(template.memoryFile.path()));
    }

    private VirtualMachine resumed(Home home, Base base, FileDescriptor memoryFile, FileStatus mapped)
            throws IOException {
        return restore(vmm.prepare(home.plan(), memoryFile, StateForm.DEVICES, soon()), home, base, mapped);
    }

    private VirtualMachine restore(BlankMachine blank, Home home, Base base, FileStatus mapped) throws IOException {
        GenerationStore store = home.store(base);
        try (FileDescriptor devices = Linux.open(store.requireAttachment("devices"), Linux.O_RDONLY, 0)) {
            return owned(blank.restore(
                    home.ownDisk(),
                    devices,
                    process -> {
                        try (ProcessMemory memory = ProcessMemory.open(process, mapped);
                                MemoryImage image = store.image()) {
                            image.restore(memory);
                        }
                    },
                    soon()));
        }
    }

    private VirtualMachine owned(VirtualMachine machine) {
        test.defer("machine", () -> machine.kill(soon()));
        return machine;
    }

    private static List<BlockLayer> blockLayers(List<DiskLayer> layers) {
        return layers.stream()
                .map(layer -> new BlockLayer(layer.file(), layer.format() == DiskLayer.Format.QCOW2))
                .toList();
    }

    private static long memoryBytes() {
        return (long) MEMORY_MB << 20;
    }

    private static Deadline soon() {
        return Deadline.after(Duration.ofSeconds(30));
    }
}
