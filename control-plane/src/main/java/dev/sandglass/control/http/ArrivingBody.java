package dev.sandglass.control.http;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import java.io.IOException;
import java.io.InputStream;
import java.time.Duration;

/**
 * A request's body of bounded length that must come at some pace: who sends a byte now and then holds a connection and a
 * place among the requests. Only the time spent waiting for the caller counts. Used by one thread.
 */
final class ArrivingBody extends InputStream {
    private static final long SECOND_NANOS = Duration.ofSeconds(1).toNanos();

    private final InputStream in;
    private final long patienceNanos;
    private final int bytesPerSecondMin;
    private final long bytesMax;
    private long waitedNanos;
    private long bytes;

    /** @param bytesPerSecondMin beyond the patience; 0: the patience is all there is */
    ArrivingBody(InputStream in, Duration patience, int bytesPerSecondMin, long bytesMax) {
        this.in = in;
        this.patienceNanos = patience.toNanos();
        this.bytesPerSecondMin = bytesPerSecondMin;
        this.bytesMax = bytesMax;
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
    }

    @Override
    public int read(byte[] target, int offset, int length) throws IOException {
        long began = System.nanoTime();
        int read = in.read(target, offset, length);
        waitedNanos += System.nanoTime() - began;
        bytes += Math.max(0, read);
        if (read >= 0 && isLate()) {
            throw new PlatformException(ErrorCode.INVALID_REQUEST, "The request's body did not arrive in time.");
        }
        if (bytes > bytesMax) {
            throw Json.tooLarge(bytesMax);
        }
        return read;
    }

    /** Nothing more is expected of this caller. */
    boolean isLate() {
        return waitedNanos > allowedNanos();
    }

    private long allowedNanos() {
        return bytesPerSecondMin == 0 ? patienceNanos : patienceNanos + bytes * SECOND_NANOS / bytesPerSecondMin;
    }
}
