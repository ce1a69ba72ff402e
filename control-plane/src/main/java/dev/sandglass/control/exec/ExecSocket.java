package dev.sandglass.control.exec;

import static dev.sandglass.control.http.Texts.invalid;

import com.google.protobuf.ByteString;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.ExecId;
import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.host.v1.AttachExec;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.ExecOutput;
import dev.sandglass.contract.host.v1.ExecStreamRequest;
import dev.sandglass.contract.host.v1.ExecStreamResponse;
import dev.sandglass.contract.host.v1.Exited;
import dev.sandglass.contract.host.v1.KillExecRequest;
import dev.sandglass.contract.host.v1.Pty;
import dev.sandglass.contract.host.v1.StartExec;
import dev.sandglass.contract.host.v1.Started;
import dev.sandglass.control.host.AgentFailure;
import dev.sandglass.control.http.Json;
import dev.sandglass.control.http.Texts;
import dev.sandglass.control.observe.RequestContext;
import dev.sandglass.control.sandbox.Sandboxes;
import io.github.bucket4j.Bucket;
import io.grpc.StatusException;
import io.grpc.stub.BlockingClientCall;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import org.eclipse.jetty.websocket.api.Callback;
import org.eclipse.jetty.websocket.api.Session;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One WebSocket, one exec. Two virtual threads carry it, and each has at most a handful of messages in hand:
 *
 * <pre>
 *   WebSocket ──▶ mailbox (256 Ki characters) ──▶ input thread ──▶ gRPC request stream, which blocks while the guest is slow
 *   WebSocket ◀── output thread, which waits until each message is on its way ◀── gRPC response stream
 * </pre>
 *
 * A full mailbox is not read into, and a message that is not on its way keeps the next one from being asked for: so a
 * slow reader slows the process down and nothing grows. When the WebSocket goes, the gRPC stream is cancelled, which
 * detaches from the process and leaves it running. Public because Jetty calls it.
 *
 * <p>Three pings without an answer say that a reader is gone. One that is slow, or kept waiting because the process does
 * not read, cannot answer and is not judged: should its machine be gone, TCP says so within a quarter of an hour.
 */
public final class ExecSocket implements Session.Listener {
    private static final Logger log = LoggerFactory.getLogger(ExecSocket.class);
    private static final int MAILBOX_MAX = 64;
    /** So much input may wait for a process that does not read, and a stop still gets through. */
    private static final int MAILBOX_CHARACTERS_MAX = 256 << 10;

    private static final int STOP_CHARACTERS_MAX = 64; // a longer message is no stop, and not looked into ahead
    private static final int STDIN_BYTES_MAX = 60 << 10; // a chunk on the way to the guest holds 64 KiB
    private static final int PINGS_UNANSWERED_MAX = 3;
    /** For the last of the output to be read and the close to be answered. */
    private static final Duration CLOSING_MAX = Duration.ofMinutes(10);

    /** Pings of ours until the first message has come. */
    private static final int SILENT_PINGS_MAX = 3;

    /** Beyond, messages are read more slowly; more than anybody types, and in large ones it is no bound at all. */
    private static final int MESSAGES_PER_SECOND_MAX = 2000;

    /** Pings and pongs, which are answered and read ahead of everything else. */
    private static final int CONTROL_FRAMES_PER_SECOND_MAX = 100;

    private static final Duration KILL_LIMIT = Duration.ofSeconds(10);
    private static final int TIMEOUT_SEC_MAX = 30 * 24 * 3600;
    private static final int NORMAL = 1000;
    private static final int GOING_AWAY = 1001;
    private static final int POLICY = 1008;

    /** A message from the client, all types in one. */
    record Received(
            @Nullable String type,
            @Nullable String cmd,
            @Nullable List<@Nullable String> args,
            @Nullable String cwd,
            @Nullable Map<String, @Nullable String> env,
            @Nullable String user,
            ExecSpecs.@Nullable Terminal pty,
            @Nullable Integer timeoutSec,
            @Nullable String execId,
            @Nullable Long afterSeq,
            @Nullable String data,
            @Nullable String encoding,
            @Nullable Integer cols,
            @Nullable Integer rows,
            @Nullable Object signal) {}

