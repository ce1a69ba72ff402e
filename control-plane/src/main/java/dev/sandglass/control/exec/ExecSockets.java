package dev.sandglass.control.exec;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.PlatformException;
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
    private final Duration pingEvery;
    private final int perTeamMax;
    private final Set<ExecSocket> open = ConcurrentHashMap.newKeySet();
    private final ConcurrentHashMap<TeamId, Integer> counts = new ConcurrentHashMap<>();
    private final ScheduledExecutorService pinger = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("exec-ping").factory());

    /**
     * @param pingEvery three of them without an answer, and a reader is taken for gone
     * @param perTeamMax streams that a team may have open here
     */
    public ExecSockets(Sandboxes sandboxes, Duration pingEvery, int perTeamMax) {
        this.sandboxes = sandboxes;
        this.pingEvery = pingEvery;
        this.perTeamMax = perTeamMax;
    }

    /** Pings from now on. Before, there is nothing to close. */
    public void start() {
        long period = pingEvery.toMillis();
        var _ = pinger.scheduleWithFixedDelay(this::ping, period, period, TimeUnit.MILLISECONDS);
    }

    /** How many are open now. */
    public int count() {
        return open.size();
    }

    /** Throws QUOTA_EXCEEDED when the team has as many as it may have. */
    ExecSocket open(TeamId team, Sandboxes.Running sandbox) {
        if (counts.getOrDefault(team, 0) >= perTeamMax) {
            throw new PlatformException(
                    ErrorCode.QUOTA_EXCEEDED,
                    "The team has " + perTeamMax + " exec streams open, the most it may have: close some.");
        }
        return new ExecSocket(sandbox, socket -> opened(team, socket), (socket, its) -> {
            if (open.remove(socket)) {
                counts.computeIfPresent(team, (id, count) -> count == 1 ? null : count - 1);
                sandboxes.used(its.id());
            }
        });
    }

    /** Only now, when it can no longer fail to open, it counts. */
    private void opened(TeamId team, ExecSocket socket) {
        open.add(socket);
        if (counts.merge(team, 1, Integer::sum) > perTeamMax) {
            socket.refuse("the team has too many exec streams open");
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
