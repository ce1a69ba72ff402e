package dev.sandglass.bench;

import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.Scope;
import dev.sandglass.contract.guest.v1.StartExec;
import dev.sandglass.host.disk.Disk;
import dev.sandglass.host.disk.DiskLayer;
import dev.sandglass.host.disk.Qcow2Disks;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.image.BootImages;
import dev.sandglass.host.image.ImageStore;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.network.NetworkConfiguration;
import dev.sandglass.host.network.Networks;
import dev.sandglass.host.network.Slot;
import dev.sandglass.host.process.Processes;
import dev.sandglass.host.vmm.BlockLayer;
import dev.sandglass.host.vmm.BootSource;
import dev.sandglass.host.vmm.Confinement;
import dev.sandglass.host.vmm.MachinePlan;
import dev.sandglass.host.vmm.VirtualMachine;
import dev.sandglass.host.vmm.qemu.QemuConfiguration;
import dev.sandglass.host.vmm.qemu.QemuVmm;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.Inet4Address;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * Boots the server's image as a template is booted before it is frozen, with the host agent's own parts and a network
 * place of its own. What it makes is gone after each {@link #boot}, the rest with {@link #close}.
 */
final class MicrovmBoot implements ColdBoot {
    private static final Duration TIMEOUT = Duration.ofSeconds(60);
    private static final Duration KILL = Duration.ofSeconds(10);
    private static final int GUEST_PORT = 49983;
    private static final int VCPUS = 1;
    private static final int MEMORY_MB = 512;
    private static final long DISK_BYTES = 8L << 30;
    /** The first execs of a guest load its programs and fill the emulator's translation cache. */
    private static final int WARM_UP_EXECS = 5;

    private static final int EXECS = 10;

    private final Path directory;
    private final BootImages images;
    private final Scope scope;
    private final QemuVmm vmm;
    private final Networks networks;
    private int number;

    private MicrovmBoot(Path directory, BootImages images, Scope scope, QemuVmm vmm, Networks networks) {
        this.directory = directory;
        this.images = images;
        this.scope = scope;
        this.vmm = vmm;
        this.networks = networks;
    }

    /**
     * Needs root.
     *
     * @param images where the server keeps its boot images
     * @param directory made here, for sockets and disks; the caller removes it
     */
    static MicrovmBoot prepare(Path images, Path directory) {
        try (Scope preparing = Scope.open("prepare cold boots")) {
            BootImages boot = new ImageStore(images).requireVerified();
            Files.createDirectories(directory);
            Scope scope = preparing.own(Scope.open("end cold boots"));
            Processes processes = scope.own(Processes.open());
            QemuVmm vmm = scope.own(QemuVmm.probe(processes, QemuConfiguration.standard(), boot::kernel));
            Networks networks = scope.own(Networks.open(NetworkConfiguration.standard(
                    Ids.randomCharacters(20), directory, Inet4Address.ofLiteral("192.0.2.53"), 0)));
            preparing.handOver();
            return new MicrovmBoot(directory, boot, scope, vmm, networks);
        } catch (IOException e) {
            throw new UncheckedIOException("prepare cold boots", e);
        }
    }

    @Override
    public String accelerator() {
        return vmm.acceleration().accelerator() + " (" + vmm.acceleration().reason() + ")";
    }

    @Override
    public Times boot() {
        Deadline deadline = Deadline.after(TIMEOUT);
        Path place = directory.resolve("boot-" + ++number);
        try (Scope once = Scope.open("cold boot")) {
            Files.createDirectories(place);
            Slot slot = networks.acquire(deadline);
            once.defer("slot", () -> networks.release(slot));
            Disk disk = new Qcow2Disks()
                    .create(place, List.of(new DiskLayer(images.rootfs(), DiskLayer.Format.RAW)), DISK_BYTES, deadline);
            FileDescriptor memory = once.own(memory());
            long begin = System.nanoTime();
            VirtualMachine machine = vmm.boot(
                    plan(place, disk, slot),
                    blockLayers(disk.own()),
                    new BootSource(images.kernel(), images.initramfs(), images.kernelArguments(), memory, true),
                    deadline);
            once.defer("VM", () -> machine.kill(Deadline.after(KILL)));
            GuestClient guest = once.own(GuestClient.awaitReady(
                    new InetSocketAddress(slot.hostAddress(), GUEST_PORT),
                    new byte[GuestClient.TOKEN_BYTES],
                    deadline));
            Duration firstAnswer = Duration.ofNanos(System.nanoTime() - begin);
            return new Times(firstAnswer, execs(guest, deadline));
        } catch (IOException e) {
            throw new UncheckedIOException("cold boot", e);
        }
    }

    private static FileDescriptor memory() {
        FileDescriptor memory = Linux.memfdCreate("cold-boot");
        Linux.ftruncate(memory, (long) MEMORY_MB << 20);
        return memory;
    }

    private static MachinePlan plan(Path place, Disk disk, Slot slot) {
        return new MachinePlan(
                "cold-boot",
                place.resolve("vm"),
                VCPUS,
                MEMORY_MB,
                blockLayers(disk.base()),
                new Confinement(slot.uid(), slot.namespace(), slot.tap(), List.of()));
    }

    private static List<BlockLayer> blockLayers(List<DiskLayer> layers) {
        return layers.stream()
                .map(layer -> new BlockLayer(layer.file(), layer.format() == DiskLayer.Format.QCOW2))
                .toList();
    }

    private static List<Duration> execs(GuestClient guest, Deadline deadline) {
        List<Duration> times = new ArrayList<>();
        for (int i = 0; i < WARM_UP_EXECS + EXECS; i++) {
            StartExec command = StartExec.newBuilder()
                    .setExecId("bench-" + i)
                    .addArgv("/bin/true")
                    .build();
            long begin = System.nanoTime();
            guest.exec(command, new byte[0], 0, deadline);
            times.add(Duration.ofNanos(System.nanoTime() - begin));
        }
        return times.subList(WARM_UP_EXECS, times.size());
    }

    @Override
    public void close() {
        scope.close();
    }
}
