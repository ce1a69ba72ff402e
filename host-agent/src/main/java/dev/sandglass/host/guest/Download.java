package dev.sandglass.host.guest;

import dev.sandglass.contract.guest.v1.Reply;
import dev.sandglass.host.linux.Deadline;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.time.Duration;

/** The content of a file, as the guest sends it. */
final class Download extends InputStream {
    /** Between two chunks. */
    private static final Duration STALL = Duration.ofMinutes(10);

    private final ConnectionPool pool;
    private final GuestConnection connection;
    private ByteBuffer chunk = ByteBuffer.allocate(0);
    private boolean last;
    private boolean closed;

    Download(ConnectionPool pool, GuestConnection connection) {
        this.pool = pool;
        this.connection = connection;
    }

    @Override
    public int read() {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] to, int offset, int length) {
        if (length == 0) {
            return 0;
        }
        while (!chunk.hasRemaining()) {
            if (last) {
                return -1;
            }
            nextChunk();
        }
        int n = Math.min(length, chunk.remaining());
        chunk.get(to, offset, n);
        return n;
    }

    private void nextChunk() {
        try {
            Reply reply = connection.receive(Deadline.after(STALL));
            if (reply.getKindCase() != Reply.KindCase.DATA) {
                throw GuestFailures.unexpected(reply);
            }
            chunk = reply.getData().getData().asReadOnlyByteBuffer();
            last = reply.getData().getLast();
        } catch (IOException failure) {
            close();
            throw pool.failureOf(failure);
        } catch (RuntimeException failure) {
            close();
            throw failure;
        }
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        if (last) {
            pool.release(connection);
        } else {
            pool.discard(connection);
        }
    }
}
