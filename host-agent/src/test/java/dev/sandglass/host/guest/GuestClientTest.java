package dev.sandglass.host.guest;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.guest.v1.ExecInfo;
import dev.sandglass.contract.guest.v1.FileInfo;
import dev.sandglass.contract.guest.v1.Pty;
import dev.sandglass.contract.guest.v1.StartExec;
import dev.sandglass.contract.guest.v1.Stream;
import dev.sandglass.host.linux.Deadline;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Against the real agent, which runs as an ordinary process here. */
@Timeout(60)
class GuestClientTest {
    private static final byte[] FIRST_TOKEN = new byte[GuestClient.TOKEN_BYTES];
    private static final AtomicInteger EXECS = new AtomicInteger();

    @TempDir
    Path directory;

    private AgentProcess agent;
    private GuestClient guest;

    @BeforeEach
    void start() throws Exception {
        agent = AgentProcess.start(directory);
        guest = GuestClient.awaitReady(agent.address(), FIRST_TOKEN, soon());
    }

    @AfterEach
    void stop() {
        guest.close();
        agent.close();
    }

    private static Deadline soon() {
        return Deadline.after(Duration.ofSeconds(20));
    }

    private static StartExec.Builder command(String... argv) {
        return StartExec.newBuilder().setExecId("ex" + EXECS.incrementAndGet()).addAllArgv(Arrays.asList(argv));
    }

    private ExecResult run(String... argv) {
        return guest.exec(command(argv).build(), new byte[0], 1 << 20, soon());
    }

    private static ErrorCode codeOf(Runnable action) {
        try {
            action.run();
        } catch (PlatformException failure) {
            return failure.code();
        }
        throw new AssertionError("nothing was refused");
    }

    // ---- Commands

    @Test
    void aCommandRunsAndLeavesItsOutputAndExitCode() {
        ExecResult result = run("sh", "-c", "echo out; echo err >&2; exit 3");
        assertThat(result.stdout().toStringUtf8()).isEqualTo("out\n");
        assertThat(result.stderr().toStringUtf8()).isEqualTo("err\n");
        assertThat(result.exited().getExitCode()).isEqualTo(3);
        assertThat(result.exited().getLastSeq()).isEqualTo(8);
        assertThat(result.truncated()).isFalse();
    }

    @Test
    void aCommandThatIsNotThereExitsWith127AndSaysWhy() {
        ExecResult result = run("no-such-command");
        assertThat(result.exited().getExitCode()).isEqualTo(127);
        assertThat(result.stderr().toStringUtf8()).contains("no-such-command").contains("No such file");
        assertThat(run("/etc").exited().getExitCode()).isEqualTo(126);
    }

    @Test
    void aCommandHasTheEnvironmentAndDirectoryItWasGiven() {
        StartExec start = command("sh", "-c", "pwd; echo $GREETING $HOME $USER $LANG $TERM")
                .putEnv("GREETING", "hello world")
                .setCwd("/usr")
                .build();
        ExecResult result = guest.exec(start, new byte[0], 1000, soon());
        assertThat(result.stdout().toStringUtf8()).isEqualTo("/usr\nhello world /root root C.UTF-8\n");
    }

    @Test
    void aCommandRunsAsTheUserNamed() {
        StartExec start = command("sh", "-c", "id -u; id -g; echo $USER")
                .setUser("nobody")
                .build();
        assertThat(guest.exec(start, new byte[0], 1000, soon()).stdout().toStringUtf8())
                .isEqualTo("65534\n65534\nnobody\n");
        StartExec byNumber = command("id", "-u").setUser("4711").build();
        assertThat(guest.exec(byNumber, new byte[0], 1000, soon()).stdout().toStringUtf8())
                .isEqualTo("4711\n");
        StartExec unknown = command("id").setUser("nosuchuser").build();
        assertThat(codeOf(() -> guest.exec(unknown, new byte[0], 1000, soon()))).isEqualTo(ErrorCode.NOT_FOUND);
    }

    @Test
    void inputOfAnySizeGoesThroughACommandThatAnswersMeanwhile() throws Exception {
        byte[] input = new byte[5 << 20];
        new Random(1).nextBytes(input);
        ExecResult result = guest.exec(command("cat").build(), input, 8 << 20, soon());
        assertThat(result.stdout().toByteArray()).isEqualTo(input);
    }

