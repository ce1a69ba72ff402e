package dev.sandglass.host.guest;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import dev.sandglass.contract.guest.v1.Acknowledge;
import dev.sandglass.contract.guest.v1.AttachExec;
import dev.sandglass.contract.guest.v1.CloseStdin;
import dev.sandglass.contract.guest.v1.Data;
import dev.sandglass.contract.guest.v1.Detach;
import dev.sandglass.contract.guest.v1.Done;
import dev.sandglass.contract.guest.v1.Entries;
import dev.sandglass.contract.guest.v1.ExecExited;
import dev.sandglass.contract.guest.v1.ExecInfo;
import dev.sandglass.contract.guest.v1.ExecStarted;
import dev.sandglass.contract.guest.v1.Execs;
import dev.sandglass.contract.guest.v1.Failure;
import dev.sandglass.contract.guest.v1.FileInfo;
import dev.sandglass.contract.guest.v1.Freeze;
import dev.sandglass.contract.guest.v1.Hello;
import dev.sandglass.contract.guest.v1.ListDirectory;
import dev.sandglass.contract.guest.v1.ListExecs;
import dev.sandglass.contract.guest.v1.MakeDirectory;
import dev.sandglass.contract.guest.v1.Metrics;
import dev.sandglass.contract.guest.v1.Move;
import dev.sandglass.contract.guest.v1.Output;
import dev.sandglass.contract.guest.v1.Ping;
import dev.sandglass.contract.guest.v1.PowerOff;
import dev.sandglass.contract.guest.v1.Pty;
import dev.sandglass.contract.guest.v1.ReadFile;
import dev.sandglass.contract.guest.v1.ReadMetrics;
import dev.sandglass.contract.guest.v1.Remove;
import dev.sandglass.contract.guest.v1.Renew;
import dev.sandglass.contract.guest.v1.Reply;
import dev.sandglass.contract.guest.v1.Request;
import dev.sandglass.contract.guest.v1.Resize;
import dev.sandglass.contract.guest.v1.Signal;
import dev.sandglass.contract.guest.v1.SignalExec;
import dev.sandglass.contract.guest.v1.StartExec;
import dev.sandglass.contract.guest.v1.StdinWritten;
import dev.sandglass.contract.guest.v1.Stream;
import dev.sandglass.contract.guest.v1.Thaw;
import dev.sandglass.contract.guest.v1.Welcome;
import dev.sandglass.contract.guest.v1.WriteFile;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/**
 * One frame of each kind, as bytes in files that the C decoder is tested with too. They never change: a frozen guest may
 * speak them for years. {@code -Dgolden.write=true} writes the files of kinds that are new.
 */
class GoldenFramesTest {
    private static final Path DIRECTORY = Path.of("..", "contract", "src", "test", "resources", "golden");
    private static final Map<String, MessageLite> FRAMES = new TreeMap<>();

    static {
        requests();
        replies();
    }

    private static byte[] counting(int size) {
        byte[] bytes = new byte[size];
        for (int i = 0; i < size; i++) {
            bytes[i] = (byte) i;
        }
        return bytes;
    }

    private static ByteString bytes(int size) {
        return ByteString.copyFrom(counting(size));
    }

    private static void request(String name, Request.Builder request) {
        FRAMES.put("request-" + name, request.build());
    }

    private static void reply(String name, Reply.Builder reply) {
        FRAMES.put("reply-" + name, reply.build());
    }

    private static Request.Builder request() {
        return Request.newBuilder();
    }

    private static Reply.Builder reply() {
        return Reply.newBuilder();
    }

