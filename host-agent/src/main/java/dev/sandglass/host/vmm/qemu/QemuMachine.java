package dev.sandglass.host.vmm.qemu;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.DurableFile;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.FileStatus;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.process.DetachedProcess;
import dev.sandglass.host.process.ExitStatus;
import dev.sandglass.host.process.ProcessIdentity;
import dev.sandglass.host.vmm.BlockLayer;
import dev.sandglass.host.vmm.DiskSwitch;
import dev.sandglass.host.vmm.MemoryLoader;
import dev.sandglass.host.vmm.VirtualMachine;
import dev.sandglass.host.vmm.VmmFailed;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * One QEMU process. Its directory:
 *
 * <pre>
 * control/qmp     QEMU's socket
 * control/incoming  QEMU's socket for the state it is restored from
 * control/saved   our socket, or QEMU's file, while a device state is saved
 * control/disk-N  a disk layer while QEMU opens it
 * pid exit stderr   the supervisor's
 * </pre>
 */
final class QemuMachine implements VirtualMachine {
    private static final Logger LOG = LoggerFactory.getLogger(QemuMachine.class);

    private static final String CONTROL = "control";
    /** What {@link QemuCommand} leaves open for it. */
    private static final String MEMORY_FD = "9";

    private static final String SAVED = "saved";
    private static final String INCOMING = "incoming";

    private static final long CONNECT_POLL_MILLIS = 1;
    private static final int CONSOLE_TAIL_BYTES = 64 << 10;

    /** How long the socket's end may be ahead of the news of the process's end. */
    private static final Duration EXIT_NEWS = Duration.ofMillis(500);

    private static final Duration STDERR_NEWS = Duration.ofMillis(200);

    /** A saved device state is tens of KiB, begins with QEVM and a version, and ends with the end-of-file section. */
    private static final long STATE_BYTES_MIN = 1024;

    private static final int STATE_MAGIC = 0x5145564d;
    private static final byte STATE_LAST = 0;

    /** With less than this a failed write is put down to a full disk. */
    private static final long SPACE_MIN = 1 << 20;

    private static final String COMPLETED = "completed";
    private static final Set<String> ENDS = Set.of(COMPLETED, "failed", "cancelled");

    private final String name;
    private final ControlDirectory control;
    private final DiskLayers disk;
    private final DetachedProcess process;

    @GuardedBy("this")
    private @Nullable QmpClient client;

    QemuMachine(String name, Path directory, DetachedProcess process) {
        this.name = name;
        this.control = control(directory);
        this.disk = new DiskLayers(
                name, control, (command, arguments, deadline) -> qmp(deadline).execute(command, arguments, deadline));
        this.process = process;
    }

    /** Of the machine that has this directory. */
    static ControlDirectory control(Path directory) {
        return new ControlDirectory(directory.resolve(CONTROL));
    }

    @Override
    public ProcessIdentity identity() {
        return process.identity();
    }

    @Override
    public CompletableFuture<ExitStatus> exit() {
        return process.exit();
    }

    @Override
    public String stderrTail() {
        return process.stderrTail();
    }

    @Override
    public String consoleTail(Deadline deadline) {
        return qmp(deadline)
                .execute(
                        "ringbuf-read",
                        QmpClient.arguments().put("device", "console").put("size", CONSOLE_TAIL_BYTES),
                        deadline)
                .asString("");
    }

    @Override
    public void stopVcpus(Deadline deadline) {
        repeatable("stop", QmpClient.arguments(), deadline);
    }

    @Override
    public void continueVcpus(Deadline deadline) {
        repeatable("cont", QmpClient.arguments(), deadline);
    }

    @Override
    public boolean vcpusRunning(Deadline deadline) {
        return repeatable("query-status", QmpClient.arguments(), deadline)
                .path("running")
                .asBoolean(false);
    }

    @Override
    public void saveDeviceState(Path file, Deadline deadline) {
        if (vcpusRunning(deadline)) {
            throw new IllegalStateException(name + ": is saved while it runs");
        }
        Path written = control.file(SAVED);
        try {
            // QEMU may go on writing to its file, so that is not the one that is kept.
            Files.deleteIfExists(written);
            Files.createFile(written, ControlDirectory.OWNER_ONLY_FILE);
            ControlDirectory.give(written, ControlDirectory.user(identity()));
            var arguments = QmpClient.arguments()
                    .put("filename", ControlDirectory.name(SAVED))
                    .put("live", false);
            repeatable("xen-save-devices-state", arguments, deadline);
            writeNew(file, whole(read(written)));
        } catch (IOException e) {
            throw spaceOr(file, new VmmFailed(name + ": save the device state", e));
        } catch (VmmFailed e) {
            throw spaceOr(written, e);
        } finally {
            delete(written);
        }
    }