    @Test
    void inputThatNobodyReadsStopsNothingElse() {
        try (ExecStream stream = guest.startExec(
                command("sh", "-c", "echo here; sleep 30").setStdinOpen(true).build(), soon())) {
            Thread writer = Thread.ofVirtual().start(() -> stream.stdin(new byte[2 << 20]));
            assertThat(stream.next()).isInstanceOf(ExecStream.Event.Output.class);
            assertThat(writer.isAlive()).isTrue();
            stream.signal(9);
            assertThat(exitOf(stream).getSignal()).isEqualTo(9);
        }
    }

    @Test
    void aCommandThatClosesItsInputTakesNoHarm() {
        ExecResult result = guest.exec(
                command("sh", "-c", "exec <&-; sleep 0.2; echo fine").build(), new byte[1 << 20], 1000, soon());
        assertThat(result.stdout().toStringUtf8()).isEqualTo("fine\n");
    }

    @Test
    void outputBeyondWhatIsKeptIsThrownAwayAndSaid() {
        ExecResult result = guest.exec(command("seq", "1", "1000000").build(), new byte[0], 1000, soon());
        assertThat(result.stdout().size()).isEqualTo(1000);
        assertThat(result.truncated()).isTrue();
        assertThat(result.exited().getLastSeq()).isEqualTo(6888896);
    }

    @Test
    void aTimeoutKillsTheWholeGroup() {
        StartExec start = command("sh", "-c", "echo begun; sleep 60 & sleep 60")
                .setTimeoutMs(200)
                .build();
        ExecResult result = guest.exec(start, new byte[0], 1000, soon());
        assertThat(result.exited().getTimedOut()).isTrue();
        assertThat(result.exited().getExitCode()).isEqualTo(137);
        assertThat(result.stdout().toStringUtf8()).isEqualTo("begun\n");
        assertThat(result.duration()).isLessThan(Duration.ofSeconds(5));
    }

    @Test
    void aBackgroundChildThatHoldsTheOutputDoesNotHangTheAnswer() {
        ExecResult result = run("sh", "-c", "sleep 20 & echo done");
        assertThat(result.stdout().toStringUtf8()).isEqualTo("done\n");
        assertThat(result.duration()).isLessThan(Duration.ofSeconds(3));
    }

    @Test
    void aTerminalIsOneAndCanBeResized() {
        StartExec start = command("sh", "-c", "tty; stty size; read line; stty size; echo got $line")
                .setPty(Pty.newBuilder().setCols(80).setRows(24))
                .build();
        try (ExecStream stream = guest.startExec(start, soon())) {
            StringBuilder seen = new StringBuilder();
            while (!seen.toString().contains("24 80")) {
                seen.append(textOf(stream.next()));
            }
            stream.resize(100, 40);
            stream.stdin("hello\n".getBytes(StandardCharsets.UTF_8));
            for (ExecStream.Event event = stream.next();
                    event instanceof ExecStream.Event.Output output;
                    event = stream.next()) {
                assertThat(output.stream()).isEqualTo(Stream.PTY);
                seen.append(textOf(event));
            }
            assertThat(seen.toString()).contains("/dev/pts/").contains("40 100").contains("got hello");
        }
    }

    @Test
    void aSignalReachesTheProcessGroup() {
        try (ExecStream stream = guest.startExec(command("sleep", "60").build(), soon())) {
            stream.signal(15);
            var exited = exitOf(stream);
            assertThat(exited.getSignal()).isEqualTo(15);
            assertThat(exited.getExitCode()).isEqualTo(143);
        }
    }

    @Test
    void aLostReaderIsNoEndAndNothingIsMissedByTheNext() {
        StartExec start = command("sh", "-c", "for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done")
                .build();
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        long seq = 0;
        try (ExecStream first = guest.startExec(start, soon())) {
            seq = append(all, first.next());
        }
        try (ExecStream second = guest.attachExec(start.getExecId(), seq, soon())) {
            for (ExecStream.Event event = second.next();
                    event instanceof ExecStream.Event.Output;
                    event = second.next()) {
                append(all, event);
            }
        }
        assertThat(all.toString(StandardCharsets.UTF_8)).isEqualTo("line 1\nline 2\nline 3\nline 4\nline 5\n");
        try (ExecStream late = guest.attachExec(start.getExecId(), 7, soon())) {
            assertThat(textOf(late.next())).startsWith("line 2");
        }
    }

