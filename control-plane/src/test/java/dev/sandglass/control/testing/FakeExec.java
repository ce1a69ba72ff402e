package dev.sandglass.control.testing;

import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import dev.sandglass.contract.host.v1.ExecInfo;
import dev.sandglass.contract.host.v1.ExecOutput;
import dev.sandglass.contract.host.v1.ExecSpec;
import dev.sandglass.contract.host.v1.ExecStreamResponse;
import dev.sandglass.contract.host.v1.Exited;
import dev.sandglass.contract.host.v1.OutputStream;
import dev.sandglass.contract.host.v1.Started;
import io.grpc.stub.ServerCallStreamObserver;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** A process of this machine with the bookkeeping of a guest's exec: numbered output, the last 1 MiB of it kept. */
final class FakeExec {
    static final int KEPT = 1 << 20;
    private static final int CHUNK = 16 << 10;

    private record Chunk(OutputStream stream, long seq, ByteString data) {}

    private final ExecSpec spec;
    private final boolean keepAll;
    private final Process process;
    private final Instant started = Instant.now();
    private final List<Thread> readers = new ArrayList<>();

    // guarded by this
    private final ArrayDeque<Chunk> chunks = new ArrayDeque<>();
    private long seq;
    private long kept;
    private long delivered;
    private int reader; // 0: nobody
    private int readersSoFar;
    private @Nullable Exited exited;
    private boolean timedOut;

    /** The command is started; one that is not there ends at once with 127 and the reason on stderr. */
    FakeExec(ExecSpec spec, Map<String, String> environment, Path directory, boolean keepAll) throws IOException {
        this.spec = spec;
        this.keepAll = keepAll;
        List<String> argv = new ArrayList<>(List.of("setsid", "-w", "sh", "-c", "exec \"$@\"", "sh"));
        argv.addAll(spec.getArgvList());
        ProcessBuilder builder = new ProcessBuilder(argv).redirectErrorStream(spec.hasPty());
        builder.environment().putAll(environment);
        builder.environment().putAll(spec.getEnvMap());
        builder.directory(
                spec.getCwd().isEmpty()
                        ? directory.toFile()
                        : directory.resolve(spec.getCwd().substring(1)).toFile());
        process = builder.start();
        readers.add(pump(process.getInputStream(), spec.hasPty() ? OutputStream.PTY : OutputStream.STDOUT));
        if (!spec.hasPty()) {
            readers.add(pump(process.getErrorStream(), OutputStream.STDERR));
        }
        Thread.ofVirtual().start(this::watch);
    }