    record StartMessage(String type, int pid, String execId) {}

    record OutputMessage(
            String type, long seq, String data, @Nullable String encoding) {}

    record ExitMessage(
            String type,
            int exitCode,
            @Nullable Integer signal,
            @Nullable Boolean timedOut) {}

    record ErrorMessage(String type, String code, String message) {}

    private final RequestContext request = RequestContext.here();
    private final Sandboxes.Running sandbox;
    private final Consumer<ExecSocket> onOpen;
    private final BiConsumer<ExecSocket, Sandboxes.Running> onEnd;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final ArrayDeque<String> mailbox = new ArrayDeque<>(MAILBOX_MAX); // guarded by lock
    private int waitingCharacters; // in the mailbox; guarded by lock
    private boolean demandOwed; // guarded by lock
    private boolean ended; // guarded by lock

    private volatile @Nullable Session session;
    private volatile @Nullable BlockingClientCall<ExecStreamRequest, ExecStreamResponse> call;
    private volatile String execId = "";
    private volatile int pingsUnanswered;
    private volatile boolean sending;
    private int silentPings; // of the pinging thread
    private final AtomicBoolean stopping = new AtomicBoolean();
    /** An exit or error is on its way, after which nothing comes but the close. */
    private final AtomicBoolean lastSaid = new AtomicBoolean();

    private final Bucket messages = bucket(MESSAGES_PER_SECOND_MAX);
    private final Bucket controlFrames = bucket(CONTROL_FRAMES_PER_SECOND_MAX);

    ExecSocket(
            Sandboxes.Running sandbox, Consumer<ExecSocket> onOpen, BiConsumer<ExecSocket, Sandboxes.Running> onEnd) {
        this.sandbox = sandbox;
        this.onOpen = onOpen;
        this.onEnd = onEnd;
    }

    private static Bucket bucket(int perSecond) {
        return Bucket.builder()
                .addLimit(limit -> limit.capacity(perSecond).refillGreedy(perSecond, Duration.ofSeconds(1)))
                .build();
    }

    SandboxId sandbox() {
        return sandbox.id();
    }

    // ---- Jetty's side

    @Override
    public void onWebSocketOpen(Session opened) {
        session = opened;
        opened.setIdleTimeout(Duration.ZERO); // a quiet command is no dead connection: pings tell
        onOpen.accept(this);
        Thread.ofVirtual().name("exec-in-" + sandbox.id()).start(request.around(this::carryInput));
        opened.demand();
    }