    @Test
    void anotherReaderTakesOver() {
        StartExec start = command("sh", "-c", "sleep 0.5; echo late").build();
        try (ExecStream first = guest.startExec(start, soon());
                ExecStream second = guest.attachExec(start.getExecId(), 0, soon())) {
            assertThat(first.next()).isInstanceOf(ExecStream.Event.TakenOver.class);
            assertThat(textOf(second.next())).isEqualTo("late\n");
        }
    }

    @Test
    void aReaderThatStopsHoldsBackItsOwnCommandOnly() throws InterruptedException {
        try (ExecStream slow = guest.startExec(command("yes").build(), soon())) {
            slow.next();
            assertThat(run("echo", "quick").stdout().toStringUtf8()).isEqualTo("quick\n");
            Thread.sleep(300);
            slow.signal(9);
            // The window, a pipe's content, and what was acknowledged while the rest was read.
            assertThat(exitOf(slow).getLastSeq()).isBetween(1L << 20, 2L << 20);
        }
    }

    @Test
    void aCommandNobodyReadsGoesOn() {
        Path marker = directory.resolve("marker");
        try (ExecStream stream = guest.startExec(
                command("sh", "-c", "seq 1 300000; touch " + marker).build(), soon())) {
            stream.next();
        }
        org.awaitility.Awaitility.await().until(() -> Files.exists(marker));
    }

    @Test
    void commandsAreListedWithHowTheyEnded() {
        run("true");
        try (ExecStream stream = guest.startExec(command("sleep", "60").build(), soon())) {
            List<ExecInfo> execs = guest.listExecs();
            assertThat(execs).hasSize(2);
            assertThat(execs.getFirst().getArgvList()).containsExactly("sleep", "60");
            assertThat(execs.getFirst().getRunning()).isTrue();
            assertThat(execs.getLast().getRunning()).isFalse();
            assertThat(execs.getLast().getExited().getExitCode()).isZero();
            guest.signalExec(stream.execId(), 9);
            assertThat(exitOf(stream).getSignal()).isEqualTo(9);
            assertThat(codeOf(() -> guest.signalExec(stream.execId(), 9))).isEqualTo(ErrorCode.NOT_FOUND);
        }
    }

