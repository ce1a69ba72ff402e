package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.WriteFileRequest;
import dev.sandglass.contract.host.v1.WriteTarget;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * One upload: requests are asked for one at a time and become an InputStream that the guest client reads. Unless the
 * caller commits, the stream ends with an IOException and the guest leaves the old file as it was.
 */
final class WriteFileCall implements StreamObserver<WriteFileRequest> {
    /** An upload that says nothing for this long is given up. */
    private static final Duration SILENCE = Duration.ofSeconds(60);
    /** Requests under way to the guest at a time, at most 64 KiB each. */
    private static final int WINDOW = 8;

    private static final WriteFileRequest ABORT = WriteFileRequest.getDefaultInstance();

    private final Sandboxes sandboxes;
    private final ServerCallStreamObserver<Empty> responses;
    /** One place more than asked for, so that an abort always fits. */
    private final BlockingQueue<WriteFileRequest> inbox = new ArrayBlockingQueue<>(WINDOW + 1);

    private WriteFileCall(Sandboxes sandboxes, ServerCallStreamObserver<Empty> responses) {
        this.sandboxes = sandboxes;
        this.responses = responses;
    }

    static WriteFileCall begin(Sandboxes sandboxes, ServerCallStreamObserver<Empty> responses) {
        WriteFileCall call = new WriteFileCall(sandboxes, responses);
        responses.disableAutoRequest();
        responses.setOnCancelHandler(call::abort);
        Thread.ofVirtual().name("write-file").start(call::run);
        responses.request(WINDOW);
        return call;
    }

    @Override
    public void onNext(WriteFileRequest request) {
        if (!inbox.offer(request)) {
            throw new IllegalStateException("a request came that was not asked for");
        }
    }

    @Override
    public void onError(Throwable gone) {
        abort();
    }

    @Override
    public void onCompleted() {
        abort(); // has no effect after a commit: nobody reads on
    }

    private void abort() {
        inbox.offer(ABORT);
    }

    private void run() {
        try {
            WriteFileRequest first = take();
            if (!first.hasTarget()) {
                throw new PlatformException(ErrorCode.INVALID_REQUEST, "The first message must name the file.");
            }
            WriteTarget target = first.getTarget();
            Sandbox sandbox = sandboxes.require(new SandboxId(target.getSandboxId()));
            try (Sandbox.Use use = sandbox.use()) {
                use.guest().writeFile(target.getPath(), target.getMode(), target.getUser(), new Body(sandbox));
            }
            if (!responses.isCancelled()) {
                responses.onNext(Empty.getDefaultInstance());
                responses.onCompleted();
            }
        } catch (IOException | RuntimeException failure) {
            if (!responses.isCancelled()) {
                responses.onError(GrpcErrors.toStatus("write file", failure));
            }
        }
    }

    private WriteFileRequest take() throws IOException {
        try {
            WriteFileRequest request = inbox.poll(SILENCE.toMillis(), TimeUnit.MILLISECONDS);
            if (request == null || request.getKindCase() == WriteFileRequest.KindCase.KIND_NOT_SET) {
                throw new IOException("the upload was not finished");
            }
            responses.request(1);
            return request;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
    }

    /** What was sent, until the commit. */
    private final class Body extends InputStream {
        private final Sandbox sandbox;
        private ByteBuffer chunk = ByteBuffer.allocate(0);
        private boolean committed;

        Body(Sandbox sandbox) {
            this.sandbox = sandbox;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] into, int offset, int length) throws IOException {
            while (!chunk.hasRemaining()) {
                if (committed || !next()) {
                    return -1;
                }
            }
            int count = Math.min(length, chunk.remaining());
            chunk.get(into, offset, count);
            return count;
        }

        @Override
        public int available() {
            WriteFileRequest waiting = inbox.peek();
            return chunk.remaining() + (waiting == null ? 0 : waiting.getData().size());
        }

        private boolean next() throws IOException {
            sandbox.touch();
            WriteFileRequest request = take();
            committed = request.hasCommit();
            chunk = request.getData().asReadOnlyByteBuffer();
            return !committed;
        }
    }
}
