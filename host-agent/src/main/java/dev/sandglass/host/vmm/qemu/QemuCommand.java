package dev.sandglass.host.vmm.qemu;

import dev.sandglass.host.vmm.BlockLayer;
import dev.sandglass.host.vmm.BootSource;
import dev.sandglass.host.vmm.MachinePlan;
import dev.sandglass.host.vmm.StateForm;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The command line of one QEMU process, from the namespace it enters to the machine's last device.
 *
 * <p>The launching shell is root; it opens every file, then becomes the VM's user and QEMU in place. So QEMU reaches its
 * files by descriptor only, and what it is started with is what it will ever have:
 *
 * <pre>
 * 5, 6   kernel, initramfs (boot)           9     guest memory
 * 7      the control directory              10 …  shared disk layers, top first
 * </pre>
 *
 * The machine's own disk layers come through the control directory, when it is known whose machine it is.
 */
final class QemuCommand {
    /** Machine and devices are part of the frozen state: change them, and templates are frozen anew. */
    static final String MACHINE = "microvm,acpi=on,memory-backend=memory,suppress-vmdesc=on";

    static final String DEVICES = "virtio-blk-device virtio-net-device,guest_announce=off virtio-rng-device isa-serial";
    static final String CPU = "max";

    /**
     * The emulator translates a program anew for each address it runs at, so with randomized ones every exec is a first
     * one: {@code true} took 28 ms of processor time instead of 8, {@code python3 -c} 350 instead of 115, and the cache
     * of translations overflowed after thirty of them. A guest can have it back (kernel.randomize_va_space).
     */
    private static final String FIXED_ADDRESSES = "norandmaps ";

    private static final String MAC = "06:00:a9:fe:00:15";
    private static final int FIRST_DISK_FD = 10;
    /** Of the device that is the guest's disk. */
    static final String DISK = "disk";

    /** A device needs media when it is made; its size is what the guest sees until it gets its own. */
    private static final String NO_DISK = "driver=null-co,node-name=none,read-zeroes=on,size=1073741824";

    private static final int CONSOLE_BYTES = 64 << 10;

    /**
     * bash, since its redirections take descriptors above 9. It opens files in the host's file system and then leaves that.
     * What QEMU says goes through dd, which keeps 256 KiB at most and then hangs up: a guest can make it complain without
     * end.
     */
    private static final String LAUNCHER = """
            exec 2> >(exec dd bs=4096 count=64 status=none >&2) >&2
            umask 022
            network=$1 jail=$2 uid=$3 directory=$4 memory=$5 kernel=$6 initramfs=$7 layers=$8
            shift 8
            [ -z "$kernel" ] || exec 5<"$kernel" 6<"$initramfs"
            exec 7<"$directory" 9<>"$memory"
            fd=10
            while [ "$fd" -lt $((10 + layers)) ]; do
                eval "exec $fd<\\"\\$1\\""
                shift
                fd=$((fd + 1))
            done
            exec nsenter --net="$network" --mount="$jail" unshare --mount setpriv --reuid "$uid" --regid "$uid" \\
                --clear-groups --no-new-privs --bounding-set -all --inh-caps -all "$@"
            """;

    /**
     * A layer that is never written again is opened by many at once. One of them may be the machine that wrote it, which
     * keeps its lock on it after having been given a new top layer.
     */
    private static final String SHARED_LAYER = ",file.read-only=on,file.locking=off";

    private final QemuConfiguration configuration;
    private final Acceleration acceleration;
    private final long counterKhz;
    private final Jail jail;
    private final MachinePlan plan;

    /** @param counterKhz rate of the host's time stamp counter */
    QemuCommand(
            QemuConfiguration configuration, Acceleration acceleration, long counterKhz, Jail jail, MachinePlan plan) {
        this.configuration = configuration;
        this.acceleration = acceleration;
        this.counterKhz = counterKhz;
        this.jail = jail;
        this.plan = plan;
    }

    List<String> boot(Path socketDirectory, BootSource source) {
        List<String> argv = launcher(
                socketDirectory,
                source.memory().path(),
                source.kernel().toString(),
                source.initramfs().toString());
        argv.addAll(machine(source.sharedMemory() ? "on" : "off"));
        argv.addAll(List.of("-kernel", "/proc/self/fd/5", "-initrd", "/proc/self/fd/6"));
        argv.addAll(List.of(
                "-append",
                "console=ttyS0 " + (acceleration.kvm() ? "" : clock(counterKhz) + FIXED_ADDRESSES)
                        + source.kernelArguments()));
        return argv;
    }

