package dev.sandglass.host.vmm;

import dev.sandglass.host.disk.DiskLayer;
import dev.sandglass.host.disk.Qcow2Disks;
import dev.sandglass.host.linux.Command;
import dev.sandglass.host.linux.CommandFailed;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.Linux;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

/** A network namespace with a tap, a uid, a directory and a disk layer for one VM of a test; closing removes them. */
final class TestPlace implements AutoCloseable {
    private static final AtomicInteger LAST = new AtomicInteger();

    /** Says hello with the token that a fresh guest accepts, and reads the beginning of the answer. */
    private static final String HELLO = """
            exec 3<>/dev/tcp/169.254.0.21/49983
            printf '\\x00\\x00\\x00\\x28\\x0a\\x26\\x08\\x01\\x10\\x01\\x1a\\x20' >&3
            printf '\\x00%.0s' {1..32} >&3
            dd bs=4096 count=1 status=none <&3 | od -An -tx1 -v | tr -d ' \\n'
            """;

    final String name;
    final Path directory;
    final Confinement confinement;

    TestPlace(Path parent) throws IOException {
        int number = LAST.incrementAndGet();
        name = "sgt" + Linux.getpid() + "-" + number;
        int uid = 1_900_000 + Linux.getpid() % 100_000 * 10 + number % 10;
        directory = Files.createDirectories(parent.resolve(name));
        ip("netns", "add", name);
        ip("-n", name, "link", "set", "lo", "up");
        ip("-n", name, "tuntap", "add", "tap0", "mode", "tap", "user", Integer.toString(uid));
        ip("-n", name, "addr", "add", "169.254.0.22/30", "dev", "tap0");
        ip("-n", name, "link", "set", "tap0", "up");
        confinement = new Confinement(uid, name, "tap0", List.of());
    }

    /** @param disk the whole chain; its top is the machine's own */
    MachinePlan plan(int memoryMb, List<BlockLayer> disk) {
        return new MachinePlan(name, directory.resolve("vm"), 1, memoryMb, disk.subList(1, disk.size()), confinement);
    }

    /** The chain with an empty layer of this VM's own on top. */
    List<BlockLayer> diskOver(List<BlockLayer> base, long bytes) {
        List<DiskLayer> layers = base.stream()
                .map(layer ->
                        new DiskLayer(layer.file(), layer.qcow2() ? DiskLayer.Format.QCOW2 : DiskLayer.Format.RAW))
                .toList();
        return new Qcow2Disks()
                .create(directory, layers, bytes, Deadline.after(Duration.ofSeconds(5))).layers().stream()
                        .map(layer -> new BlockLayer(layer.file(), layer.format() == DiskLayer.Format.QCOW2))
                        .toList();
    }

    /** What the guest's agent says to a Hello, in hex: a frame with a Welcome. Retried until the deadline. */
    String answer(Deadline deadline) {
        return answer(deadline, "2");
    }

    private String answer(Deadline deadline, String attemptSeconds) {
        while (true) {
            try {
                String answer = Command.of("ip", "netns", "exec", name, "timeout", attemptSeconds, "bash", "-ec", HELLO)
                        .run();
                if (!answer.isEmpty()) {
                    return answer;
                }
            } catch (CommandFailed e) {
                deadline.check(name + ": answer of the guest agent: " + e.getMessage());
            }
            deadline.check(name + ": answer of the guest agent");
            sleep();
        }
    }

    boolean answers() {
        try {
            return !answer(Deadline.after(Duration.ZERO), "0.5").isEmpty();
        } catch (RuntimeException e) {
            return false;
        }
    }

    @Override
    public void close() {
        ip("netns", "del", name);
    }

    private static void sleep() {
        try {
            Thread.sleep(20);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static void ip(String... arguments) {
        String[] argv = new String[arguments.length + 1];
        argv[0] = "ip";
        System.arraycopy(arguments, 0, argv, 1, arguments.length);
        Command.of(argv).run();
    }
}
