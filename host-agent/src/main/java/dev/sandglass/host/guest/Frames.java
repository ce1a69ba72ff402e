package dev.sandglass.host.guest;

import com.google.protobuf.CodedOutputStream;
import dev.sandglass.contract.guest.v1.Reply;
import dev.sandglass.contract.guest.v1.Request;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;

/** Frames of guest.proto: u32 big-endian length, message. */
final class Frames {
    static final int HEADER_BYTES = 4;
    static final int MESSAGE_BYTES_MAX = 131072;

    private Frames() {}

    /** One after the other. */
    static byte[] encode(Request... requests) throws IOException {
        int total = 0;
        for (Request request : requests) {
            int size = request.getSerializedSize();
            if (size > MESSAGE_BYTES_MAX) {
                throw new IllegalArgumentException("a request of " + size + " bytes is too long for one frame");
            }
            total += HEADER_BYTES + size;
        }
        byte[] frames = new byte[total];
        int at = 0;
        for (Request request : requests) {
            at = put(request, frames, at);
        }
        return frames;
    }

    /** Where the next one begins. */
    private static int put(Request request, byte[] frames, int at) throws IOException {
        int size = request.getSerializedSize();
        frames[at] = (byte) (size >>> 24);
        frames[at + 1] = (byte) (size >>> 16);
        frames[at + 2] = (byte) (size >>> 8);
        frames[at + 3] = (byte) size;
        CodedOutputStream output = CodedOutputStream.newInstance(frames, at + HEADER_BYTES, size);
        request.writeTo(output);
        output.checkNoSpaceLeft();
        return at + HEADER_BYTES + size;
    }

    /**
     * Takes replies off a stream. What has come of a frame when a read times out is kept, so that the next attempt goes
     * on from there.
     */
    static final class Reader {
        private static final int FIRST_BYTES = 8192;

        private final InputStream input;
        private byte[] buffer = new byte[FIRST_BYTES];
        private int start;
        private int end;

        Reader(InputStream input) {
            this.input = input;
        }

        boolean isEmpty() {
            return start == end;
        }

        /** Of a connection that may wait long: gives back what large frames needed. */
        void trim() {
            if (isEmpty() && buffer.length > FIRST_BYTES) {
                buffer = new byte[FIRST_BYTES];
                start = 0;
                end = 0;
            }
        }

        Reply next() throws IOException {
            fill(HEADER_BYTES);
            int length = lengthAtStart();
            fill(HEADER_BYTES + length);
            Reply reply = Reply.parser().parseFrom(buffer, start + HEADER_BYTES, length);
            start += HEADER_BYTES + length;
            return reply;
        }

        private int lengthAtStart() throws IOException {
            int length = (buffer[start] & 0xff) << 24
                    | (buffer[start + 1] & 0xff) << 16
                    | (buffer[start + 2] & 0xff) << 8
                    | (buffer[start + 3] & 0xff);
            if (length < 1 || length > MESSAGE_BYTES_MAX) {
                throw new IOException("a frame of " + length + " bytes");
            }
            return length;
        }

        private void fill(int wanted) throws IOException {
            makeRoom(wanted);
            while (end - start < wanted) {
                int n = input.read(buffer, end, buffer.length - end);
                if (n < 0) {
                    throw new EOFException("the guest closed the connection");
                }
                end += n;
            }
        }

        private void makeRoom(int wanted) {
            if (start == end) {
                start = 0;
                end = 0;
            }
            if (buffer.length - start >= wanted) {
                return;
            }
            byte[] target = wanted > buffer.length ? new byte[HEADER_BYTES + MESSAGE_BYTES_MAX] : buffer;
            System.arraycopy(buffer, start, target, 0, end - start);
            buffer = target;
            end -= start;
            start = 0;
        }
    }
}
