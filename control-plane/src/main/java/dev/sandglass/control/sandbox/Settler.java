package dev.sandglass.control.sandbox;

import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.host.v1.Empty;
import dev.sandglass.contract.host.v1.ListSandboxesResponse;
import dev.sandglass.contract.host.v1.SandboxInfo;
import dev.sandglass.control.host.Host;
import dev.sandglass.control.host.HostDirectory;
import dev.sandglass.control.host.HostStore;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Every few seconds, in one control plane at a time, compares the rows of each host with what the host says it has:
 * finishes deletions, settles what is past its deadline, and marks as stopped what runs no longer. It destroys nothing
 * that the database does not say is to be deleted, and changes nothing for a host that does not answer.
 */
final class Settler implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Settler.class);
    private static final Duration PERIOD = Duration.ofSeconds(5);
    private static final Duration LIST_LIMIT = Duration.ofSeconds(10);
    private static final long LOCK = 0x73616e64676c6173L; // "sandglas"

    private final SandboxStore store;
    private final HostStore hostStore;
    private final HostDirectory hosts;
    private final Sandboxes sandboxes;
    private final Map<String, Long> absentOnce = new HashMap<>(); // id → version it had then; settler's thread only
    private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("settler").factory());

    Settler(SandboxStore store, HostStore hostStore, HostDirectory hosts, Sandboxes sandboxes) {
        this.store = store;
        this.hostStore = hostStore;
        this.hosts = hosts;
        this.sandboxes = sandboxes;
    }

    void start() {
        var _ = thread.scheduleWithFixedDelay(this::pass, PERIOD.toMillis(), PERIOD.toMillis(), TimeUnit.MILLISECONDS);
    }

    /** One comparison, on the settler's thread; returns when it is over. */
    void passNow() throws Exception {
        thread.submit(this::pass).get(1, TimeUnit.MINUTES);
    }

    private void pass() {
        try {
            store.asLeader(LOCK, () -> {
                Set<String> overdue = store.overdue();
                hostStore.all().forEach(host -> settle(host, overdue));
                store.tidy();
            });
        } catch (RuntimeException e) {
            log.warn("sandboxes were not settled this time", e);
        }
    }

    private void settle(Host host, Set<String> overdue) {
        List<Sandbox> rows = store.ofHost(host.id());
        if (rows.isEmpty()) {
            return;
        }
        ListSandboxesResponse answer;
        try {
            answer =
                    hosts.require(host.id()).call(LIST_LIMIT, agent -> agent.listSandboxes(Empty.getDefaultInstance()));
        } catch (PlatformException e) {
            log.atDebug().addKeyValue("host", host.id()).setCause(e).log("a host does not answer, nothing is settled");
            return;
        }
        Map<String, SandboxInfo> present = answer.getSandboxesList().stream()
                .collect(Collectors.toMap(SandboxInfo::getSandboxId, Function.identity(), (first, second) -> first));
        Set<String> absentNow = new HashSet<>();
        for (Sandbox row : rows) {
            try {
                settle(
                        row,
                        present.get(row.id().value()),
                        overdue.contains(row.id().value()),
                        absentNow);
            } catch (RuntimeException e) {
                log.atWarn().addKeyValue("sandbox", row.id()).setCause(e).log("a sandbox was not settled");
            }
        }
        rows.stream()
                .map(row -> row.id().value())
                .filter(id -> !absentNow.contains(id))
                .forEach(absentOnce::remove);
    }

    private void settle(Sandbox row, @Nullable SandboxInfo info, boolean overdue, Set<String> absentNow) {
        switch (row.status()) {
            case PENDING, PAUSING, RESUMING -> {
                if (overdue) {
                    settleOverdue(row, info);
                }
            }
            case RUNNING -> settleRunning(row, info, absentNow);
            case PAUSED, STOPPED, ERROR -> {}
        }
        boolean inTransition = row.status() == SandboxStatus.PENDING
                || row.status() == SandboxStatus.PAUSING
                || row.status() == SandboxStatus.RESUMING;
        if (row.deletionRequested() && !inTransition) {
            sandboxes.destroy(row);
        }
    }

    private void settleOverdue(Sandbox row, @Nullable SandboxInfo info) {
        if (info == null) {
            changed(row, "error", store.ended(row, SandboxStatus.ERROR, "It was interrupted before it came up."));
            return;
        }
        switch (info.getStatus()) {
            case RUNNING ->
                changed(row, "running", store.started(row, info.getHostIp()).isPresent());
            case STOPPED, ERROR -> changed(row, "error", store.ended(row, SandboxStatus.ERROR, reason(info)));
            default -> {} // still at it
        }
    }

    private void settleRunning(Sandbox row, @Nullable SandboxInfo info, Set<String> absentNow) {
        if (info == null) {
            Long before = absentOnce.get(row.id().value());
            if (before != null && before == row.version()) {
                changed(row, "stopped", store.ended(row, SandboxStatus.STOPPED, "Its host does not have it any more."));
            } else {
                absentOnce.put(row.id().value(), row.version());
                absentNow.add(row.id().value());
            }
            return;
        }
        switch (info.getStatus()) {
            case STOPPED -> changed(row, "stopped", store.ended(row, SandboxStatus.STOPPED, reason(info)));
            case ERROR -> changed(row, "error", store.ended(row, SandboxStatus.ERROR, reason(info)));
            default -> {}
        }
    }

    private static String reason(SandboxInfo info) {
        String error = info.getError().strip();
        return error.isEmpty() ? "Its machine ended." : error.substring(0, Math.min(error.length(), 1000));
    }

    private static void changed(Sandbox row, String to, boolean done) {
        if (done) {
            log.atInfo()
                    .addKeyValue("sandbox", row.id())
                    .addKeyValue("host", row.hostId())
                    .addKeyValue("from", row.status().wireName())
                    .addKeyValue("to", to)
                    .log("sandbox settled");
        }
    }

    @Override
    public void close() {
        thread.shutdownNow();
        try {
            thread.awaitTermination(15, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