    private static byte[] read(Path file) throws IOException {
        try (InputStream stream = Files.newInputStream(file)) {
            return stream.readNBytes(StateReceiver.BYTES_MAX);
        }
    }

    private static void writeNew(Path file, byte[] content) throws IOException {
        try (FileChannel channel = FileChannel.open(
                file,
                Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
                ControlDirectory.OWNER_ONLY_FILE)) {
            ByteBuffer rest = ByteBuffer.wrap(content);
            while (rest.hasRemaining()) {
                channel.write(rest);
            }
        } catch (FileAlreadyExistsException e) {
            throw e;
        } catch (IOException e) {
            Files.deleteIfExists(file);
            throw e;
        }
    }

    /** QEMU says of a full disk only that there was an I/O error. */
    private RuntimeException spaceOr(Path file, VmmFailed failure) {
        Path place = Objects.requireNonNull(file.getParent());
        return Linux.statfs(place).availableBytes() < SPACE_MIN
                ? new PlatformException(
                        ErrorCode.DISK_FULL,
                        "The host has no space left for the sandbox's state. Remove sandboxes or snapshots that are not"
                                + " needed.",
                        failure)
                : failure;
    }

    private static void delete(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException e) {
            LOG.warn("{} stays behind", file, e);
        }
    }

    @Override
    public long topDiskInode(Deadline deadline) {
        return disk.topInode(deadline);
    }

    @Override
    public DiskSwitch prepareDiskLayer(Path newTop, Deadline deadline) {
        return disk.prepare(newTop, ControlDirectory.user(identity()), deadline);
    }

    @Override
    public void saveTemplateState(Path deviceState, Deadline deadline) {
        QmpClient qmp = qmp(deadline);
        ignoreSharedMemory(qmp);
        byte[] state;
        try (FileDescriptor opened = control.open();
                StateReceiver receiver = StateReceiver.listen(opened.path().resolve(SAVED))) {
            migration(qmp, "migrate", () -> qmp.execute("migrate", uri(SAVED), deadline), deadline);
            state = qmp.await("receive the device state", receiver.received(), deadline);
        } catch (IOException e) {
            throw new UncheckedIOException(name + ": listen for the device state", e);
        }
        DurableFile.write(deviceState, whole(state));
    }

    /** Until then the process may still be the launcher, which is root: whose files are given to is not known yet. */
    void awaitListening(Deadline deadline) {
        qmp(deadline);
    }

    /** Of a machine that listens and has run nothing yet. */
    void attachDisk(List<BlockLayer> own, Optional<String> base, Deadline deadline) {
        disk.attach(own, base, ControlDirectory.user(identity()), deadline);
    }

    /** The machine was started with {@code -S -incoming defer}; the control directory is still its own. */
    void awaitState(Deadline deadline) {
        QmpClient qmp = qmp(deadline);
        ignoreSharedMemory(qmp);
        qmp.execute("migrate-incoming", uri(INCOMING), deadline);
    }

    /** As of {@link #awaitState}; leaves the vCPUs stopped. */
    void loadState(FileDescriptor deviceState, MemoryLoader loader, Deadline deadline) {
        QmpClient qmp = qmp(deadline);
        load(loader);
        migration(qmp, "load its state", () -> sendState(deviceState, deadline), deadline);
        String status = qmp.execute("query-status", deadline).path("status").asString("");
        if (!status.equals("paused")) {
            throw new VmmFailed(name + ": is '" + status + "' after loading its state; " + lastWords());
        }
    }

    /** QEMU does not read on after what it takes for the end. */
    private void sendState(FileDescriptor deviceState, Deadline deadline) {
        try (FileDescriptor opened = control.open();
                SocketChannel channel = SocketChannel.open(
                        UnixDomainSocketAddress.of(opened.path().resolve(INCOMING)))) {
            channel.configureBlocking(false);
            ByteBuffer rest = ByteBuffer.wrap(read(deviceState.path()));
            while (rest.hasRemaining()) {
                if (channel.write(rest) == 0) {
                    deadline.check(name + ": send its state");
                    pause();
                }
            }
        } catch (IOException e) {
            throw new VmmFailed(name + ": its state cannot be sent; " + lastWords(), e);
        }
    }

    private void load(MemoryLoader loader) {
        try {
            loader.load(identity());
        } catch (IOException e) {
            // Its memory goes before the news of its end come.
            String fate = lastWords();
            if (process.exit().isDone()) {
                throw new VmmFailed(name + ": while its memory was loaded " + fate, e);
            }
            throw new UncheckedIOException(name + ": load the memory", e);
        }
    }

    @Override
    public FileStatus memoryFile() {
        return Linux.statx(Path.of("/proc", Integer.toString(identity().pid()), "fd", MEMORY_FD));
    }

    @Override
    public void kill(Deadline deadline) {
        process.killAndAwait(deadline);
        disconnect();
    }

    /** The process goes on; the next command connects again. */
    synchronized void disconnect() {
        if (client != null) {
            client.close();
            client = null;
        }
    }

    /** From then on the VM can put nothing in the control directory. It has run nothing yet. */
    void takeControl() {
        try {
            control.take();
        } catch (IOException e) {
            throw new UncheckedIOException(name + ": take the control directory", e);
        }
    }

    /** Memory is in a file of its own, on either side. Sent ahead: what follows fails if this did. */
    private static void ignoreSharedMemory(QmpClient qmp) {
        var arguments = QmpClient.arguments();
        var capabilities = arguments.putArray("capabilities");
        capabilities.addObject().put("capability", "x-ignore-shared").put("state", true);
        capabilities.addObject().put("capability", "events").put("state", true);
        var _ = qmp.send("migrate-set-capabilities", arguments);
    }

    /** Runs to its end, of which an event tells: nothing is polled. */
    private void migration(QmpClient qmp, String what, Runnable begin, Deadline deadline) {
        CompletableFuture<JsonNode> end =
                qmp.event("MIGRATION", data -> ENDS.contains(data.path("status").asString("")));
        begin.run();
        String status = qmp.await(what, end, deadline).path("status").asString("");
        if (!status.equals(COMPLETED)) {
            throw new VmmFailed(name + ": " + what + ": " + status + "; " + lastWords());
        }
    }

    private static ObjectNode uri(String socket) {
        return QmpClient.arguments().put("uri", "unix:" + ControlDirectory.name(socket));
    }

    private byte[] whole(byte[] state) {
        boolean whole = state.length >= STATE_BYTES_MIN
                && ByteBuffer.wrap(state).getInt() == STATE_MAGIC
                && state[state.length - 1] == STATE_LAST;
        if (!whole) {
            throw new VmmFailed(name + ": the device state is incomplete (" + state.length + " bytes)");
        }
        return state;
    }

    /** A command that may be carried out twice: again over a new connection when the old one broke. */
    private JsonNode repeatable(String command, ObjectNode arguments, Deadline deadline) {
        QmpClient first = qmp(deadline);
        try {
            return first.execute(command, arguments, deadline);
        } catch (VmmFailed e) {
            if (first.open()
                    || process.exit().isDone()
                    || Thread.currentThread().isInterrupted()) {
                throw e;
            }
            LOG.warn("machine {}: {} is repeated over a new connection", name, command, e);
            return qmp(deadline).execute(command, arguments, deadline);
        }
    }

    /** The connection, made anew when the last one has ended and the process lives. */
    private synchronized QmpClient qmp(Deadline deadline) {
        QmpClient current = client;
        if (current == null || !current.open()) {
            current = connect(deadline);
            client = current;
        }
        return current;
    }

    private QmpClient connect(Deadline deadline) {
        try (FileDescriptor opened = control.open()) {
            UnixDomainSocketAddress address = ControlDirectory.socket(opened);
            while (true) {
                if (process.exit().isDone()) {
                    throw new VmmFailed(name + ": ended before it could be spoken to; " + lastWords());
                }
                try {
                    return QmpClient.connect(name, address, this::lastWords);
                } catch (IOException notYet) {
                    deadline.check(name + ": connect to QMP (" + notYet.getMessage() + ")");
                    pause();
                }
            }
        }
    }

    private void pause() {
        try {
            Thread.sleep(CONNECT_POLL_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new VmmFailed(name + ": interrupted", e);
        }
    }

    /** What is known of the process when it does not answer. */
    private String lastWords() {
        String fate;
        try {
            fate = "it ended with " + process.exit().get(EXIT_NEWS.toMillis(), TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            fate = "it is still alive";
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            fate = "its fate is unknown";
        } catch (ExecutionException e) {
            fate = "its fate is unknown: " + e.getMessage();
        }
        try {
            return fate + "; stderr: " + stderrSoon();
        } catch (UncheckedIOException e) {
            return fate + "; stderr cannot be read: " + e.getMessage(); // as by an interrupted thread
        }
    }

    /** It takes a pipe to the file, and may be a moment behind the process. */
    private String stderrSoon() {
        Deadline news = Deadline.after(STDERR_NEWS);
        String tail = process.stderrTail().strip();
        while (tail.isEmpty() && !news.expired()) {
            pause();
            tail = process.stderrTail().strip();
        }
        return tail;
    }
}
