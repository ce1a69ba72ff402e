package dev.sandglass.acceptance;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Collectors;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;

/**
 * What flows without end through programs that have little memory: control plane and host agent as processes of their
 * own, with small heaps that end with the first buffer that grows.
 */
@Order(35)
@ExtendWith(Shared.class)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@SuppressWarnings("NullAway.Init")
class StreamsTest {
    /** Sizes of the full test: 1024 with a heap of 256. */
    private static final int TRANSFER_MEBIBYTES = Integer.getInteger("acceptance.transferMebibytes", 160);

    private static final int HEAP_MEBIBYTES = Integer.getInteger("acceptance.heapMebibytes", 96);

    private static final int FLOODS = 4;
    /** Beside what the kernel holds for its sockets: 1 MiB in the guest, and a few messages at each hop. */
    private static final long GROWTH_BYTES_MAX = 12L << 20;

    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final int TIMEOUT_SEC = 3;

    /** Keeps nothing of what it carries. */
    private final HttpClient http = HttpClient.newHttpClient();

    private Installation controlPlane;
    private Installation agent;
    private Api api;

    @BeforeAll
    void start(Installation shared) {
        String heap = "-Xmx" + HEAP_MEBIBYTES + "m -XX:MaxDirectMemorySize=" + HEAP_MEBIBYTES + "m";
        String registry = "127.0.0.1:" + Installation.freePort();
        controlPlane = Installation.of("streams-control-plane", "control-plane")
                .with("SANDGLASS_REGISTRY_ADDR", registry)
                .with("_JAVA_OPTIONS", heap);
        controlPlane.launch();
        Awaitility.await()
                .atMost(Installation.START)
                .until(() -> controlPlane.home().resolve("client.json").toFile().exists());
        agent = Installation.of("streams-agent", "agent")
                .withTemplatesOf(shared)
                .with("SANDGLASS_INSTALLATION", controlPlane.installation())
                .with(
                        "SANDGLASS_AGENT_TOKEN",
                        Installation.read(controlPlane.home().resolve("installation/agent-token"))
                                .strip())
                .with("SANDGLASS_AGENT_ADDR", "127.0.0.1:" + Installation.freePort())
                .with("SANDGLASS_REGISTRY_ADDR", registry)
                .with("CP_LISTEN_ADDR", "127.0.0.1:" + controlPlane.port())
                .with("_JAVA_OPTIONS", heap);
        agent.start();
        controlPlane.awaitReady(Installation.START);
        api = controlPlane.api();
    }

    @AfterAll
    void end() {
        try (Installation _ = controlPlane;
                Installation last = agent) {
            controlPlane.cli("rm", "--all").run();
            last.assertNothingBeyond(last.footprint());
        }
    }

    /** Bytes of objects that live in a server; it collects garbage first. */
    private static long liveHeap(Installation server) {
        String histogram = Shell.of(
                        Path.of(System.getProperty("java.home"), "bin", "jcmd").toString(),
                        Integer.toString(server.pid()),
                        "GC.class_histogram")
                .run()
                .require();
        String total = histogram
                .lines()
                .filter(line -> line.startsWith("Total"))
                .findFirst()
                .orElseThrow();
        return Long.parseLong(total.split("\\s+", -1)[2]);
    }

    private static long guestAgent(Sandbox sandbox) {
        String status = sandbox.exec("cat", "/proc/1/status").require();
        return Long.parseLong(Proc.value(status, "VmRSS").split("\\s+", -1)[0]) << 10;
    }

    private record Memory(long controlPlane, long hostAgent, long guestAgent) {
        void assertFlat(Memory before) {
            assertThat(controlPlane - before.controlPlane).as("control plane").isLessThan(GROWTH_BYTES_MAX);
            assertThat(hostAgent - before.hostAgent).as("host agent").isLessThan(GROWTH_BYTES_MAX);
            assertThat(guestAgent - before.guestAgent).as("guest agent").isLessThan(GROWTH_BYTES_MAX);
        }
    }

    private Memory memory(Sandbox sandbox) {
        return new Memory(liveHeap(controlPlane), liveHeap(agent), guestAgent(sandbox));
    }

    /** Bytes that a process of a sandbox has written so far. */
    private static long written(Sandbox sandbox, int pid) {
        String io = sandbox.exec("cat", "/proc/" + pid + "/io").require();
        return Long.parseLong(Proc.value(io, "wchar"));
    }