    private Thread pump(InputStream from, OutputStream stream) {
        return Thread.ofVirtual().start(() -> {
            byte[] buffer = new byte[CHUNK];
            try (from) {
                for (int n = from.read(buffer); n >= 0; n = from.read(buffer)) {
                    append(stream, Arrays.copyOf(buffer, n));
                }
            } catch (IOException | InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        });
    }

    private synchronized void append(OutputStream stream, byte[] data) throws InterruptedException {
        while (reader != 0 && seq - delivered > KEPT) {
            wait();
        }
        seq += data.length;
        kept += data.length;
        chunks.add(new Chunk(stream, seq, ByteString.copyFrom(data)));
        while (!keepAll && kept > KEPT && (reader == 0 || chunks.getFirst().seq() <= delivered)) {
            kept -= chunks.removeFirst().data().size();
        }
        notifyAll();
    }

    private void watch() {
        try {
            if (spec.getTimeoutMs() > 0) {
                if (!process.waitFor(spec.getTimeoutMs(), TimeUnit.MILLISECONDS)) {
                    timedOut = true;
                    kill();
                }
            }
            int code = process.waitFor();
            for (Thread pump : readers) {
                pump.join(java.time.Duration.ofMillis(500));
            }
            synchronized (this) {
                exited = Exited.newBuilder()
                        .setExitCode(code)
                        .setSignal(code > 128 ? code - 128 : 0)
                        .setTimedOut(timedOut)
                        .setLastSeq(seq)
                        .build();
                notifyAll();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    void kill() {
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
    }

    void signal(int number) throws IOException {
        new ProcessBuilder("kill", "-" + number, "--", "-" + process.pid()).start();
    }

    /** Blocks while the process does not read. */
    void stdin(ByteString data) throws IOException {
        data.writeTo(process.getOutputStream());
        process.getOutputStream().flush();
    }

    void closeStdin() throws IOException {
        process.getOutputStream().close();
    }

    synchronized long bytesSoFar() {
        return seq;
    }

    synchronized Exited awaitExit() throws InterruptedException {
        while (exited == null) {
            wait();
        }
        return exited;
    }

    synchronized byte[] output(OutputStream stream) {
        var all = new java.io.ByteArrayOutputStream();
        chunks.stream()
                .filter(chunk -> chunk.stream() == stream)
                .forEach(chunk -> all.writeBytes(chunk.data().toByteArray()));
        return all.toByteArray();
    }

    synchronized ExecInfo info() {
        ExecInfo.Builder info = ExecInfo.newBuilder()
                .setExecId(spec.getExecId())
                .setPid((int) process.pid())
                .addAllArgv(spec.getArgvList())
                .setPty(spec.hasPty())
                .setStartedAt(Timestamp.newBuilder().setSeconds(started.getEpochSecond()))
                .setRunning(exited == null);
        if (exited != null) {
            info.setExitCode(exited.getExitCode()).setSignal(exited.getSignal()).setTimedOut(exited.getTimedOut());
        }
        return info.build();
    }

    /** Sends what comes after {@code after} to a reader, until the end or until somebody else reads. */
    void deliver(long after, ServerCallStreamObserver<ExecStreamResponse> to) throws InterruptedException {
        int self;
        synchronized (this) {
            self = ++readersSoFar;
            reader = self;
            delivered = after;
            notifyAll();
        }
        to.onNext(ExecStreamResponse.newBuilder()
                .setStarted(Started.newBuilder().setExecId(spec.getExecId()).setPid((int) process.pid()))
                .build());
        long position = after;
        while (true) {
            Chunk next = await(position, self);
            if (next == null) {
                finish(to, self);
                return;
            }
            while (!to.isReady()) {
                if (to.isCancelled()) {
                    detach(self);
                    return;
                }
                Thread.sleep(1);
            }
            int skip = (int) Math.max(0, position - (next.seq() - next.data().size()));
            to.onNext(ExecStreamResponse.newBuilder()
                    .setOutput(ExecOutput.newBuilder()
                            .setStream(next.stream())
                            .setSeq(next.seq())
                            .setData(next.data().substring(skip)))
                    .build());
            position = next.seq();
            synchronized (this) {
                if (reader == self) {
                    delivered = position;
                    notifyAll();
                }
            }
        }
    }

    private synchronized @Nullable Chunk await(long after, int self) throws InterruptedException {
        while (reader == self) {
            for (Chunk chunk : chunks) {
                if (chunk.seq() > after) {
                    return chunk;
                }
            }
            if (exited != null) {
                return null;
            }
            wait(50);
            if (Thread.interrupted()) {
                throw new InterruptedException();
            }
        }
        return null;
    }

    private void finish(ServerCallStreamObserver<ExecStreamResponse> to, int self) {
        Exited end;
        synchronized (this) {
            end = reader == self ? exited : null;
        }
        if (end != null && !to.isCancelled()) {
            to.onNext(ExecStreamResponse.newBuilder().setExited(end).build());
        }
        if (!to.isCancelled()) {
            to.onCompleted();
        }
        detach(self);
    }

    synchronized void detach(int self) {
        if (reader == self) {
            reader = 0;
            notifyAll();
        }
    }

    synchronized void detachAll() {
        reader = 0;
        notifyAll();
    }
}
