package dev.sandglass.control.exec;

import dev.sandglass.contract.host.v1.OutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Optional;

/**
 * Cuts an exec's output where characters end. What begins a character at the end of a chunk is held back until the next
 * one; each piece carries the sequence number of its own last byte, so that whoever attaches after it gets exactly what
 * has not been sent. Since the number counts the bytes of all streams together, what is held back goes out, as base64,
 * before anything of another stream does. Used by one thread.
 */
final class OutputCutter {
    /** Part of the output; {@code data} is base64 if it is not text. */
    record Piece(OutputStream stream, long seq, String data, boolean base64) {}

    private static final byte[] NOTHING = {};

    private OutputStream heldStream = OutputStream.STDOUT;
    private byte[] held = NOTHING;
    private long heldSeq;

    /** The pieces that can go out when this chunk has come; {@code seq} counts the bytes up to its end. */
    List<Piece> chunk(OutputStream stream, long seq, byte[] data) {
        List<Piece> pieces = new ArrayList<>(2);
        boolean follows = stream == heldStream && seq - data.length == heldSeq;
        if (held.length > 0 && !follows) {
            end().ifPresent(pieces::add);
        }
        byte[] bytes = joined(held, data);
        held = NOTHING;
        int tail = Utf8.unfinishedTail(bytes);
        int whole = bytes.length - tail;
        Optional<String> text = Utf8.decode(bytes, whole);
        if (text.isEmpty()) {
            pieces.add(binary(stream, seq, bytes));
            return pieces;
        }
        if (whole > 0) {
            pieces.add(new Piece(stream, seq - tail, text.get(), false));
        }
        held = Arrays.copyOfRange(bytes, whole, bytes.length);
        heldStream = stream;
        heldSeq = seq;
        return pieces;
    }

    /** What is still held back, when no more comes. */
    Optional<Piece> end() {
        if (held.length == 0) {
            return Optional.empty();
        }
        Piece rest = binary(heldStream, heldSeq, held);
        held = NOTHING;
        return Optional.of(rest);
    }

    private static Piece binary(OutputStream stream, long seq, byte[] bytes) {
        return new Piece(stream, seq, Base64.getEncoder().encodeToString(bytes), true);
    }

    private static byte[] joined(byte[] first, byte[] second) {
        if (first.length == 0) {
            return second;
        }
        byte[] both = Arrays.copyOf(first, first.length + second.length);
        System.arraycopy(second, 0, both, first.length, second.length);
        return both;
    }
}
