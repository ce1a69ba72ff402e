package dev.sandglass.control.exec;

import dev.sandglass.control.sandbox.Sandboxes;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The exec streams that are open: pings them, and leaves them when the server stops; their processes go on. */
public final class ExecSockets implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(ExecSockets.class);

    private final Sandboxes sandboxes;
    private final Set<ExecSocket> open = ConcurrentHashMap.newKeySet();
    private final ScheduledExecutorService pinger = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("exec-ping").factory());

    /** @param pingEvery three of them without an answer, and a reader is taken for gone */
    public ExecSockets(Sandboxes sandboxes, Duration pingEvery) {
        this.sandboxes = sandboxes;
        long period = pingEvery.toMillis();
        var _ = pinger.scheduleWithFixedDelay(this::ping, period, period, TimeUnit.MILLISECONDS);
    }

    /** How many are open now. */
    public int count() {
        return open.size();
    }

    ExecSocket open(Sandboxes.Running sandbox) {
        return new ExecSocket(sandbox, open::add, this::ended);
    }

    private void ended(ExecSocket socket, Sandboxes.Running sandbox) {
        if (open.remove(socket)) {
            sandboxes.used(sandbox.id());
        }
    }

    private void ping() {
        open.forEach(socket -> {
            try {
                sandboxes.used(socket.sandbox());
                socket.ping();
            } catch (RuntimeException e) {
                log.warn("an exec stream could not be pinged", e); // the others are, and this one the next time
            }
        });
    }

    @Override
    public void close() {
        pinger.shutdownNow();
        open.forEach(ExecSocket::leave);
    }
}
