package dev.sandglass.control.host;

import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.host.v1.HandshakeResponse;
import io.grpc.Channel;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Keeps the row of an agent fresh that does not register by itself: the one in this process, or at a given address. */
public final class HostMonitor implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(HostMonitor.class);
    static final Duration HEARTBEAT = Duration.ofSeconds(3);

    /** A host not heard of for so long is not given new sandboxes. */
    public static final Duration PATIENCE = Duration.ofSeconds(15);

    private static final Duration FIRST_HANDSHAKE_LIMIT = Duration.ofSeconds(30);

    private final HostDirectory directory;
    private final HostStore store;
    private final ScheduledExecutorService beat = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("host-monitor").factory());

    public HostMonitor(HostDirectory directory, HostStore store) {
        this.directory = directory;
        this.store = store;
    }

    /** The agent in this process; returns when it has answered once. */
    public void embedded(String hostId, Channel channel) {
        HostConnection connection = directory.embed(hostId, channel);
        long deadline = System.nanoTime() + FIRST_HANDSHAKE_LIMIT.toNanos();
        while (true) {
            try {
                greet(connection, hostId);
                break;
            } catch (PlatformException e) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("The host agent in this process does not answer.", e);
                }
            }
            try {
                Thread.sleep(50);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("interrupted", e);
            }
        }
        repeat("the agent in this process", () -> greet(connection, hostId));
    }

    private void greet(HostConnection connection, String hostId) {
        HandshakeResponse answer = directory.handshake(connection);
        store.heartbeat(hostId, Optional.empty(), answer.getVersion(), answer.getCapacity());
    }

    /** An agent at an address of its own; it need not be there yet. */
    public void at(InetSocketAddress address) {
        String target = address.getHostString() + ":" + address.getPort();
        repeat("the agent at " + target, () -> {
            HandshakeResponse answer = directory.ask(target);
            store.heartbeat(answer.getHostId(), Optional.of(target), answer.getVersion(), answer.getCapacity());
            directory.heardOf(answer.getHostId());
        });
    }

    private void repeat(String what, Runnable greeting) {
        Runnable logged = new Runnable() {
            private boolean answered = true;

            @Override
            public void run() {
                try {
                    greeting.run();
                    if (!answered) {
                        log.atInfo().addKeyValue("host", what).log("the host agent answers again");
                    }
                    answered = true;
                } catch (RuntimeException e) {
                    if (answered) {
                        log.atWarn().addKeyValue("host", what).setCause(e).log("the host agent does not answer");
                    }
                    answered = false;
                }
            }
        };
        var _ = beat.scheduleWithFixedDelay(logged, 0, HEARTBEAT.toMillis(), TimeUnit.MILLISECONDS);
    }

    @Override
    public void close() {
        beat.shutdownNow();
        try {
            beat.awaitTermination(10, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
