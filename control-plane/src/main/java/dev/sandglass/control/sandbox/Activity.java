package dev.sandglass.control.sandbox;

import dev.sandglass.contract.Id.SandboxId;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Writes down which sandboxes have been used, off the request path and many at once. */
final class Activity implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Activity.class);
    private static final Duration WRITTEN_EVERY = Duration.ofSeconds(1);

    private final PostgresSandboxStore store;
    private final Set<SandboxId> used = ConcurrentHashMap.newKeySet();
    private final ScheduledExecutorService writer = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("sandbox-activity").factory());

    Activity(PostgresSandboxStore store) {
        this.store = store;
        long period = WRITTEN_EVERY.toMillis();
        var _ = writer.scheduleWithFixedDelay(this::write, period, period, TimeUnit.MILLISECONDS);
    }

    void of(SandboxId id) {
        used.add(id);
    }

    private void write() {
        Set<SandboxId> batch = Set.copyOf(used);
        if (batch.isEmpty()) {
            return;
        }
        used.removeAll(batch);
        try {
            store.touched(batch);
        } catch (RuntimeException e) {
            log.warn("the activity of sandboxes was not written down", e);
        }
    }

    @Override
    public void close() {
        writer.shutdownNow();
    }
}