    private static void awaitStandstill(Sandbox sandbox, int pid) {
        long[] last = {-1};
        Awaitility.await().atMost(PATIENCE).pollInterval(Duration.ofMillis(300)).until(() -> {
            long before = last[0];
            last[0] = written(sandbox, pid);
            return last[0] > 0 && last[0] == before;
        });
    }

    private record Flood(ExecSocket stream, String exec, int pid) {
        static Flood start(Sandbox sandbox) throws ExecSocket.Refused {
            ExecSocket stream = ExecSocket.open(sandbox.api(), sandbox.id());
            stream.send(Map.of("type", "start", "cmd", "yes"));
            JsonNode start = stream.until("start");
            return new Flood(
                    stream,
                    start.path("exec_id").asString(""),
                    start.path("pid").asInt(0));
        }
    }

    @Test
    void whoDoesNotReadHoldsBackItsOwnProcessAndNothingElse() throws Exception {
        Sandbox sandbox = api.create(Map.of("timeout_sec", TIMEOUT_SEC));
        List<Flood> floods = new ArrayList<>();
        try {
            sandbox.sh("truncate -s 1G /tmp/endless").require();
            Memory before = memory(sandbox);
            long began = System.nanoTime();
            for (int i = 0; i < FLOODS; i++) {
                floods.add(Flood.start(sandbox));
            }
            HttpRequest request = api.request(sandbox.path() + "/files/stream/read")
                    .header("Content-Type", "application/json")
                    .POST(BodyPublishers.ofString("{\"path\":\"/tmp/endless\"}"))
                    .build();
            HttpResponse<InputStream> stuck = http.send(request, BodyHandlers.ofInputStream());
            try (InputStream _ = stuck.body()) {
                assertThat(stuck.statusCode()).isEqualTo(200);
                for (Flood flood : floods) {
                    awaitStandstill(sandbox, flood.pid());
                }
                Memory flooded = memory(sandbox);
                System.out.printf(
                        "live heaps and the guest agent: %s before, %s with %d floods%n", before, flooded, FLOODS);
                flooded.assertFlat(before);
                try (ExecSocket other = ExecSocket.open(api, sandbox.id())) {
                    other.send(Map.of("type", "start", "cmd", "seq", "args", List.of("1", "100000")));
                    assertThat(other.until("exit").path("exit_code").asInt(-1)).isZero();
                    assertThat(other.stdoutBytes())
                            .as("another exec is unaffected")
                            .hasSize(588_895);
                }
                readOn(floods.get(0));
                leave(sandbox, floods.get(1));
                while (Duration.ofNanos(System.nanoTime() - began).compareTo(Duration.ofSeconds(3 * TIMEOUT_SEC)) < 0) {
                    Installation.pause(Duration.ofMillis(100));
                }
                assertThat(sandbox.status())
                        .as("who is held back is busy all the same")
                        .isEqualTo("running");
                memory(sandbox).assertFlat(before);
            }
            stopAll(sandbox, floods);
        } finally {
            floods.forEach(flood -> flood.stream().close());
            sandbox.delete();
        }
    }

    /** A slow reader gets every byte, in order. */
    private static void readOn(Flood flood) {
        ExecSocket stream = flood.stream();
        while (stream.stdoutBytes().length < 8 << 20) {
            assertThat(ExecSocket.type(stream.next())).isEqualTo("stdout");
        }
        byte[] read = stream.stdoutBytes();
        assertThat(stream.lastSeq()).isEqualTo(read.length);
        for (int i = 0; i < read.length; i++) {
            if (read[i] != "y\n".charAt(i % 2)) {
                throw new AssertionError("byte " + i + " is " + read[i]);
            }
        }
    }

    /** A reader that leaves blocks nobody: its process goes on, and what comes last can still be read. */
    private void leave(Sandbox sandbox, Flood flood) throws Exception {
        long before = written(sandbox, flood.pid());
        flood.stream().close();
        Awaitility.await()
                .atMost(PATIENCE)
                .pollInterval(Duration.ofMillis(300))
                .until(() -> written(sandbox, flood.pid()) > before + (8 << 20));
        try (ExecSocket again = ExecSocket.open(api, sandbox.id())) {
            again.send(Map.of("type", "attach", "exec_id", flood.exec(), "after_seq", 2));
            JsonNode first = again.until("stdout");
            long begins = first.path("seq").asLong(0)
                    - first.path("data").asString("").length();
            assertThat(begins).as("what came between is gone, and that is seen").isGreaterThan(before);
            again.send(Map.of("type", "stop"));
            assertThat(again.until("exit").path("signal").asInt(0)).isEqualTo(9);
        }
    }

