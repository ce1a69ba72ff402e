package dev.sandglass.host.guest;

import com.google.protobuf.ByteString;
import dev.sandglass.contract.guest.v1.ExecExited;
import dev.sandglass.contract.guest.v1.Stream;
import dev.sandglass.host.linux.Deadline;
import java.util.Optional;

/**
 * One command in a guest, read by us. One thread calls {@code next}; the other methods may be called from any thread,
 * also meanwhile, and do nothing once the command has ended. A lost connection is a
 * {@link dev.sandglass.contract.PlatformException} and leaves the command running: attach again after the last sequence
 * number.
 */
public interface ExecStream extends AutoCloseable {
    /** What happens to the command. */
    sealed interface Event {
        /**
         * A chunk of output.
         *
         * @param seq bytes of output of this command so far, all streams together, this chunk included. A chunk that
         *     begins after the last one's {@code seq} tells that output in between is no longer kept.
         */
        record Output(Stream stream, long seq, ByteString data) implements Event {}

        /** The end, after all output. Nothing follows. */
        record Exited(ExecExited status) implements Event {}

        /** Somebody else attached to the command and reads it from now on. Nothing follows. */
        record TakenOver() implements Event {}
    }

    String execId();

    int pid();

    /** Waits without limit. Asking for an event says that the one before has been dealt with. */
    Event next();

    /** Like {@link #next()}; empty when nothing came in time. */
    Optional<Event> next(Deadline deadline);

    /** Waits while the command has more than 256 KiB of input to read. */
    void stdin(byte[] data);

    /** End of input; ^D on a terminal. */
    void closeStdin();

    void resize(int cols, int rows);

    /** To the command's process group. */
    void signal(int number);

    /** Detaches: the command goes on. Idempotent; wakes {@code next} and {@code stdin}. */
    @Override
    void close();
}
