package dev.sandglass.host.guest;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.Id;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Scope;
import dev.sandglass.contract.guest.v1.StartExec;
import dev.sandglass.host.disk.DiskLayer;
import dev.sandglass.host.disk.Qcow2Disks;
import dev.sandglass.host.image.BootImages;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.network.Ipv4Range;
import dev.sandglass.host.network.NetworkConfiguration;
import dev.sandglass.host.network.Networks;
import dev.sandglass.host.network.Slot;
import dev.sandglass.host.process.Processes;
import dev.sandglass.host.vmm.BlockLayer;
import dev.sandglass.host.vmm.BootSource;
import dev.sandglass.host.vmm.Confinement;
import dev.sandglass.host.vmm.MachinePlan;
import dev.sandglass.host.vmm.MemoryLoader;
import dev.sandglass.host.vmm.StateForm;
import dev.sandglass.host.vmm.TestImages;
import dev.sandglass.host.vmm.VirtualMachine;
import dev.sandglass.host.vmm.Vmm;
import dev.sandglass.host.vmm.qemu.QemuConfiguration;
import dev.sandglass.host.vmm.qemu.QemuVmm;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/**
 * What a guest is after it stood still, in real VMs: one is booted and frozen for all tests with a witness running in it,
 * and they clone it. Needs root.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class ResumedGuestTest {
    private static final int MEMORY_MB = 256;
    private static final int SEALS = Linux.F_SEAL_WRITE | Linux.F_SEAL_SHRINK | Linux.F_SEAL_GROW | Linux.F_SEAL_SEAL;
    private static final int GUEST_PORT = 49983;
    private static final int WITNESS_PORT = 7000;
    private static final byte[] FIRST_TOKEN = new byte[GuestClient.TOKEN_BYTES];
    private static final String WITNESS_ID = "witness";
    private static final Duration FREEZE = Duration.ofSeconds(5);

    /** Long enough to be told from what a clock may be wrong. */
    private static final Duration STANDSTILL = Duration.ofSeconds(2);

    /**
     * Takes samples of clock and randomness without a pause. A gap between two of them is where it stood still: it then
     * prints the first sample after it, and what becomes of its connections.
     */
    private static final String WITNESS = """
            import os, select, socket, subprocess, threading, time, uuid
            def say(*words):
                os.write(1, (' '.join(str(word) for word in words) + '\\n').encode())
            def read(name, connection):
                try:
                    say(name, connection.recv(100).decode() or 'end')
                except OSError as failure:
                    say(name, type(failure).__name__)
            server = socket.create_server(('0.0.0.0', PORT))
            one = socket.create_connection(('127.0.0.1', PORT))
            two, _ = server.accept()
            say('listening')
            outside, _ = server.accept()
            threading.Thread(target=read, args=('outside', outside)).start()
            threading.Thread(target=read, args=('inside', two)).start()
            time.sleep(0.1)
            say('ready')
            last = time.monotonic()
            while True:
                now, clock, then, random = time.monotonic(), time.time(), time.monotonic(), os.getrandom(16).hex()
                if now < last:
                    say('backwards')
                if now - last > 0.015:
                    break
                last = now
                select.select([], [], [], 0.001)
            say('gap', now - last)
            say('offset', clock - now)  # at most: the machine may have done something else meanwhile
            say('least-offset', clock - then)
            say('random', random)
            say('uuid', uuid.uuid4())
            say('host', os.uname().nodename, socket.gethostbyname(os.uname().nodename), open('/etc/hostname').read().strip())
            one.send(b'alive')
            late, _ = server.accept()
            say('late', late.recv(5).decode())
            time.sleep(0.2)
            say('done')
            time.sleep(1000)
            """.replace("PORT", Integer.toString(WITNESS_PORT));

    /** Of twenty readings the one that the least came between. */
    private static final String OFFSET = """
            import time
            def reading():
                before, clock, after = time.monotonic(), time.time(), time.monotonic()
                return after - before, clock - before
            print(min(reading() for _ in range(20))[1])
            """;

    private final Scope suite = Scope.open("resumed guests");
    private final SecureRandom random = new SecureRandom();
    private Scope test;
    private Path directory;
    private BootImages images;
    private Networks networks;
    private Vmm vmm;
    private Frozen frozen;
    private int places;

    private record Frozen(FileDescriptor memory, Path deviceState, List<DiskLayer> disk, long witnessed) {}

    private final class Place {
        final Path root = Files.createDirectories(directory.resolve("place-" + ++places));
        final Slot slot = networks.acquire(soon());
        final List<DiskLayer> disk;

        Place(List<DiskLayer> base) throws IOException {
            test.defer("slot", () -> networks.release(slot));
            Path own = Files.createDirectories(root.resolve("disk"));
            disk = new Qcow2Disks()
                    .create(own, base, Files.size(images.rootfs()), soon())
                    .layers();
        }

        MachinePlan plan() {
            return new MachinePlan(
                    "resumed-" + slot.index(),
                    root.resolve("vm"),
                    1,
                    MEMORY_MB,
                    layers(disk.subList(1, disk.size())),
                    new Confinement(slot.uid(), slot.namespace(), slot.tap(), List.of()));
        }

        List<BlockLayer> ownDisk() {
            return layers(disk.subList(0, 1));
        }

        private static List<BlockLayer> layers(List<DiskLayer> layers) {
            return layers.stream()
                    .map(layer -> new BlockLayer(layer.file(), layer.format() == DiskLayer.Format.QCOW2))
                    .toList();
        }

        InetSocketAddress agent() {
            return new InetSocketAddress(slot.hostAddress(), GUEST_PORT);
        }

        Socket connect() throws IOException {
            return test.own(new Socket(slot.hostAddress(), WITNESS_PORT));
        }
    }

    private record Clone(Place place, VirtualMachine machine, GuestClient guest) {}

    @BeforeAll
    void bootAndFreezeOnce(@TempDir Path suiteDirectory) throws IOException {
        directory = suiteDirectory;
        images = TestImages.build();
        vmm = suite.own(QemuVmm.probe(suite.own(Processes.open()), QemuConfiguration.standard(), images::kernel));
        networks = suite.own(Networks.open(NetworkConfiguration.standard(
                "rg" + Id.Ids.randomCharacters(8), directory, Ipv4Range.parseAddress("203.0.113.53"), 0)));
        try (Scope boot = Scope.open("boot")) {
            test = boot;
            frozen = freeze();
        }
    }

    private Frozen freeze() throws IOException {
        FileDescriptor memory = suite.own(Linux.memfdCreate("resumed-guest"));
        Linux.ftruncate(memory, (long) MEMORY_MB << 20);
        Place place = new Place(List.of(new DiskLayer(images.rootfs(), DiskLayer.Format.RAW)));
        VirtualMachine machine = owned(vmm.boot(
                place.plan(),
                place.ownDisk(),
                new BootSource(images.kernel(), images.initramfs(), images.kernelArguments(), memory, true),
                soon()));
        Path state = directory.resolve("state");
        long witnessed;
        try (GuestClient guest = GuestClient.awaitReady(place.agent(), FIRST_TOKEN, soon())) {
            run(guest, "true");
            witnessed = startWitness(place, guest);
            guest.freeze(FREEZE);
            guest.freeze(FREEZE); // once more is fine
        }
        machine.stopVcpus(soon());
        machine.saveTemplateState(state, soon());
        machine.kill(soon());
        Linux.addSeals(memory, SEALS);
        return new Frozen(memory, state, place.disk, witnessed);
    }

    /** Returns how much it had printed when it was ready. */
    private static long startWitness(Place place, GuestClient guest) throws IOException {
        try (ExecStream witness = guest.startExec(
                StartExec.newBuilder()
                        .setExecId(WITNESS_ID)
                        .addAllArgv(List.of("python3", "-c", WITNESS))
                        .build(),
                soon())) {
            await(witness, "listening");
            place.connect();
            return await(witness, "ready").seq();
        }
    }

    @AfterAll
    void releaseAll() {
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

    // ---- Tests

    /** As on a machine that is busy for longer than a few attempts take. */
    @Test
    void aClockThatIsHardToSetIsSetWhenTheHostHasTimeAgain() throws Exception {
        Clone clone = restored();
        AtomicInteger readings = new AtomicInteger();
        InstantSource late = () -> {
            boolean received = readings.incrementAndGet() % 2 == 0;
            return Instant.now().plusMillis(received && readings.get() < 100 ? 60 : 0);
        };
        clone.guest.renew(new Renewal(FIRST_TOKEN, late, bytes(64), "late", true, false), soon());
        assertThat(readings.get()).isGreaterThanOrEqualTo(100);
        assertThat(run(clone.guest, "hostname")).isEqualTo("late");
    }

    @Test
    void aCommandThatComesWhileProcessesAreHeldRunsWhenTheyGoOn() throws Exception {
        Clone clone = restored();
        renew(clone, "held", true);
        clone.guest.freeze(FREEZE);
        CompletableFuture<String> answer =
                CompletableFuture.supplyAsync(() -> run(clone.guest, "echo", "waited"), Thread::startVirtualThread);
        assertThatThrownBy(() -> answer.get(300, TimeUnit.MILLISECONDS)).isInstanceOf(TimeoutException.class);
        clone.guest.thaw();
        assertThat(answer.get(20, TimeUnit.SECONDS)).isEqualTo("waited");

        clone.guest.freeze(FREEZE);
        CompletableFuture<String> late =
                CompletableFuture.supplyAsync(() -> run(clone.guest, "echo", "late"), Thread::startVirtualThread);
        Thread.sleep(100);
        clone.guest.closeConnections("It is being paused.");
        assertThatThrownBy(() -> late.get(20, TimeUnit.SECONDS)).hasMessageContaining("It is being paused.");
    }

    @Test
    void theFirstThingThatTwoClonesDoIsRightAndTheirOwn() throws Exception {
        Thread.sleep(STANDSTILL);
        Set<String> seen = new HashSet<>();
        for (String name : List.of("clone-one", "clone-two")) {
            Clone clone = restored();
            renew(clone, name, true);
            try (ExecStream witness = clone.guest.attachExec(WITNESS_ID, frozen.witnessed, soon())) {
                Witnessed witnessed = Witnessed.read(clone, witness);
                // Its clock was then what it is now, and that is right.
                assertThat(Double.parseDouble(run(clone.guest, "python3", "-c", OFFSET)))
                        .isBetween(witnessed.leastOffset - 0.01, witnessed.offset + 0.01);
                assertThat(clockError(clone.guest)).isCloseTo(Duration.ZERO, Duration.ofMillis(50));
                assertThat(witnessed.host).isEqualTo(name + " 127.0.1.1 " + name);
                assertThat(witnessed.outside).isEqualTo("ConnectionAbortedError");
                assertThat(witnessed.inside).isEqualTo("alive");
                assertThat(seen.add(witnessed.random)).isTrue();
                assertThat(seen.add(witnessed.uuid)).isTrue();
            }
            assertThat(seen.add(run(clone.guest, "cat", "/proc/sys/kernel/random/uuid")))
                    .isTrue();
            assertThat(seen.add(run(clone.guest, "sh", "-c", "head -c 16 /dev/urandom | od -An -tx8")))
                    .isTrue();
        }
    }

    /** What the witness tells of its first moment after a standstill. */
    private static final class Witnessed {
        double offset;
        double leastOffset;
        String random = "";
        String uuid = "";
        String host = "";
        String outside = "";
        String inside = "";

        static Witnessed read(Clone clone, ExecStream witness) throws IOException {
            Witnessed all = new Witnessed();
            StringBuilder pending = new StringBuilder();
            for (; ; ) {
                ExecStream.Event event = witness.next(soon()).orElseThrow(() -> new AssertionError(pending));
                pending.append(((ExecStream.Event.Output) event).data().toString(UTF_8));
                for (int end; (end = pending.indexOf("\n")) >= 0; pending.delete(0, end + 1)) {
                    String line = pending.substring(0, end);
                    if (line.equals("done")) {
                        return all;
                    }
                    all.take(clone, line);
                }
            }
        }

        private void take(Clone clone, String line) throws IOException {
            String value = line.substring(line.indexOf(' ') + 1);
            switch (line.substring(0, Math.max(0, line.indexOf(' ')))) {
                case "offset" -> offset = Double.parseDouble(value);
                case "least-offset" -> leastOffset = Double.parseDouble(value);
                case "random" -> random = value;
                case "uuid" -> uuid = value;
                case "host" -> {
                    host = value;
                    clone.place.connect().getOutputStream().write("hello".getBytes(UTF_8));
                }
                case "outside" -> outside = value;
                case "inside" -> inside = value;
                case "gap" -> assertThat(Double.parseDouble(value)).isLessThan(STANDSTILL.toSeconds() / 2.0);
                case "late" -> assertThat(value).isEqualTo("hello");
                default -> throw new AssertionError(line);
            }
        }
    }

    @Test
    void aGuestThatStoodStillWhereItWasKeepsItsConnections() throws Exception {
        Clone clone = restored();
        renew(clone, "keeper", true);
        run(clone.guest, "sh", "-ec", """
                setsid python3 -c "
                import socket
                server = socket.create_server(('0.0.0.0', 7001))
                connection, _ = server.accept()
                while True:
                    connection.send(connection.recv(100).upper())
                " </dev/null >/dev/null 2>&1 &
                until grep -q :1B59 /proc/net/tcp; do sleep 0.05; done
                """);
        Socket socket = test.own(new Socket(clone.place.slot.hostAddress(), 7001));
        assertThat(echo(socket, "one")).isEqualTo("ONE");
        clone.guest.freeze(FREEZE);
        clone.machine.stopVcpus(soon());
        clone.machine.continueVcpus(soon());
        clone.guest.renew(renewal("keeper", true, true), soon());
        assertThat(echo(socket, "two")).isEqualTo("TWO");

        clone.guest.renew(renewal("keeper", false, false), soon());
        assertThat(socket.getInputStream()).satisfies(input -> {
            try {
                assertThat(input.read()).isNegative();
            } catch (IOException reset) {
                assertThat(reset).hasMessageContaining("reset");
            }
        });
    }

    private static String echo(Socket socket, String text) throws IOException {
        socket.setSoTimeout(20_000);
        socket.getOutputStream().write(text.getBytes(UTF_8));
        return new String(socket.getInputStream().readNBytes(text.length()), UTF_8);
    }

    @Test
    void clocksAndTimeoutsAreRightAfterAStandstill() throws Exception {
        Clone clone = restored();
        renew(clone, "timer", true);
        ExecStream slow = clone.guest.startExec(
                StartExec.newBuilder()
                        .setExecId("slow")
                        .addAllArgv(List.of("sleep", "30"))
                        .setTimeoutMs(1500)
                        .build(),
                soon());
        double before = uptime(clone.guest);
        clone.guest.freeze(FREEZE);
        clone.guest.closeConnections("The sandbox is being paused.");
        clone.machine.stopVcpus(soon());
        Thread.sleep(STANDSTILL);
        clone.machine.continueVcpus(soon());
        GuestClient later = test.own(new GuestClient(clone.place.agent(), token));
        later.renew(renewal("timer", true, false), soon());
        double after = uptime(later);

        assertThat(after).isGreaterThan(before).isLessThan(before + STANDSTILL.toSeconds());
        assertThat(clockError(later)).isCloseTo(Duration.ZERO, Duration.ofMillis(50));
        try (ExecStream attached = later.attachExec("slow", 0, soon())) {
            Instant attachedAt = Instant.now();
            assertThat(attached.next(Deadline.after(Duration.ofMillis(100)))).isEmpty();
            assertThat(attached.next(soon()))
                    .hasValueSatisfying(event -> assertThat(
                                    ((ExecStream.Event.Exited) event).status().getTimedOut())
                            .isTrue());
            assertThat(Duration.between(attachedAt, Instant.now())).isLessThan(Duration.ofSeconds(2));
        }
        slow.close();
        Thread.sleep(STANDSTILL);
        assertThat(clockError(later)).isCloseTo(Duration.ZERO, Duration.ofMillis(50));
    }

    private static double uptime(GuestClient guest) {
        return Double.parseDouble(run(guest, "cut", "-d", " ", "-f", "1", "/proc/uptime"));
    }

    /** The way back counts too: of several the one where it was short. */
    private static Duration clockError(GuestClient guest) {
        Duration best = Duration.ofDays(1);
        for (int i = 0; i < 20 && best.compareTo(Duration.ofMillis(40)) > 0; i++) {
            Duration error = Duration.between(instantOf(run(guest, "date", "+%s.%N")), Instant.now());
            best = error.abs().compareTo(best) < 0 ? error.abs() : best;
        }
        return best;
    }

    @Test
    void userProcessesStandStillWhereverTheyAre() throws Exception {
        Clone clone = restored();
        renew(clone, "freezer", true);
        run(clone.guest, "sh", "-ec", """
                mkdir -p /sys/fs/cgroup/user/a/b /sys/fs/cgroup/beside/deep /sys/fs/cgroup/paused
                for place in user/a/b beside/deep . paused; do
                    name=$(echo "$place" | tr -d /)
                    setsid sh -c 'echo $$ >/sys/fs/cgroup/$0/cgroup.procs
                        while :; do sleep 0.01; echo >>/tmp/ticks-$1; done' "$place" "$name" </dev/null >/dev/null 2>&1 &
                done
                setsid python3 -c "
                import ctypes, os, signal, time
                if os.fork() == 0:
                    ctypes.CDLL(None).ptrace(0, 0, 0, 0)
                    os.kill(os.getpid(), signal.SIGSTOP)  # a ptrace stop
                while True:
                    if os.fork() == 0:
                        time.sleep(0.3)
                        os._exit(0)
                " </dev/null >/dev/null 2>&1 &
                sleep 0.5
                echo 1 >/sys/fs/cgroup/paused/cgroup.freeze
                """);
        clone.guest.freeze(FREEZE);
        clone.guest.freeze(FREEZE);
        String before = ticks(clone.guest);
        Thread.sleep(300);
        assertThat(ticks(clone.guest)).isEqualTo(before);
        assertThat(codeOfExec(clone.guest)).contains("try again");

        renew(clone, "freezer", true);
        clone.guest.thaw();
        assertThat(run(
                        clone.guest,
                        "cat",
                        "/sys/fs/cgroup/paused/cgroup.freeze",
                        "/sys/fs/cgroup/beside/cgroup.freeze"))
                .isEqualTo("1\n0");
        Thread.sleep(300);
        assertThat(ticks(clone.guest)).isNotEqualTo(before);
    }

    /** Names and sizes of the files that the processes write to, told by the agent itself. */
    private static String ticks(GuestClient guest) {
        return String.join(
                " ",
                guest.listDirectory("/tmp").stream()
                        .filter(file -> file.getName().startsWith("ticks-"))
                        .map(file -> file.getName() + "=" + file.getSize())
                        .sorted()
                        .toList());
    }

    private static String codeOfExec(GuestClient guest) {
        try {
            return run(guest, "true");
        } catch (PlatformException refused) {
            return String.valueOf(refused.getMessage());
        }
    }

    @Test
    void whatAUserWroteToHostsStaysThroughAPause() throws Exception {
        Clone clone = restored();
        renew(clone, "first-name", true);
        run(
                clone.guest,
                "sh",
                "-c",
                "echo 192.0.2.7 elsewhere.example >>/etc/hosts; sed -i s/^::1.*/::1\\ six/ /etc/hosts");
        renew(clone, "first-name", true);
        renew(clone, "second-name", true);
        assertThat(run(clone.guest, "python3", "-c", """
                        import socket
                        print(*(socket.gethostbyname(name) for name in ('second-name', 'elsewhere.example', 'localhost')))
                        """)).isEqualTo("127.0.1.1 192.0.2.7 127.0.0.1");
        assertThat(run(clone.guest, "cat", "/etc/hosts")).contains("::1 six").doesNotContain("first-name");
    }

    // ---- Steps

    private byte[] token = FIRST_TOKEN;

    private Clone restored() throws IOException {
        Place place = new Place(frozen.disk);
        VirtualMachine machine;
        try (FileDescriptor state = Linux.open(frozen.deviceState, Linux.O_RDONLY, 0)) {
            machine = owned(vmm.prepare(place.plan(), frozen.memory, StateForm.TEMPLATE, soon())
                    .restore(place.ownDisk(), state, MemoryLoader.NONE, soon()));
        }
        machine.continueVcpus(soon());
        return new Clone(place, machine, test.own(new GuestClient(place.agent(), FIRST_TOKEN)));
    }

    private void renew(Clone clone, String hostname, boolean thaw) {
        clone.guest.renew(renewal(hostname, thaw, false), soon());
    }

    private Renewal renewal(String hostname, boolean thaw, boolean keepConnections) {
        token = bytes(GuestClient.TOKEN_BYTES);
        return new Renewal(token, InstantSource.system(), bytes(64), hostname, thaw, keepConnections);
    }

    private byte[] bytes(int size) {
        byte[] bytes = new byte[size];
        random.nextBytes(bytes);
        return bytes;
    }

    private static String run(GuestClient guest, String... argv) {
        StartExec start = StartExec.newBuilder()
                .setExecId(Id.Ids.randomCharacters(12))
                .addAllArgv(List.of(argv))
                .build();
        ExecResult result = guest.exec(start, new byte[0], 64 << 10, soon());
        assertThat(result.exited().getExitCode())
                .as(result.stderr().toString(UTF_8))
                .isZero();
        return result.stdout().toString(UTF_8).strip();
    }

    private static ExecStream.Event.Output await(ExecStream stream, String text) {
        for (StringBuilder seen = new StringBuilder(); ; ) {
            Optional<ExecStream.Event> event = stream.next(soon());
            if (event.isEmpty() || !(event.get() instanceof ExecStream.Event.Output output)) {
                throw new AssertionError(event + " after " + seen);
            }
            if (seen.append(output.data().toString(UTF_8)).indexOf(text) >= 0) {
                return output;
            }
        }
    }

    private static Instant instantOf(String seconds) {
        return Instant.ofEpochMilli(Math.round(Double.parseDouble(seconds) * 1000));
    }

    private VirtualMachine owned(VirtualMachine machine) {
        test.defer("machine", () -> machine.kill(soon()));
        return machine;
    }

    private static Deadline soon() {
        return Deadline.after(Duration.ofSeconds(30));
    }
}