    private static void stopAll(Sandbox sandbox, List<Flood> floods) {
        // One by its own stream, whose reader has much to read before it sees the end; the others by name.
        floods.get(0).stream().send(Map.of("type", "stop"));
        for (Flood flood : floods.subList(2, floods.size())) {
            sandbox.api().delete(sandbox.path() + "/execs/" + flood.exec()).require(204);
        }
        Awaitility.await()
                .atMost(PATIENCE)
                .untilAsserted(() ->
                        assertThat(sandbox.sh("pgrep -x yes | wc -l").require()).isEqualTo("0"));
        assertThat(floods.get(2).stream().until("exit").path("signal").asInt(0)).isEqualTo(9);
        // Also those whose output nobody has read to its end.
        Set<String> stopped = floods.stream().map(Flood::exec).collect(Collectors.toSet());
        JsonNode execs =
                sandbox.api().get(sandbox.path() + "/execs").require(200).json();
        int listed = 0;
        for (JsonNode exec : execs) {
            if (stopped.contains(exec.path("exec_id").asString(""))) {
                listed++;
                assertThat(exec.path("running").asBoolean(true))
                        .as(exec.toString())
                        .isFalse();
                assertThat(exec.path("signal").asInt(0)).as(exec.toString()).isEqualTo(9);
            }
        }
        assertThat(listed).isEqualTo(floods.size());
    }

    @Test
    void aFileLargerThanTheHeapsGoesThroughAndBackUnchanged() throws Exception {
        Sandbox sandbox = api.create();
        try {
            long began = System.nanoTime();
            HttpRequest upload = api.request(sandbox.path() + "/files/stream?path=/var/large")
                    .timeout(Duration.ofMinutes(10))
                    .header("Content-Type", "application/octet-stream")
                    .PUT(BodyPublishers.ofInputStream(Blocks::new))
                    .build();
            HttpResponse<String> answer = http.send(upload, BodyHandlers.ofString());
            assertThat(answer.statusCode()).as(answer.body()).isEqualTo(204);
            long uploaded = System.nanoTime();
            HttpRequest download = api.request(sandbox.path() + "/files/stream/read")
                    .timeout(Duration.ofMinutes(10))
                    .header("Content-Type", "application/json")
                    .POST(BodyPublishers.ofString("{\"path\":\"/var/large\"}"))
                    .build();
            HttpResponse<InputStream> sent = http.send(download, BodyHandlers.ofInputStream());
            try (InputStream body = sent.body();
                    InputStream wanted = new Blocks()) {
                for (int i = 0; i < TRANSFER_MEBIBYTES; i++) {
                    assertThat(Arrays.equals(body.readNBytes(1 << 20), wanted.readNBytes(1 << 20)))
                            .as("mebibyte " + i)
                            .isTrue();
                }
                assertThat(body.read()).isEqualTo(-1);
            }
            System.out.printf(
                    "%d MiB through heaps of %d MiB: up in %.1f s, down and compared in %.1f s%n",
                    TRANSFER_MEBIBYTES, HEAP_MEBIBYTES, (uploaded - began) / 1e9, (System.nanoTime() - uploaded) / 1e9);
            assertThat(controlPlane.isRunning() && agent.isRunning()).isTrue();
        } finally {
            sandbox.delete();
        }
    }

    /** A file in which no mebibyte is like another. */
    private static final class Blocks extends InputStream {
        private final Random random = new Random(7);
        private final byte[] block = new byte[1 << 20];
        private int number = -1;
        private int at = block.length;

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] to, int offset, int length) {
            if (at == block.length) {
                if (number + 1 == TRANSFER_MEBIBYTES) {
                    return -1;
                }
                number++;
                at = 0;
                random.nextBytes(block);
            }
            int count = Math.min(length, block.length - at);
            System.arraycopy(block, at, to, offset, count);
            at += count;
            return count;
        }
    }
}