    private static void requests() {
        request(
                "hello",
                request()
                        .setHello(Hello.newBuilder()
                                .setProtocolMin(1)
                                .setProtocolMax(3)
                                .setToken(bytes(32))));
        request("ping", request().setPing(Ping.getDefaultInstance()));
        request(
                "renew",
                request()
                        .setRenew(Renew.newBuilder()
                                .setToken(bytes(32))
                                .setClockUnixNanos(1_767_225_600_123_456_789L)
                                .setEntropy(bytes(64))
                                .setHostname("sb-1")
                                .setThaw(true)));
        request("freeze", request().setFreeze(Freeze.newBuilder().setTimeoutMs(1500)));
        request("thaw", request().setThaw(Thaw.getDefaultInstance()));
        request(
                "start_exec",
                request()
                        .setStartExec(StartExec.newBuilder()
                                .setExecId("ex0123456789abcdefghjk")
                                .addArgv("sh")
                                .addArgv("-c")
                                .addArgv("")
                                .addArgv("echo é")
                                .putEnv("KEY", "value")
                                .setCwd("/tmp")
                                .setUser("nobody")
                                .setPty(Pty.newBuilder().setCols(80).setRows(24))
                                .setTimeoutMs(30_000)
                                .setStdinOpen(true)));
        request(
                "attach_exec",
                request().setAttachExec(AttachExec.newBuilder().setExecId("ex1").setAfterSeq(1L << 40)));
        request("stdin", request().setStdin(Data.newBuilder().setData(bytes(300))));
        request("close_stdin", request().setCloseStdin(CloseStdin.getDefaultInstance()));
        request("resize", request().setResize(Resize.newBuilder().setCols(200).setRows(50)));
        request("signal", request().setSignal(Signal.newBuilder().setNumber(15)));
        request("acknowledge", request().setAcknowledge(Acknowledge.newBuilder().setSeq(-1)));
        request("detach", request().setDetach(Detach.getDefaultInstance()));
        request("list_execs", request().setListExecs(ListExecs.getDefaultInstance()));
        request(
                "signal_exec",
                request().setSignalExec(SignalExec.newBuilder().setExecId("ex1").setNumber(9)));
        request(
                "write_file",
                request()
                        .setWriteFile(WriteFile.newBuilder()
                                .setPath("/root/ü")
                                .setMode(0755)
                                .setUser("1000")));
        request("data", request().setData(Data.newBuilder().setData(bytes(5)).setLast(true)));
        request("data-largest", request().setData(Data.newBuilder().setData(bytes(65536))));
        request(
                "read_file",
                request()
                        .setReadFile(
                                ReadFile.newBuilder().setPath("/a").setOffset(7).setLength(1L << 33)));
        request(
                "list_directory",
                request().setListDirectory(ListDirectory.newBuilder().setPath("/")));
        request(
                "make_directory",
                request().setMakeDirectory(MakeDirectory.newBuilder().setPath("/a/b")));
        request("move", request().setMove(Move.newBuilder().setFrom("/a").setTo("/b")));
        request("remove", request().setRemove(Remove.newBuilder().setPath("/a")));
        request("read_metrics", request().setReadMetrics(ReadMetrics.getDefaultInstance()));
        request("power_off", request().setPowerOff(PowerOff.getDefaultInstance()));
    }

    private static void replies() {
        reply(
                "failure",
                reply().setFailure(Failure.newBuilder()
                        .setCode(Failure.Code.DISK_FULL)
                        .setMessage("cannot write /a: No space left on device")));
        reply("welcome", reply().setWelcome(Welcome.newBuilder().setProtocol(1).setAgentVersion("0.1.0")));
        reply("done", reply().setDone(Done.getDefaultInstance()));
        reply("done-clock", reply().setDone(Done.newBuilder().setClockUnixNanos(1_700_000_000_123_456_789L)));
        reply(
                "exec_started",
                reply().setExecStarted(ExecStarted.newBuilder().setExecId("ex1").setPid(4711)));
        reply(
                "output",
                reply().setOutput(Output.newBuilder()
                        .setStream(Stream.STDERR)
                        .setSeq(1L << 40)
                        .setData(bytes(256))));
        ExecExited exited = ExecExited.newBuilder()
                .setExitCode(137)
                .setSignal(9)
                .setTimedOut(true)
                .setLastSeq(12345)
                .build();
        reply("exec_exited", reply().setExecExited(exited));
        reply("exec_exited-zero", reply().setExecExited(ExecExited.getDefaultInstance()));
        reply("stdin_written", reply().setStdinWritten(StdinWritten.newBuilder().setTotal(65536)));
        reply(
                "execs",
                reply().setExecs(Execs.newBuilder()
                        .addExecs(ExecInfo.newBuilder()
                                .setExecId("ex2")
                                .setPid(2)
                                .addArgv("sleep")
                                .addArgv("60")
                                .setPty(true)
                                .setStartedUnixNanos(1)
                                .setRunning(true))
                        .addExecs(ExecInfo.newBuilder().setExecId("ex1").setExited(exited))
                        .setLast(true)));
        FileInfo file = FileInfo.newBuilder()
                .setName("link")
                .setType(FileInfo.Type.SYMLINK)
                .setSize(3)
                .setMode(0777)
                .setOwner("root")
                .setGroup("1000")
                .setModifiedUnixNanos(-1)
                .setSymlinkTarget("..")
                .build();
        reply("file_info", reply().setFileInfo(file));
        reply("data", reply().setData(Data.newBuilder().setData(bytes(3)).setLast(true)));
        reply(
                "entries",
                reply().setEntries(Entries.newBuilder()
                        .addEntries(file)
                        .addEntries(file)
                        .setLast(true)));
        reply(
                "metrics",
                reply().setMetrics(Metrics.newBuilder()
                        .setCpuUsageMicros(1)
                        .setMemoryTotalBytes(2)
                        .setMemoryAvailableBytes(3)
                        .setDiskTotalBytes(4)
                        .setDiskAvailableBytes(5)
                        .setProcesses(6)));
    }

