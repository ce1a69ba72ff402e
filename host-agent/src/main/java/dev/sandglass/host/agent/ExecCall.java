package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.host.v1.AttachExec;
import dev.sandglass.contract.host.v1.ExecStreamRequest;
import dev.sandglass.contract.host.v1.ExecStreamResponse;
import dev.sandglass.contract.host.v1.StartExec;
import dev.sandglass.contract.host.v1.Started;
import dev.sandglass.host.guest.ExecStream;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.linux.Deadline;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One call of ExecStream. Two virtual threads: one carries what the caller sends into the guest, one carries output out.
 * Requests are asked for one at a time, so at most one waits here. A caller who goes away detaches; the process goes on.
 *
 * <pre>
 *  caller ──onNext──▶ inbox (1) ──input thread──▶ guest
 *  caller ◀──FlowControlledSender──output thread── guest
 * </pre>
 */
final class ExecCall implements StreamObserver<ExecStreamRequest> {
    /** For the first message, and for the guest's first answer. */
    private static final Duration START_TIMEOUT = Duration.ofSeconds(30);
    /** How often the input thread looks whether the call is over. */
    private static final long IDLE_CHECK_MILLIS = 500;

    private final Sandboxes sandboxes;
    private final ServerCallStreamObserver<ExecStreamResponse> responses;
    private final FlowControlledSender<ExecStreamResponse> sender;
    private final BlockingQueue<ExecStreamRequest> inbox = new ArrayBlockingQueue<>(1);
    private volatile boolean over;
    private volatile @Nullable ExecStream stream;

    private ExecCall(Sandboxes sandboxes, ServerCallStreamObserver<ExecStreamResponse> responses) {
        this.sandboxes = sandboxes;
        this.responses = responses;
        this.sender = new FlowControlledSender<>(responses, this::leave);
    }

    static ExecCall begin(Sandboxes sandboxes, ServerCallStreamObserver<ExecStreamResponse> responses) {
        responses.disableAutoRequest();
        ExecCall call = new ExecCall(sandboxes, responses);
        Thread.ofVirtual().name("exec-output").start(call::run);
        responses.request(1);
        return call;
    }

    // ---- gRPC's side

    @Override
    public void onNext(ExecStreamRequest request) {
        if (!inbox.offer(request)) {
            throw new IllegalStateException("a request came that was not asked for");
        }
    }

    @Override
    public void onError(Throwable gone) {
        leave();
    }

    @Override
    public void onCompleted() {
        // The caller has nothing more to send and still reads.
    }

    private void leave() {
        over = true;
        ExecStream open = stream;
        if (open != null) {
            open.close();
        }
    }

    // ---- Output thread

    private void run() {
        try {
            ExecStreamRequest first = inbox.poll(START_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
            if (first == null) {
                throw new PlatformException(ErrorCode.INVALID_REQUEST, "Neither start nor attach was sent.");
            }
            Sandbox sandbox = sandboxes.require(new SandboxId(sandboxId(first)));
            try (Sandbox.Use use = sandbox.use();
                    ExecStream open = open(sandbox, use.guest(), first)) {
                stream = open;
                if (over) {
                    return;
                }
                Thread.ofVirtual().name("exec-input").start(() -> carryInput(open));
                responses.request(1);
                carryOutput(sandbox, open);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException failure) {
            if (!over) {
                sender.fail("exec", failure);
            }
        } finally {
            over = true;
        }
    }

    private static String sandboxId(ExecStreamRequest first) {
        return switch (first.getKindCase()) {
            case START -> first.getStart().getSandboxId();
            case ATTACH -> first.getAttach().getSandboxId();
            default ->
                throw new PlatformException(ErrorCode.INVALID_REQUEST, "The first message must be start or attach.");
        };
    }

    private static ExecStream open(Sandbox sandbox, GuestClient guest, ExecStreamRequest first) {
        Deadline deadline = Deadline.after(START_TIMEOUT);
        if (first.hasStart()) {
            StartExec start = first.getStart();
            return guest.startExec(
                    Execs.start(sandbox, start.getSpec()).toBuilder()
                            .setStdinOpen(true)
                            .build(),
                    deadline);
        }
        AttachExec attach = first.getAttach();
        return guest.attachExec(attach.getExecId(), attach.getAfterSeq(), deadline);
    }

    private void carryOutput(Sandbox sandbox, ExecStream open) throws InterruptedException {
        sender.send(ExecStreamResponse.newBuilder()
                .setStarted(Started.newBuilder().setExecId(open.execId()).setPid(open.pid()))
                .build());
        while (true) {
            ExecStream.Event event = open.next();
            sandbox.touch();
            switch (event) {
                case ExecStream.Event.Output output -> sender.send(Execs.response(output));
                case ExecStream.Event.Exited exited -> {
                    sender.send(Execs.response(exited.status()));
                    sender.complete();
                    return;
                }
                case ExecStream.Event.TakenOver _ ->
                    throw new PlatformException(
                            ErrorCode.CONFLICT, "Exec " + open.execId() + " is read by somebody else now.");
            }
        }
    }

    // ---- Input thread

    private void carryInput(ExecStream open) {
        try {
            while (!over) {
                ExecStreamRequest request = inbox.poll(IDLE_CHECK_MILLIS, TimeUnit.MILLISECONDS);
                if (request != null) {
                    carry(open, request);
                    responses.request(1);
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException failure) {
            if (!over) {
                sender.fail("exec", failure);
                leave();
            }
        }
    }

    private static void carry(ExecStream open, ExecStreamRequest request) {
        switch (request.getKindCase()) {
            case STDIN -> open.stdin(request.getStdin().toByteArray());
            case CLOSE_STDIN -> open.closeStdin();
            case RESIZE ->
                open.resize(request.getResize().getCols(), request.getResize().getRows());
            case SIGNAL -> open.signal(request.getSignal());
            case STOP -> open.signal(Execs.SIGKILL);
            case START, ATTACH, KIND_NOT_SET ->
                throw new PlatformException(
                        ErrorCode.INVALID_REQUEST, "An exec can be started or attached once in a call.");
        }
    }
}
