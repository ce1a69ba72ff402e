package dev.sandglass.host.guest;

import com.google.protobuf.UnsafeByteOperations;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.guest.v1.Data;
import dev.sandglass.contract.guest.v1.Reply;
import dev.sandglass.contract.guest.v1.Request;
import dev.sandglass.contract.guest.v1.WriteFile;
import dev.sandglass.host.linux.Deadline;
import java.io.IOException;
import java.io.InputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** One file on its way to a guest, in constant memory. */
final class Upload {
    static final int CHUNK_BYTES = 65536;

    /** Sent at once, as far as they are there: large packets are what a guest takes best. */
    private static final int CHUNKS_MAX = 4;

    /** From the last byte to the answer: the guest makes the file durable. */
    private static final Duration DURABLE = Duration.ofMinutes(5);

    private final GuestConnection connection;

    Upload(GuestConnection connection) {
        this.connection = connection;
    }

    /** The guest's reply. It may come early, when the guest refuses the file: the rest is not sent then. */
    Reply send(WriteFile request, InputStream data) throws IOException {
        connection.send(Request.newBuilder().setWriteFile(request).build());
        byte[] buffer = new byte[CHUNKS_MAX * CHUNK_BYTES];
        boolean last = false;
        while (!last && !connection.hasNews()) {
            List<Request> chunks = new ArrayList<>(CHUNKS_MAX);
            do {
                int at = chunks.size() * CHUNK_BYTES;
                int n = read(data, buffer, at);
                last = n < 0;
                chunks.add(chunk(buffer, at, Math.max(0, n), last));
            } while (!last && chunks.size() < CHUNKS_MAX && hasMore(data));
            connection.send(chunks.toArray(Request[]::new));
        }
        Reply reply = connection.receive(Deadline.after(DURABLE));
        if (!last) {
            // What the guest has not been sent it would wait for.
            connection.close();
        }
        return reply;
    }

    private static Request chunk(byte[] buffer, int at, int length, boolean last) {
        return Request.newBuilder()
                .setData(Data.newBuilder()
                        .setData(UnsafeByteOperations.unsafeWrap(buffer, at, length))
                        .setLast(last))
                .build();
    }

    /** A caller whose data cannot be read is not to be mistaken for a guest that cannot be reached. */
    private static int read(InputStream data, byte[] buffer, int at) {
        try {
            return data.read(buffer, at, CHUNK_BYTES);
        } catch (IOException failure) {
            throw broken(failure);
        }
    }

    private static boolean hasMore(InputStream data) {
        try {
            return data.available() > 0;
        } catch (IOException failure) {
            throw broken(failure);
        }
    }

    private static PlatformException broken(IOException failure) {
        return new PlatformException(
                ErrorCode.INVALID_REQUEST, "The upload ended before the whole file had come.", failure);
    }
}
