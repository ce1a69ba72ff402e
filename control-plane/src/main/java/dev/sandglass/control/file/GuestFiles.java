package dev.sandglass.control.file;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.FileInfo;
import dev.sandglass.contract.host.v1.ReadFileRequest;
import dev.sandglass.contract.host.v1.ReadFileResponse;
import dev.sandglass.contract.host.v1.WriteFileRequest;
import dev.sandglass.contract.host.v1.WriteTarget;
import dev.sandglass.control.host.AgentFailure;
import dev.sandglass.control.sandbox.Sandboxes;
import io.grpc.StatusException;
import io.grpc.stub.BlockingClientCall;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/** Reads and writes one file of a sandbox as a stream. Each step that makes no progress has a limit; the whole has none. */
final class GuestFiles {
    private static final int CHUNK_BYTES = 64 << 10;
    private static final long STALL_SECONDS = 120;

    private GuestFiles() {}

    // ---- writing

    /** A file on its way. Nothing of it is seen in the sandbox before {@link #commit}; closing without it discards. */
    static final class Upload implements AutoCloseable {
        private final Sandboxes.Running sandbox;
        private final BlockingClientCall<WriteFileRequest, Empty> call;
        private boolean done;

        Upload(Sandboxes.Running sandbox, String path, int mode) {
            this.sandbox = sandbox;
            call = sandbox.open(agent -> agent.streamWriteFile());
            write(WriteFileRequest.newBuilder()
                    .setTarget(WriteTarget.newBuilder()
                            .setSandboxId(sandbox.id().value())
                            .setPath(path)
                            .setMode(mode))
                    .build());
        }

        /** All of {@code data}; a source that breaks off is its IOException. */
        void transfer(InputStream data) throws IOException {
            while (true) {
                byte[] chunk = new byte[CHUNK_BYTES]; // handed over as it is, so each time a new one
                int length = readWhatIsThere(data, chunk);
                if (length < 0) {
                    return;
                }
                ByteString bytes = UnsafeByteOperations.unsafeWrap(chunk, 0, length);
                write(WriteFileRequest.newBuilder().setData(bytes).build());
            }
        }

        /** At least a byte and then what does not have to be waited for: a slow sender is seen to go on. */
        private static int readWhatIsThere(InputStream data, byte[] chunk) throws IOException {
            int length = data.read(chunk);
            while (length > 0 && length < chunk.length && data.available() > 0) {
                int more = data.read(chunk, length, chunk.length - length);
                if (more < 0) {
                    break;
                }
                length += more;
            }
            return length;
        }

        /** Returns when the file is in place. */
        void commit() {
            write(WriteFileRequest.newBuilder()
                    .setCommit(Empty.getDefaultInstance())
                    .build());
            call.halfClose();
            Empty answer = step(sandbox, () -> call.read(STALL_SECONDS, TimeUnit.SECONDS));
            if (answer == null) {
                throw new PlatformException(ErrorCode.AGENT_ERROR, "The sandbox's host did not confirm the file.");
            }
            done = true;
        }

        private void write(WriteFileRequest message) {
            boolean taken = step(sandbox, () -> call.write(message, STALL_SECONDS, TimeUnit.SECONDS));
            if (!taken) {
                step(sandbox, () -> call.read(STALL_SECONDS, TimeUnit.SECONDS)); // throws what the agent has against it
                throw new PlatformException(ErrorCode.AGENT_ERROR, "The sandbox's host stopped taking the file.");
            }
        }

        @Override
        public void close() {
            if (!done) {
                call.cancel("the upload did not come to its end", null);
            }
        }
    }

    // ---- reading

    /** A file on its way out, its information read already. */
    static final class Download implements AutoCloseable {
        private final Sandboxes.Running sandbox;
        private final BlockingClientCall<?, ReadFileResponse> call;
        private final FileInfo info;
        private ByteString ahead = ByteString.EMPTY;

        /** {@code length} 0: to the end. */
        Download(Sandboxes.Running sandbox, String path, long offset, long length) {
            this.sandbox = sandbox;
            ReadFileRequest request = ReadFileRequest.newBuilder()
                    .setSandboxId(sandbox.id().value())
                    .setPath(path)
                    .setOffset(offset)
                    .setLength(length)
                    .build();
            call = sandbox.open(agent -> agent.streamReadFile(request));
            ReadFileResponse first = next();
            if (first == null || !first.hasInfo()) {
                close();
                throw new PlatformException(ErrorCode.AGENT_ERROR, "The sandbox's host did not describe the file.");
            }
            info = first.getInfo();
        }

        FileInfo info() {
            return info;
        }

        /** Of a file that says it has no bytes: whether it has some all the same, as those in /proc do. */
        boolean hasContent() {
            while (ahead.isEmpty()) {
                ReadFileResponse response = next();
                if (response == null) {
                    return false;
                }
                ahead = response.getData();
            }
            return true;
        }

        /** Exactly {@code expected} bytes, or an IOException: a file that got shorter must not look whole. */
        void transfer(OutputStream out, long expected) throws IOException {
            long left = expected;
            while (left > 0) {
                ReadFileResponse response = next();
                if (response == null) {
                    throw new EOFException("the file ended " + left + " bytes early");
                }
                byte[] data = response.getData().toByteArray();
                int length = (int) Math.min(left, data.length);
                out.write(data, 0, length);
                left -= length;
            }
        }

        /** To the end of a file that does not know its size. */
        void transferAll(OutputStream out) throws IOException {
            ahead.writeTo(out);
            for (ReadFileResponse response = next(); response != null; response = next()) {
                response.getData().writeTo(out);
            }
        }

        private @Nullable ReadFileResponse next() {
            return step(sandbox, () -> call.read(STALL_SECONDS, TimeUnit.SECONDS));
        }

        @Override
        public void close() {
            call.cancel("read as far as wanted", null);
        }
    }

    @FunctionalInterface
    private interface Step<T extends @Nullable Object> {
        T take() throws StatusException, InterruptedException, TimeoutException;
    }

    private static <T extends @Nullable Object> T step(Sandboxes.Running sandbox, Step<T> step) {
        try {
            return step.take();
        } catch (StatusException e) {
            throw sandbox.failed(AgentFailure.of(e));
        } catch (TimeoutException e) {
            throw new PlatformException(
                    ErrorCode.AGENT_ERROR, "The sandbox made no progress for " + STALL_SECONDS + " s.", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "The server is stopping.", e);
        }
    }
}