    List<String> blank(Path socketDirectory, Path memory, StateForm form) {
        List<String> argv = launcher(socketDirectory, memory, "", "");
        argv.addAll(machine("off"));
        argv.addAll(List.of("-incoming", "defer"));
        if (form == StateForm.DEVICES) {
            // Device state alone begins without the section that describes the machine.
            argv.addAll(List.of("-global", "migration.send-configuration=off"));
        }
        return argv;
    }

    /** An empty string for what is not there. */
    private List<String> launcher(Path socketDirectory, Path memory, String kernel, String initramfs) {
        List<String> argv = new ArrayList<>(List.of("bash", "-ec", LAUNCHER, "sandglass"));
        argv.addAll(List.of(
                "/run/netns/" + plan.confinement().networkNamespace(),
                jail.namespace().toString(),
                Integer.toString(plan.confinement().uid()),
                socketDirectory.toString(),
                memory.toString(),
                kernel,
                initramfs,
                Integer.toString(plan.baseDisk().size())));
        plan.baseDisk().forEach(layer -> argv.add(layer.file().toString()));
        return argv;
    }

    private List<String> machine(String shareMemory) {
        List<String> argv = new ArrayList<>(
                List.of(configuration.binary().toString(), "-name", plan.name(), "-nodefaults", "-no-user-config"));
        String size = plan.memoryMb() + "M";
        argv.addAll(List.of("-accel", accelerator(), "-cpu", CPU, "-smp", "" + plan.vcpus(), "-m", size));
        argv.addAll(List.of("-M", MACHINE));
        argv.addAll(List.of(
                "-object",
                "memory-backend-file,id=memory,size=" + size + ",mem-path=/proc/self/fd/9,share=" + shareMemory));
        // A reset ends the process: there is nothing in a restored machine that could boot again.
        argv.addAll(List.of("-display", "none", "-no-reboot", "-S"));
        argv.addAll(disk());
        // No announcement after a restore: every slot has the same addresses, and a clone would be busy with that
        // before
        // its first answer.
        argv.addAll(List.of(
                "-device",
                "virtio-blk-device,id=" + DISK + ",drive=none,werror=report,rerror=report",
                "-netdev",
                "tap,id=net,ifname=" + plan.confinement().tap() + ",script=no,downscript=no",
                "-device",
                "virtio-net-device,netdev=net,guest_announce=off,mac=" + MAC,
                "-device",
                "virtio-rng-device"));
        // Console output goes round in memory: a guest that spams it fills no disk.
        argv.addAll(List.of("-chardev", "ringbuf,id=console,size=" + CONSOLE_BYTES, "-serial", "chardev:console"));
        argv.addAll(List.of("-qmp", "unix:" + ControlDirectory.socketName() + ",server=on,wait=off"));
        argv.addAll(List.of("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"));
        return argv;
    }

    /**
     * The emulator's time stamp counter is the host's, and the guest cannot measure it on a busy host: without its rate
     * every other boot stood still for ever beside a second busy VM. Nothing there is a better clock to check it with.
     */
    static String clock(long counterKhz) {
        return "tsc_early_khz=" + counterKhz + " tsc=reliable ";
    }

    private String accelerator() {
        return acceleration.kvm() ? "kvm" : "tcg,tb-size=" + configuration.translationCacheMb();
    }

    /** The chain bottom first, each node on a descriptor set of its own; backing files named inside qcow2 are ignored. */
    private List<String> disk() {
        List<String> argv = new ArrayList<>();
        argv.addAll(List.of("-blockdev", NO_DISK));
        for (int i = plan.baseDisk().size() - 1; i >= 0; i--) {
            argv.addAll(List.of("-add-fd", "fd=" + (FIRST_DISK_FD + i) + ",set=" + i));
            argv.addAll(List.of("-blockdev", node(i)));
        }
        return argv;
    }

    private String node(int index) {
        BlockLayer layer = plan.baseDisk().get(index);
        String backing = index + 1 < plan.baseDisk().size() ? ",backing=" + baseNode(index + 1) : "";
        return "driver=" + (layer.qcow2() ? "qcow2" : "raw") + ",node-name=" + baseNode(index)
                + ",read-only=on,file.driver=file,file.filename=/dev/fdset/" + index
                + SHARED_LAYER + (layer.qcow2() ? backing : "");
    }

    /** 0 is the uppermost. */
    static String baseNode(int index) {
        return "base" + index;
    }
}