    @Test
    void manyCommandsAtOnceEachHaveTheirOwnOutput() throws Exception {
        try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            List<Future<String>> results = new ArrayList<>();
            for (int i = 0; i < 40; i++) {
                String word = "word-" + i;
                results.add(threads.submit(() -> run("echo", word).stdout().toStringUtf8()));
            }
            for (int i = 0; i < 40; i++) {
                assertThat(results.get(i).get()).isEqualTo("word-" + i + "\n");
            }
        }
    }

    @Test
    void nothingIsLeftOpenAfterManyOperations() {
        run("true");
        long before = agent.openDescriptors();
        for (int i = 0; i < 50; i++) {
            run("echo", "x");
            guest.makeDirectory(directory.resolve("d" + i).toString());
        }
        assertThat(agent.openDescriptors()).isEqualTo(before);
    }

    @Test
    void badCommandsAreRefused() {
        assertThat(codeOf(() -> run())).isEqualTo(ErrorCode.INVALID_REQUEST);
        assertThat(codeOf(
                        () -> guest.startExec(command("true").setExecId("../x").build(), soon())))
                .isEqualTo(ErrorCode.INVALID_REQUEST);
        assertThat(codeOf(() -> guest.startExec(command("true").setCwd("tmp").build(), soon())))
                .isEqualTo(ErrorCode.INVALID_REQUEST);
        assertThat(codeOf(() -> guest.startExec(command("a\0b").build(), soon())))
                .isEqualTo(ErrorCode.INVALID_REQUEST);
        assertThat(codeOf(
                        () -> guest.startExec(command("true").putEnv("A=B", "").build(), soon())))
                .isEqualTo(ErrorCode.INVALID_REQUEST);
        assertThat(codeOf(() -> guest.attachExec("nothing", 0, soon()))).isEqualTo(ErrorCode.NOT_FOUND);
        StartExec twice = command("true").build();
        guest.exec(twice, new byte[0], 10, soon());
        assertThat(codeOf(() -> guest.startExec(twice, soon()))).isEqualTo(ErrorCode.ALREADY_EXISTS);
    }

    // ---- Files

    @Test
    void aFileComesBackAsItWasWritten() throws IOException {
        byte[] content = new byte[3_000_001];
        new Random(2).nextBytes(content);
        String path = directory.resolve("new/dir/file").toString();
        guest.writeFile(path, 0640, "", new ByteArrayInputStream(content));
        try (FileRead read = guest.readFile(path, 0, 0)) {
            assertThat(read.info().getSize()).isEqualTo(content.length);
            assertThat(read.info().getMode()).isEqualTo(0640);
            assertThat(read.info().getOwner()).isEqualTo("root");
            assertThat(read.content().readAllBytes()).isEqualTo(content);
        }
        try (FileRead part = guest.readFile(path, 1000, 10)) {
            assertThat(part.content().readAllBytes()).isEqualTo(Arrays.copyOfRange(content, 1000, 1010));
        }
    }

    @Test
    void writingKeepsTheModeAndGoesThroughALink() throws IOException {
        Path file = Files.writeString(directory.resolve("file"), "old");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-x---"));
        Path link = Files.createSymbolicLink(directory.resolve("link"), Path.of("file"));
        guest.writeFile(link.toString(), 0, "", new ByteArrayInputStream("new".getBytes(StandardCharsets.UTF_8)));
        assertThat(link).isSymbolicLink();
        assertThat(file).hasContent("new");
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
                .isEqualTo("rwxr-x---");
    }

    @Test
    void anEmptyFileIsWrittenAndRead() throws IOException {
        String path = directory.resolve("empty").toString();
        guest.writeFile(path, 0, "", InputStream.nullInputStream());
        try (FileRead read = guest.readFile(path, 0, 0)) {
            assertThat(read.content().readAllBytes()).isEmpty();
        }
        try (FileRead proc = guest.readFile("/proc/self/status", 0, 0)) {
            assertThat(new String(proc.content().readAllBytes(), StandardCharsets.UTF_8))
                    .contains("VmRSS");
        }
    }

    @Test
    void aBrokenUploadLeavesTheOldFileAndNothingElse() throws IOException {
        Path file = Files.writeString(directory.resolve("file"), "old");
        InputStream broken = new Bytes(200_000);
        assertThat(codeOf(() -> guest.writeFile(file.toString(), 0, "", broken)))
                .isEqualTo(ErrorCode.INVALID_REQUEST);
        org.awaitility.Awaitility.await().untilAsserted(() -> {
            try (var list = Files.list(directory)) {
                assertThat(list.map(path -> path.getFileName().toString()))
                        .noneMatch(name -> name.startsWith(".sandglass"));
            }
        });
        assertThat(file).hasContent("old");
    }

    @Test
    void aRefusedUploadStopsEarlyAndTheConnectionGoesOn() {
        InputStream endless = new Bytes(Long.MAX_VALUE);
        assertThat(codeOf(() -> guest.writeFile(directory.toString(), 0, "", endless)))
                .isEqualTo(ErrorCode.INVALID_REQUEST);
        assertThat(codeOf(() -> guest.writeFile("/proc/nowhere/file", 0, "", endless)))
                .isEqualTo(ErrorCode.NOT_FOUND);
        assertThat(codeOf(() -> guest.writeFile("/dev/null", 0, "", endless))).isEqualTo(ErrorCode.INVALID_REQUEST);
        assertThat(run("echo", "fine").stdout().toStringUtf8()).isEqualTo("fine\n");
    }

    @Test
    void aFullDiskIsSaidAndTheOldFileStays() throws Exception {
        Path small = Files.createDirectory(directory.resolve("small"));
        new ProcessBuilder("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small.toString())
                .start()
                .waitFor();
        try {
            Path file = Files.writeString(small.resolve("file"), "old");
            assertThat(codeOf(
                            () -> guest.writeFile(file.toString(), 0, "", new ByteArrayInputStream(new byte[4 << 20]))))
                    .isEqualTo(ErrorCode.DISK_FULL);
            assertThat(file).hasContent("old");
            assertThat(small.toFile().list()).containsExactly("file");
        } finally {
            new ProcessBuilder("umount", "-l", small.toString()).start().waitFor();
        }
    }

    @Test
    void aUserWritesOnlyWhatIsTheirs() throws IOException {
        Path open = Files.createDirectory(directory.resolve("open"));
        Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rwxrwxrwx"));
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-xr-x"));
        String path = open.resolve("file").toString();
        guest.writeFile(path, 0, "nobody", new ByteArrayInputStream(new byte[] {1}));
        assertThat(Files.getOwner(Path.of(path)).getName()).isEqualTo("nobody");
        assertThat(codeOf(() -> guest.writeFile(
                        directory.resolve("mine").toString(), 0, "nobody", InputStream.nullInputStream())))
                .isEqualTo(ErrorCode.FORBIDDEN);
    }

    @Test
    void aDirectoryIsListedWithAllItHolds() throws IOException {
        Path many = Files.createDirectory(directory.resolve("many"));
        for (int i = 0; i < 1500; i++) {
            Files.createFile(many.resolve("a-rather-long-name-of-a-file-" + i));
        }
        Files.createSymbolicLink(many.resolve("link"), Path.of("/nowhere"));
        Files.createDirectory(many.resolve("sub"));
        List<FileInfo> entries = guest.listDirectory(many.toString());
        assertThat(entries).hasSize(1502);
        assertThat(entries)
                .anySatisfy(info -> {
                    assertThat(info.getName()).isEqualTo("link");
                    assertThat(info.getType()).isEqualTo(FileInfo.Type.SYMLINK);
                    assertThat(info.getSymlinkTarget()).isEqualTo("/nowhere");
                })
                .anySatisfy(info -> assertThat(info.getType()).isEqualTo(FileInfo.Type.DIRECTORY));
    }

    @Test
    void treesAreMadeMovedAndRemoved() throws IOException {
        Path deep = directory.resolve("a/b/c");
        guest.makeDirectory(deep.toString());
        guest.makeDirectory(deep.toString());
        Files.writeString(deep.resolve("file"), "x");
        Path outside = Files.createDirectory(directory.resolve("outside"));
        Files.writeString(outside.resolve("kept"), "x");
        Files.createSymbolicLink(deep.resolve("link"), outside);
        guest.move(directory.resolve("a").toString(), directory.resolve("z").toString());
        assertThat(codeOf(() ->
                        guest.move(outside.toString(), directory.resolve("z").toString())))
                .isEqualTo(ErrorCode.ALREADY_EXISTS);
        guest.remove(directory.resolve("z").toString());
        assertThat(directory.resolve("z")).doesNotExist();
        assertThat(outside.resolve("kept")).exists();
        assertThat(codeOf(() -> guest.remove(directory.resolve("z").toString())))
                .isEqualTo(ErrorCode.NOT_FOUND);
    }

    @Test
    void badPathsAreRefused() {
        for (String path : List.of("", "relative", "/", "//", "/..", "/tmp/.", "/a\0b", "/" + "x".repeat(5000))) {
            assertThat(codeOf(() -> guest.remove(path))).as(path).isEqualTo(ErrorCode.INVALID_REQUEST);
            assertThat(codeOf(() -> guest.move(path, "/tmp/x"))).as(path).isEqualTo(ErrorCode.INVALID_REQUEST);
            assertThat(codeOf(() -> guest.writeFile(path, 0, "", InputStream.nullInputStream())))
                    .as(path)
                    .isEqualTo(ErrorCode.INVALID_REQUEST);
        }
        assertThat(codeOf(() -> guest.readFile("/tmp", 0, 0))).isEqualTo(ErrorCode.INVALID_REQUEST);
        assertThat(codeOf(() -> guest.readFile("/dev/zero", 0, 0))).isEqualTo(ErrorCode.INVALID_REQUEST);
        assertThat(codeOf(() -> guest.readFile("/nowhere", 0, 0))).isEqualTo(ErrorCode.NOT_FOUND);
        assertThat(codeOf(() -> guest.listDirectory("/etc/passwd"))).isEqualTo(ErrorCode.INVALID_REQUEST);
        assertThat(codeOf(() -> guest.listDirectory("/nowhere"))).isEqualTo(ErrorCode.NOT_FOUND);
        assertThat(codeOf(() -> guest.readFile("/etc/passwd/below", 0, 0))).isEqualTo(ErrorCode.NOT_FOUND);
        assertThat(codeOf(() -> guest.writeFile("/etc/passwd/below", 0, "", InputStream.nullInputStream())))
                .isEqualTo(ErrorCode.CONFLICT);
        assertThat(codeOf(() -> guest.makeDirectory("/etc/passwd/below"))).isEqualTo(ErrorCode.CONFLICT);
        assertThat(codeOf(() -> guest.makeDirectory("/etc/passwd"))).isEqualTo(ErrorCode.CONFLICT);
    }

    /** A caller's data, which breaks off after some bytes. */
    private static final class Bytes extends InputStream {
        private long left;

        Bytes(long left) {
            this.left = left;
        }

        @Override
        public int read() throws IOException {
            return read(new byte[1], 0, 1);
        }

        @Override
        public int read(byte[] to, int offset, int length) throws IOException {
            if (left == 0) {
                throw new IOException("the caller is gone");
            }
            int n = (int) Math.min(length, left);
            left -= n;
            return n;
        }
    }

    // ---- Identity and connections

    private static Renewal renewal(byte[] token) {
        return new Renewal(token, InstantSource.system(), new byte[64], "box-1", false);
    }

    @Test
    void renewingReplacesTheTokenAndEndsOtherConnections() {
        byte[] token = new byte[GuestClient.TOKEN_BYTES];
        new Random(3).nextBytes(token);
        try (GuestClient other = GuestClient.awaitReady(agent.address(), FIRST_TOKEN, soon());
                ExecStream stream = other.startExec(command("sleep", "60").build(), soon())) {
            guest.renew(renewal(token), soon());
            assertThat(codeOf(stream::next)).isEqualTo(ErrorCode.AGENT_ERROR);
            assertThat(codeOf(() -> other.ping(soon()))).isEqualTo(ErrorCode.AGENT_ERROR);
            guest.ping(soon());
            guest.signalExec(stream.execId(), 9);
        }
        assertThatThrownBy(() -> GuestClient.awaitReady(agent.address(), FIRST_TOKEN, soon()))
                .isInstanceOf(PlatformException.class)
                .hasMessageContaining("token");
    }

    @Test
    void aGuestThatStoodStillForAMomentIsSpokenToAsBefore() {
        try (ExecStream stream = guest.startExec(
                command("sh", "-c", "read line; echo $line").setStdinOpen(true).build(), soon())) {
            guest.goOn(InstantSource.system(), new byte[64], soon());
            stream.stdin("still here\n".getBytes(StandardCharsets.UTF_8));
            assertThat(textOf(stream.next())).isEqualTo("still here\n");
            assertThat(exitOf(stream).getExitCode()).isZero();
        }
    }

    @Test
    void renewingWorksWhenAnEarlierAnswerWasLost() {
        byte[] token = new byte[GuestClient.TOKEN_BYTES];
        new Random(4).nextBytes(token);
        try (GuestClient lost = new GuestClient(agent.address(), FIRST_TOKEN)) {
            lost.renew(renewal(token), soon());
        }
        guest.renew(renewal(token), soon());
        guest.ping(soon());
    }

    @Test
    void aKeptConnectionThatTheGuestEndedIsReplaced() {
        guest.ping(soon());
        byte[] token = new byte[GuestClient.TOKEN_BYTES];
        try (GuestClient other = GuestClient.awaitReady(agent.address(), FIRST_TOKEN, soon())) {
            other.renew(renewal(token), soon());
        }
        assertThat(run("echo", "again").stdout().toStringUtf8()).isEqualTo("again\n");
    }

    @Test
    void aGuestThatIsNotThereIsWaitedForAndThenGivenUp() throws IOException {
        InetSocketAddress nobody;
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            nobody = new InetSocketAddress(socket.getInetAddress(), socket.getLocalPort());
        }
        assertThat(codeOf(() -> GuestClient.awaitReady(nobody, FIRST_TOKEN, Deadline.after(Duration.ofMillis(200)))))
                .isEqualTo(ErrorCode.AGENT_ERROR);
    }

    @Test
    void metricsTellOfTheMachine() {
        var metrics = guest.metrics();
        assertThat(metrics.getMemoryTotalBytes()).isPositive();
        assertThat(metrics.getCpuUsageMicros()).isPositive();
        assertThat(metrics.getDiskTotalBytes()).isPositive();
        assertThat(guest.agentVersion()).isNotEmpty();
    }

    @Test
    void closingTheClientEndsWhatIsUnderWay() throws Exception {
        ExecStream stream = guest.startExec(command("sleep", "60").build(), soon());
        Thread reader =
                Thread.ofVirtual().start(() -> assertThat(codeOf(stream::next)).isEqualTo(ErrorCode.AGENT_ERROR));
        Thread.sleep(50);
        guest.close();
        assertThat(reader.join(Duration.ofSeconds(5))).isTrue();
        assertThat(agent.isAlive()).isTrue();
    }

    @Test
    void commandsOfASandboxThatIsPausedAreLeftWithAReasonAndAttachedAfterwards() throws Exception {
        ExecStream stream = guest.startExec(
                command("sh", "-c", "echo before; read line; echo after $line")
                        .setStdinOpen(true)
                        .build(),
                soon());
        long seq = ((ExecStream.Event.Output) stream.next()).seq();
        Thread reader = Thread.ofVirtual()
                .start(() -> assertThatThrownBy(stream::next)
                        .isInstanceOfSatisfying(
                                PlatformException.class,
                                failure -> assertThat(failure.code()).isEqualTo(ErrorCode.INVALID_STATE))
                        .hasMessage("The sandbox is being paused."));
        Thread.sleep(50);
        guest.closeConnections("The sandbox is being paused.");
        assertThat(reader.join(Duration.ofSeconds(5))).isTrue();
        assertThat(codeOf(() -> guest.ping(soon()))).isEqualTo(ErrorCode.INVALID_STATE);
        guest.close();
        assertThat(codeOf(() -> guest.ping(soon()))).isEqualTo(ErrorCode.INVALID_STATE);

        byte[] token = new byte[GuestClient.TOKEN_BYTES];
        try (GuestClient resumed = new GuestClient(agent.address(), FIRST_TOKEN)) {
            resumed.renew(renewal(token), soon());
            try (ExecStream attached = resumed.attachExec(stream.execId(), seq, soon())) {
                attached.stdin("pause\n".getBytes(StandardCharsets.UTF_8));
                assertThat(textOf(attached.next())).isEqualTo("after pause\n");
                assertThat(exitOf(attached).getExitCode()).isZero();
            }
        }
    }

    @Test
    void aClockThatCannotBeSetPreciselyIsAFailureAndNothingIsThawed() {
        // Nobody sets a test's clock: it is an hour behind the one it should have.
        InstantSource ahead = InstantSource.offset(InstantSource.system(), Duration.ofHours(1));
        Renewal renewal = new Renewal(new byte[GuestClient.TOKEN_BYTES], ahead, new byte[64], "box-1", true);
        assertThatThrownBy(() -> guest.renew(renewal, Deadline.after(Duration.ofSeconds(2))))
                .isInstanceOf(PlatformException.class)
                .hasMessageContaining("clock");
        guest.ping(soon());
    }

    private static String textOf(ExecStream.Event event) {
        return event instanceof ExecStream.Event.Output output ? output.data().toStringUtf8() : "";
    }

    private static long append(ByteArrayOutputStream to, ExecStream.Event event) {
        ExecStream.Event.Output output = (ExecStream.Event.Output) event;
        to.writeBytes(output.data().toByteArray());
        return output.seq();
    }

    private static dev.sandglass.contract.guest.v1.ExecExited exitOf(ExecStream stream) {
        for (; ; ) {
            if (stream.next() instanceof ExecStream.Event.Exited exited) {
                return exited.status();
            }
        }
    }
}