    @Override
    public void onWebSocketText(String message) {
        pingsUnanswered = 0;
        if (isStopOfRunning(message)) {
            if (stopping.compareAndSet(false, true)) { // the rest of a flood has nothing to add
                Thread.ofVirtual().name("exec-stop-" + sandbox.id()).start(request.around(this::stopAhead));
            }
            demand();
            return;
        }
        boolean more;
        lock.lock();
        try {
            mailbox.add(message);
            waitingCharacters += message.length();
            more = mailbox.size() < MAILBOX_MAX && waitingCharacters < MAILBOX_CHARACTERS_MAX;
            demandOwed = !more;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        if (more) {
            demand();
        }
    }

    /** It does not wait behind input that the process never reads. */
    private boolean isStopOfRunning(String message) {
        if (execId.isEmpty() || message.length() > STOP_CHARACTERS_MAX || !message.contains("stop")) {
            return false;
        }
        try {
            return "stop".equals(parse(message).type());
        } catch (PlatformException nonsense) {
            return false; // said when its turn comes
        }
    }

    private static Received parse(String message) {
        return Json.read(message.getBytes(StandardCharsets.UTF_8), Received.class);
    }

    @Override
    public void onWebSocketBinary(ByteBuffer payload, Callback callback) {
        callback.succeed();
        refuse("text messages only");
    }

    /** The next frame is asked for when the answer is on its way. */
    @Override
    public void onWebSocketPing(ByteBuffer payload) {
        Session current = session;
        if (current != null && mayControl()) {
            ByteBuffer answer =
                    ByteBuffer.allocate(payload.remaining()).put(payload).flip();
            current.sendPong(answer, Callback.from(this::demand, failure -> leave()));
        }
    }

    @Override
    public void onWebSocketPong(ByteBuffer payload) {
        pingsUnanswered = 0;
        if (mayControl()) {
            demand();
        }
    }

    private boolean mayControl() {
        boolean may = controlFrames.tryConsume(1);
        if (!may) {
            refuse("too many pings and pongs");
        }
        return may;
    }

    /** Ends it for what the client did. */
    void refuse(String reason) {
        end(POLICY, reason);
    }

    @Override
    public void onWebSocketError(Throwable cause) {
        log.debug("an exec stream broke", cause);
        leave();
    }

    @Override
    public void onWebSocketClose(int status, @Nullable String reason, Callback callback) {
        callback.succeed();
        leave();
    }

    private void demand() {
        Session current = session;
        if (current != null && current.isOpen()) {
            current.demand();
        }
    }

    // ---- keeping alive, ending

    /** Called every few seconds, by one thread. */
    void ping() {
        Session current = session;
        if (current == null) {
            return;
        }
        if (call == null && ++silentPings > SILENT_PINGS_MAX) {
            refuse("no start or attach came");
            return;
        }
        if (sending || isInputFull()) {
            pingsUnanswered = 0; // it could not answer
            return;
        }
        int unanswered = pingsUnanswered;
        if (unanswered >= PINGS_UNANSWERED_MAX) {
            log.atDebug().addKeyValue("sandbox", sandbox.id()).log("an exec stream's reader is gone");
            current.disconnect();
            leave();
            return;
        }
        pingsUnanswered = unanswered + 1;
        current.sendPing(ByteBuffer.allocate(0), Callback.NOOP);
    }

    private boolean isInputFull() {
        lock.lock();
        try {
            return demandOwed;
        } finally {
            lock.unlock();
        }
    }

    /** Detaches from the process, which goes on. */
    void leave() {
        end(GOING_AWAY, "");
    }

    /** Once; later calls do nothing. */
    private void end(int status, String reason) {
        lock.lock();
        try {
            if (ended) {
                return;
            }
            ended = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        BlockingClientCall<ExecStreamRequest, ExecStreamResponse> current = call;
        if (current != null) {
            current.cancel("the reader has left", null);
        }
        Session opened = session;
        if (opened != null && opened.isOpen()) {
            opened.setIdleTimeout(CLOSING_MAX);
            opened.close(status, reason, Callback.NOOP);
        }
        onEnd.accept(this, sandbox);
    }

    /** Of two who fail, or of a failure and an exit, the first has the last word: what it ends fails the other. */
    private void fail(PlatformException failure) {
        if (lastSaid.compareAndSet(false, true)) {
            trySend(new ErrorMessage("error", failure.code().wireName(), failure.reason()));
            end(NORMAL, "");
        }
    }

    // ---- client to process

    private void carryInput() {
        try {
            for (Optional<String> text = next(); text.isPresent(); text = next()) {
                messages.asBlocking().consume(1);
                Received message = parse(text.get());
                BlockingClientCall<ExecStreamRequest, ExecStreamResponse> current = call;
                if (current == null) {
                    begin(message);
                } else {
                    forward(message, current);
                }
            }
        } catch (PlatformException e) {
            fail(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            leave();
        } catch (StatusException e) {
            log.trace("the output thread tells why", e);
        } catch (RuntimeException e) {
            if (hasEnded()) {
                log.trace("the stream was ended while this was on its way", e);
                return;
            }
            log.error("unexpected failure in an exec stream", e);
            fail(new PlatformException(ErrorCode.INTERNAL_ERROR, "Something went wrong here."));
        }
    }

    /** The next message; empty at the end. */
    private Optional<String> next() throws InterruptedException {
        String message;
        boolean demand;
        lock.lock();
        try {
            while (mailbox.isEmpty() && !ended) {
                changed.await();
            }
            if (ended) {
                return Optional.empty();
            }
            message = mailbox.remove();
            waitingCharacters -= message.length();
            demand = demandOwed;
            demandOwed = false;
        } finally {
            lock.unlock();
        }
        if (demand) {
            demand();
        }
        return Optional.of(message);
    }

    private void begin(Received message) throws StatusException, InterruptedException {
        ExecStreamRequest first = switch (String.valueOf(message.type())) {
            case "start" -> start(message);
            case "attach" -> attach(message);
            default -> throw invalid("The first message must be of type start or attach.");
        };
        var opened = sandbox.open(agent -> agent.execStream());
        call = opened;
        if (hasEnded()) {
            opened.cancel("the reader has left", null);
            return;
        }
        opened.write(first);
        Thread.ofVirtual().name("exec-out-" + sandbox.id()).start(request.around(() -> carryOutput(opened)));
    }

    private boolean hasEnded() {
        lock.lock();
        try {
            return ended;
        } finally {
            lock.unlock();
        }
    }

    private ExecStreamRequest start(Received message) {
        var command =
                new ExecSpecs.Command(message.cmd(), message.args(), message.cwd(), message.env(), message.user());
        var spec = ExecSpecs.of(
                command,
                ExecSpecs.timeout(message.timeoutSec(), TIMEOUT_SEC_MAX),
                Optional.ofNullable(message.pty()).map(ExecSpecs::pty));
        return ExecStreamRequest.newBuilder()
                .setStart(StartExec.newBuilder()
                        .setSandboxId(sandbox.id().value())
                        .setSpec(spec))
                .build();
    }

    private ExecStreamRequest attach(Received message) {
        String id = String.valueOf(message.execId());
        long after = message.afterSeq() == null ? 0 : message.afterSeq();
        if (!Ids.isValid(ExecId.PREFIX, id)) {
            throw new PlatformException(ErrorCode.NOT_FOUND, "There is no such exec.");
        }
        if (after < 0) {
            throw invalid("The field 'after_seq' must not be negative.");
        }
        return ExecStreamRequest.newBuilder()
                .setAttach(AttachExec.newBuilder()
                        .setSandboxId(sandbox.id().value())
                        .setExecId(id)
                        .setAfterSeq(after))
                .build();
    }

    private void forward(Received message, BlockingClientCall<ExecStreamRequest, ExecStreamResponse> to)
            throws StatusException, InterruptedException {
        ExecStreamRequest.Builder request = ExecStreamRequest.newBuilder();
        switch (String.valueOf(message.type())) {
            case "stdin" -> {
                ByteString data = stdin(message);
                for (int at = 0; at < data.size(); at += STDIN_BYTES_MAX) {
                    ByteString part = data.substring(at, Math.min(data.size(), at + STDIN_BYTES_MAX));
                    to.write(ExecStreamRequest.newBuilder().setStdin(part).build());
                }
            }
            case "stdin_close" ->
                to.write(request.setCloseStdin(Empty.getDefaultInstance()).build());
            case "resize" -> {
                Pty size = ExecSpecs.pty(new ExecSpecs.Terminal(message.cols(), message.rows()));
                to.write(request.setResize(size).build());
            }
            case "signal" ->
                to.write(request.setSignal(Signals.number(message.signal())).build());
            case "stop" -> to.write(request.setStop(Empty.getDefaultInstance()).build());
            default -> throw invalid("A message's type must be one of stdin, stdin_close, resize, signal, stop.");
        }
    }

    private static ByteString stdin(Received message) {
        String data = message.data();
        if (data == null) {
            throw invalid("The field 'data' is missing.");
        }
        return switch (message.encoding() == null ? "utf-8" : message.encoding()) {
            case "utf-8" -> ByteString.copyFromUtf8(Texts.requireUnicode("data", data));
            case "base64" -> {
                try {
                    yield ByteString.copyFrom(Base64.getDecoder().decode(data));
                } catch (IllegalArgumentException e) {
                    throw invalid("The field 'data' is not base64.");
                }
            }
            default -> throw invalid("The field 'encoding' must be utf-8 or base64.");
        };
    }

    /** By a call of its own, which nothing that waits in the stream holds up. */
    private void stopAhead() {
        KillExecRequest which = KillExecRequest.newBuilder()
                .setSandboxId(sandbox.id().value())
                .setExecId(execId)
                .build();
        try {
            sandbox.call(KILL_LIMIT, agent -> agent.killExec(which));
        } catch (PlatformException e) {
            if (e.code() != ErrorCode.NOT_FOUND) { // it has just ended: the exit is under way
                fail(e);
            }
        } finally {
            stopping.set(false);
        }
    }

    // ---- process to client

    private void carryOutput(BlockingClientCall<ExecStreamRequest, ExecStreamResponse> from) {
        OutputCutter cutter = new OutputCutter();
        try {
            ExecStreamResponse response = from.read();
            while (response != null) {
                switch (response.getKindCase()) {
                    case STARTED -> started(response.getStarted());
                    case OUTPUT -> output(cutter, response.getOutput());
                    case EXITED -> {
                        cutter.end().ifPresent(this::send);
                        if (lastSaid.compareAndSet(false, true)) {
                            exited(response.getExited());
                            end(NORMAL, "");
                        }
                        return;
                    }
                    case KIND_NOT_SET -> log.debug("an agent newer than this said something unknown");
                }
                response = from.read();
            }
            fail(new PlatformException(ErrorCode.AGENT_ERROR, "The sandbox's host ended the stream."));
        } catch (StatusException e) {
            fail(sandbox.failed(AgentFailure.of(e)));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            leave();
        } catch (ReaderGone e) {
            leave();
        } catch (RuntimeException e) {
            log.error("unexpected failure in an exec stream", e);
            leave();
        }
    }

    private void started(Started started) {
        execId = started.getExecId();
        send(new StartMessage("start", started.getPid(), started.getExecId()));
    }

    private void output(OutputCutter cutter, ExecOutput output) {
        cutter.chunk(output.getStream(), output.getSeq(), output.getData().toByteArray())
                .forEach(this::send);
    }

    private void send(OutputCutter.Piece piece) {
        if (lastSaid.get()) {
            return;
        }
        String type = switch (piece.stream()) {
            case STDERR -> "stderr";
            case PTY -> "pty";
            case STDOUT, OUTPUT_STREAM_UNSPECIFIED, UNRECOGNIZED -> "stdout";
        };
        send(new OutputMessage(type, piece.seq(), piece.data(), piece.base64() ? "base64" : null));
    }

    private void exited(Exited exited) {
        send(new ExitMessage(
                "exit",
                exited.getTimedOut() ? -1 : exited.getExitCode(),
                exited.getSignal() == 0 ? null : exited.getSignal(),
                exited.getTimedOut() ? true : null));
    }

    /** Returns when the message is on its way, which is what keeps a slow reader's process waiting. */
    private void send(Object message) {
        Session current = session;
        if (current == null) {
            throw new ReaderGone();
        }
        sending = true;
        try {
            var sent = new CompletableFuture<Void>();
            current.sendText(
                    Json.writeText(message), Callback.from(() -> sent.complete(null), sent::completeExceptionally));
            sent.get();
        } catch (ExecutionException e) {
            throw new ReaderGone();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ReaderGone();
        } finally {
            sending = false;
        }
    }

    private void trySend(Object message) {
        try {
            send(message);
        } catch (ReaderGone e) {
            log.trace("nobody reads any more", e);
        }
    }

    /** The WebSocket takes nothing any more. */
    private static final class ReaderGone extends RuntimeException {
        private static final long serialVersionUID = 1;
    }
}