    private static byte[] frameOf(MessageLite message) throws IOException {
        if (message instanceof Request request) {
            return Frames.encode(request);
        }
        byte[] body = message.toByteArray();
        byte[] frame = new byte[Frames.HEADER_BYTES + body.length];
        System.arraycopy(HexFormat.of().parseHex("%08x".formatted(body.length)), 0, frame, 0, Frames.HEADER_BYTES);
        System.arraycopy(body, 0, frame, Frames.HEADER_BYTES, body.length);
        return frame;
    }

    private static Path fileOf(String name) {
        return DIRECTORY.resolve(name + ".hex");
    }

    /** 32 bytes a line, so that a difference can be seen. */
    private static String hex(byte[] frame) {
        return HexFormat.of().formatHex(frame).replaceAll("(.{64})(?=.)", "$1\n") + "\n";
    }

    private static byte[] golden(String name, MessageLite message) throws IOException {
        Path file = fileOf(name);
        if (!Files.exists(file) && Boolean.getBoolean("golden.write")) {
            Files.writeString(file, hex(frameOf(message)));
        }
        return HexFormat.of()
                .parseHex(Files.readString(file, StandardCharsets.US_ASCII).replaceAll("\\s", ""));
    }

    @Test
    void everyKindOfMessageHasAFrame() {
        assertThat(FRAMES.values().stream()
                        .filter(Request.class::isInstance)
                        .map(message -> ((Request) message).getKindCase())
                        .collect(Collectors.toSet()))
                .hasSize(Request.KindCase.values().length - 1);
        assertThat(FRAMES.values().stream()
                        .filter(Reply.class::isInstance)
                        .map(message -> ((Reply) message).getKindCase())
                        .collect(Collectors.toSet()))
                .hasSize(Reply.KindCase.values().length - 1);
    }

    @Test
    void messagesAreEncodedAsTheyAlwaysWere() throws IOException {
        for (Map.Entry<String, MessageLite> frame : FRAMES.entrySet()) {
            assertThat(frameOf(frame.getValue()))
                    .as(frame.getKey())
                    .isEqualTo(golden(frame.getKey(), frame.getValue()));
        }
    }

    @Test
    void framesAreDecodedAsTheyAlwaysWere() throws IOException {
        for (Map.Entry<String, MessageLite> frame : FRAMES.entrySet()) {
            byte[] bytes = golden(frame.getKey(), frame.getValue());
            MessageLite decoded = frame.getValue() instanceof Request
                    ? Request.parser().parseFrom(bytes, Frames.HEADER_BYTES, bytes.length - Frames.HEADER_BYTES)
                    : new Frames.Reader(new ByteArrayInputStream(bytes)).next();
            assertThat(decoded).as(frame.getKey()).isEqualTo(frame.getValue());
        }
    }

    @Test
    void noFrameIsForgotten() throws IOException {
        try (var files = Files.list(DIRECTORY)) {
            assertThat(files.map(file -> file.getFileName().toString()))
                    .containsExactlyInAnyOrderElementsOf(
                            FRAMES.keySet().stream().map(name -> name + ".hex").toList());
        }
    }
}
