package dev.sandglass.host.guest;

import com.google.protobuf.UnsafeByteOperations;
import dev.sandglass.contract.guest.v1.Acknowledge;
import dev.sandglass.contract.guest.v1.CloseStdin;
import dev.sandglass.contract.guest.v1.Data;
import dev.sandglass.contract.guest.v1.ExecStarted;
import dev.sandglass.contract.guest.v1.Output;
import dev.sandglass.contract.guest.v1.Reply;
import dev.sandglass.contract.guest.v1.Request;
import dev.sandglass.contract.guest.v1.Resize;
import dev.sandglass.contract.guest.v1.Signal;
import dev.sandglass.host.linux.Deadline;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.util.Optional;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/** Holds its connection until the command has ended or it is closed. */
final class GuestExecStream implements ExecStream {
    /** What guest.proto allows to be sent beyond what the guest has reported as written. */
    private static final int STDIN_WINDOW_BYTES = 256 << 10;

    private static final int STDIN_CHUNK_BYTES = 32 << 10;

    /** A quarter of what the guest lets be unacknowledged. */
    private static final int ACKNOWLEDGE_BYTES = 256 << 10;

    private final ConnectionPool pool;
    private final GuestConnection connection;
    private final String execId;
    private final int pid;

    // Used by the reading thread alone.
    private long lastSeq;
    private long acknowledged = -1;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition stdinMayGoOn = lock.newCondition();
    private long stdinSent;
    private long stdinWritten;
    private volatile boolean over;

    GuestExecStream(ConnectionPool pool, GuestConnection connection, ExecStarted started) {
        this.pool = pool;
        this.connection = connection;
        this.execId = started.getExecId();
        this.pid = started.getPid();
    }

    @Override
    public String execId() {
        return execId;
    }

    @Override
    public int pid() {
        return pid;
    }

    @Override
    public Event next() {
        try {
            acknowledge();
            for (; ; ) {
                Optional<Event> event = eventOf(connection.receive());
                if (event.isPresent()) {
                    return event.get();
                }
            }
        } catch (IOException failure) {
            close();
            throw pool.failureOf(failure);
        }
    }

    @Override
    public Optional<Event> next(Deadline deadline) {
        try {
            acknowledge();
            for (; ; ) {
                Optional<Event> event = eventOf(connection.receive(deadline));
                if (event.isPresent()) {
                    return event;
                }
            }
        } catch (SocketTimeoutException nothing) {
            return Optional.empty();
        } catch (IOException failure) {
            close();
            throw pool.failureOf(failure);
        }
    }

    /** Empty for what only the writing side wants to know. */
    private Optional<Event> eventOf(Reply reply) {
        return switch (reply.getKindCase()) {
            case OUTPUT -> Optional.of(output(reply.getOutput()));
            case STDIN_WRITTEN -> {
                stdinWritten(reply.getStdinWritten().getTotal());
                yield Optional.empty();
            }
            case EXEC_EXITED -> {
                end(true);
                yield Optional.of(new Event.Exited(reply.getExecExited()));
            }
            case DONE -> {
                end(true);
                yield Optional.of(new Event.TakenOver());
            }
            default -> {
                close();
                throw GuestFailures.unexpected(reply);
            }
        };
    }

    private Event output(Output output) {
        if (acknowledged < 0) {
            acknowledged = output.getSeq() - output.getData().size();
        }
        lastSeq = output.getSeq();
        return new Event.Output(output.getStream(), output.getSeq(), output.getData());
    }

    private void acknowledge() throws IOException {
        if (over) {
            throw new IOException("the command has ended, or its stream is closed");
        }
        if (acknowledged < 0 || lastSeq - acknowledged < ACKNOWLEDGE_BYTES) {
            return;
        }
        acknowledged = lastSeq;
        connection.send(Request.newBuilder()
                .setAcknowledge(Acknowledge.newBuilder().setSeq(lastSeq))
                .build());
    }

    // ---- Towards the command

    @Override
    public void stdin(byte[] data) {
        for (int at = 0; at < data.length; ) {
            int n = Math.min(STDIN_CHUNK_BYTES, data.length - at);
            if (!awaitStdinRoom(n)) {
                return;
            }
            Data chunk = Data.newBuilder()
                    .setData(UnsafeByteOperations.unsafeWrap(data, at, n))
                    .build();
            send(Request.newBuilder().setStdin(chunk).build());
            at += n;
        }
    }

    /** False when there is nobody any more who would read it. */
    private boolean awaitStdinRoom(int size) {
        lock.lock();
        try {
            while (!over && stdinSent + size - stdinWritten > STDIN_WINDOW_BYTES) {
                stdinMayGoOn.await();
            }
            stdinSent += size;
            return !over;
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            return false;
        } finally {
            lock.unlock();
        }
    }

    private void stdinWritten(long total) {
        lock.lock();
        try {
            stdinWritten = total;
            stdinMayGoOn.signalAll();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void closeStdin() {
        send(Request.newBuilder().setCloseStdin(CloseStdin.getDefaultInstance()).build());
    }

    @Override
    public void resize(int cols, int rows) {
        send(Request.newBuilder()
                .setResize(Resize.newBuilder().setCols(cols).setRows(rows))
                .build());
    }

    @Override
    public void signal(int number) {
        send(Request.newBuilder()
                .setSignal(Signal.newBuilder().setNumber(number))
                .build());
    }

    /** Under the lock, so that nothing of ours is sent on a connection that another operation has by then. */
    private void send(Request request) {
        lock.lock();
        try {
            if (!over) {
                connection.send(request);
            }
        } catch (IOException broken) {
            // The reading side learns of it, and what it was.
        } finally {
            lock.unlock();
        }
    }

    private void end(boolean inOrder) {
        boolean first;
        lock.lock();
        try {
            first = !over;
            over = true;
            stdinMayGoOn.signalAll();
        } finally {
            lock.unlock();
        }
        if (first && inOrder) {
            pool.release(connection);
        } else if (first) {
            pool.discard(connection);
        }
    }

    /** Closing the connection is the cheapest way to detach; it also wakes whoever is stuck in sending. */
    @Override
    public void close() {
        if (!over) {
            connection.close();
        }
        end(false);
    }
}
