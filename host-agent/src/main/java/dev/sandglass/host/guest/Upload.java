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

/** One file on its way to a guest, in constant memory. */
final class Upload {
    static final int CHUNK_BYTES = 65536;

    /** From the last byte to the answer: the guest makes the file durable. */
    private static final Duration DURABLE = Duration.ofMinutes(5);

    private final GuestConnection connection;

    Upload(GuestConnection connection) {
        this.connection = connection;
    }

    /** The guest's reply. It may come early, when the guest refuses the file: the rest is not sent then. */
    Reply send(WriteFile request, InputStream data) throws IOException {
        connection.send(Request.newBuilder().setWriteFile(request).build());
        byte[] chunk = new byte[CHUNK_BYTES];
        boolean last = false;
        while (!last && !connection.hasNews()) {
            int n = read(data, chunk);
            last = n < 0;
            connection.send(Request.newBuilder()
                    .setData(Data.newBuilder()
                            .setData(UnsafeByteOperations.unsafeWrap(chunk, 0, Math.max(0, n)))
                            .setLast(last))
                    .build());
        }
        Reply reply = connection.receive(Deadline.after(DURABLE));
        if (!last) {
            // What the guest has not been sent it would wait for.
            connection.close();
        }
        return reply;
    }

    /** A caller whose data cannot be read is not to be mistaken for a guest that cannot be reached. */
    private static int read(InputStream data, byte[] chunk) {
        try {
            return data.read(chunk);
        } catch (IOException failure) {
            throw new PlatformException(
                    ErrorCode.INVALID_REQUEST, "The upload ended before the whole file had come.", failure);
        }
    }
}
