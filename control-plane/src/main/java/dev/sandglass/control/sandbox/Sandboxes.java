package dev.sandglass.control.sandbox;

import static dev.sandglass.control.http.Texts.invalid;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.host.v1.CreateSandboxRequest;
import dev.sandglass.contract.host.v1.CreateSandboxResponse;
import dev.sandglass.contract.host.v1.SandboxRequest;
import dev.sandglass.control.host.Host;
import dev.sandglass.control.host.HostConnection;
import dev.sandglass.control.host.HostDirectory;
import dev.sandglass.control.host.HostMonitor;
import dev.sandglass.control.host.HostStore;
import dev.sandglass.control.host.Placement;
import dev.sandglass.control.sandbox.SandboxStore.Earlier;
import dev.sandglass.control.sandbox.SandboxStore.Insertion;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What can be done with sandboxes. Thread-safe; blocks until it is done. */
public final class Sandboxes {
    private static final Logger log = LoggerFactory.getLogger(Sandboxes.class);

    /** The first sandbox of a shape waits for its template to be booted and frozen. */
    static final Duration CREATE_LIMIT = Duration.ofMinutes(3);

    static final Duration DESTROY_LIMIT = Duration.ofSeconds(30);
    private static final Duration SETTLED_LIMIT = Duration.ofSeconds(15);
    private static final Duration PING_LIMIT = Duration.ofSeconds(10);
    private static final Duration SLACK = Duration.ofSeconds(10); // for the database, beside the agent's time
    private static final Duration POLL = Duration.ofMillis(50);

    /** A sandbox that can be worked with now. */
    public record Running(SandboxId id, HostConnection host) {}

    private final SandboxStore store;
    private final HostDirectory hosts;
    private final HostStore hostStore;
    private final Placement placement;
    private final TeamQuota quota;
    private final Lifecycle lifecycle;
    private final Activity activity;

    Sandboxes(
            SandboxStore store,
            HostDirectory hosts,
            HostStore hostStore,
            Placement placement,
            TeamQuota quota,
            Lifecycle lifecycle,
            Activity activity) {
        this.store = store;
        this.hosts = hosts;
        this.hostStore = hostStore;
        this.placement = placement;
        this.quota = quota;
        this.lifecycle = lifecycle;
        this.activity = activity;
    }

    /** Another team's is as unknown as one that never was. */
    public Sandbox require(TeamId team, String id) {
        return idOf(id).flatMap(valid -> store.find(team, valid)).orElseThrow(Sandboxes::unknown);
    }

    /** A sandbox that runs, with the connection to its host; using it counts as activity. */
    public Running requireRunning(TeamId team, String id) {
        Sandbox sandbox = require(team, id);
        if (sandbox.shownStatus() != SandboxStatus.RUNNING) {
            throw new PlatformException(
                    ErrorCode.INVALID_STATE,
                    "The sandbox is " + sandbox.shownStatus().wireName() + "; this needs a running one.");
        }
        used(sandbox.id());
        return new Running(sandbox.id(), hosts.require(sandbox.hostId()));
    }

    /** Work in it has begun, goes on or has ended. */
    public void used(SandboxId id) {
        activity.of(id);
    }

    private static Optional<SandboxId> idOf(String text) {
        return Ids.isValid(SandboxId.PREFIX, text) ? Optional.of(new SandboxId(text)) : Optional.empty();
    }

    private static PlatformException unknown() {
        return new PlatformException(ErrorCode.NOT_FOUND, "There is no such sandbox.");
    }

    // ---- create

    /** The answer to the request; with a key that has been used, the answer given then. */
    Answer create(TeamId team, SandboxSpec spec, Optional<Idempotency> idempotency) {
        Optional<Earlier> earlier = idempotency.flatMap(used -> store.findEarlier(team, used.key()));
        if (earlier.isPresent()) {
            return repeat(team, idempotency.orElseThrow());
        }
        Host host = place(spec);
        Insertion insertion = store.insert(team, host.id(), spec, idempotency, quota, CREATE_LIMIT.plus(SLACK));
        return switch (insertion) {
            case Insertion.OverQuota over -> throw new PlatformException(ErrorCode.QUOTA_EXCEEDED, over.limit());
            case Insertion.Repeated repeated -> repeat(team, idempotency.orElseThrow());
            case Insertion.Inserted inserted -> {
                Sandbox pending = inserted.sandbox();
                yield lifecycle.run(
                        "create",
                        pending.id().value(),
                        CREATE_LIMIT.plus(DESTROY_LIMIT).plus(SLACK),
                        () -> launch(pending, spec, idempotency.isPresent()));
            }
        };
    }

    private Host place(SandboxSpec spec) {
        List<Host> alive = hostStore.alive(HostMonitor.PATIENCE);
        if (alive.isEmpty()) {
            throw new PlatformException(
                    ErrorCode.HOST_UNAVAILABLE, "No host is connected: start a host agent, or try again shortly.");
        }
        requireWithin("vcpus", spec.vcpus(), 1, Placement.vcpusMax(alive));
        requireWithin("memory_mb", spec.memoryMb(), SandboxSpec.MEMORY_MB_STEP, Placement.memoryMbMax(alive));
        return placement
                .choose(alive, spec.vcpus(), spec.memoryMb())
                .orElseThrow(() -> new PlatformException(
                        ErrorCode.NO_CAPACITY,
                        "No host has " + spec.memoryMb() + " MiB of memory left for a sandbox: delete some, ask for"
                                + " less memory_mb, or add a host."));
    }

    private static void requireWithin(String field, int value, int min, int max) {
        if (value > max) {
            throw invalid("The field '" + field + "' must be from " + min + " to " + max + " on these hosts.");
        }
    }

    private Answer launch(Sandbox pending, SandboxSpec spec, boolean remember) {
        Answer answer;
        try {
            answer = Answer.created(start(pending, spec));
        } catch (PlatformException e) {
            if (isRefusal(e)) {
                store.withdraw(pending.id());
                throw e;
            }
            abandon(pending, e);
            answer = Answer.failed(e);
        }
        if (remember) {
            store.answered(pending.id(), answer);
        }
        return answer;
    }

    private Sandbox start(Sandbox pending, SandboxSpec spec) {
        CreateSandboxResponse made = hosts.require(pending.hostId())
                .call(
                        CREATE_LIMIT,
                        agent -> agent.createSandbox(CreateSandboxRequest.newBuilder()
                                .setSandboxId(pending.id().value())
                                .setTemplateId(spec.template())
                                .setVcpus(spec.vcpus())
                                .setMemoryMb(spec.memoryMb())
                                .setTimeoutSec(spec.timeoutSec())
                                .putAllEnv(spec.env())
                                .build()));
        return store.started(pending, made.getHostIp())
                .or(() -> store.find(pending.team(), pending.id()).filter(Sandboxes::runs)) // the settler was quicker
                .orElseThrow(() -> new PlatformException(
                        ErrorCode.CONFLICT, "The sandbox was ended by somebody else while it was being made."));
    }

    private static boolean runs(Sandbox sandbox) {
        return sandbox.status() == SandboxStatus.RUNNING;
    }

    /** The agent has looked at it and said no: nothing has come of it. */
    private static boolean isRefusal(PlatformException failure) {
        return switch (failure.code()) {
            case INVALID_REQUEST, NOT_FOUND, QUOTA_EXCEEDED, NO_CAPACITY, DISK_FULL, INCOMPATIBLE_SNAPSHOT -> true;
            default -> false;
        };
    }

    /** Whatever may have come of it must go, now or by the settler. */
    private void abandon(Sandbox pending, PlatformException why) {
        log.atWarn().addKeyValue("sandbox", pending.id()).setCause(why).log("a sandbox did not come up");
        store.ended(pending, SandboxStatus.ERROR, why.reason());
        store.requestDeletion(pending.team(), pending.id());
        destroy(pending);
    }

    /** Waits for the first request with this key to be answered, and answers the same. */
    private Answer repeat(TeamId team, Idempotency idempotency) {
        long deadline = System.nanoTime() + CREATE_LIMIT.plus(SLACK).toNanos();
        while (true) {
            Optional<Earlier> earlier = store.findEarlier(team, idempotency.key());
            if (earlier.isPresent() && !earlier.get().requestHash().equals(idempotency.requestHash())) {
                throw new PlatformException(
                        ErrorCode.CONFLICT, "This Idempotency-Key was used with another request: choose a new one.");
            }
            Optional<Answer> answer = earlier.flatMap(Earlier::answer);
            if (answer.isPresent()) {
                return answer.get();
            }
            if (earlier.isEmpty() || System.nanoTime() > deadline) {
                throw new PlatformException(
                        ErrorCode.CONFLICT,
                        "The first request with this Idempotency-Key was refused or interrupted: send it again.");
            }
            pause();
        }
    }

    // ---- ping, delete

    void ping(TeamId team, String id) {
        Running running = requireRunning(team, id);
        SandboxRequest request =
                SandboxRequest.newBuilder().setSandboxId(running.id().value()).build();
        running.host().call(PING_LIMIT, agent -> agent.pingSandbox(request));
        store.touched(Set.of(running.id()));
    }

    /** Afterwards its resources are gone, or its row says that they are to go. */
    void delete(TeamId team, String id) {
        SandboxId valid = idOf(id).orElseThrow(Sandboxes::unknown);
        Optional<Sandbox> row = store.requestDeletion(team, valid);
        if (row.isEmpty()) {
            if (store.wasDeleted(team, valid)) {
                return;
            }
            throw unknown();
        }
        lifecycle.run(
                "delete",
                id,
                SETTLED_LIMIT.plus(DESTROY_LIMIT).plus(SLACK),
                () -> awaitSettled(row.get()) && destroy(row.get()));
    }

    /**
     * What is being made is ended when it has been made: an agent told in the other order would keep it. What takes
     * longer than a caller likes to wait is left to the settler.
     */
    private boolean awaitSettled(Sandbox sandbox) {
        long deadline = System.nanoTime() + SETTLED_LIMIT.toNanos();
        while (System.nanoTime() < deadline) {
            Optional<Sandbox> now = store.find(sandbox.team(), sandbox.id());
            if (now.isEmpty()) {
                return false;
            }
            SandboxStatus status = now.get().status();
            if (status != SandboxStatus.PENDING
                    && status != SandboxStatus.PAUSING
                    && status != SandboxStatus.RESUMING) {
                return true;
            }
            pause();
        }
        return false;
    }

    /** Whether its host has confirmed that nothing is left. */
    boolean destroy(Sandbox sandbox) {
        SandboxRequest request =
                SandboxRequest.newBuilder().setSandboxId(sandbox.id().value()).build();
        try {
            hosts.require(sandbox.hostId()).call(DESTROY_LIMIT, agent -> agent.destroySandbox(request));
        } catch (PlatformException e) {
            log.atWarn()
                    .addKeyValue("sandbox", sandbox.id())
                    .addKeyValue("host", sandbox.hostId())
                    .addKeyValue("reason", e.reason())
                    .setCause(e.code() == ErrorCode.HOST_UNAVAILABLE ? null : e)
                    .log("a sandbox could not be destroyed yet");
            return false;
        }
        return store.deleted(sandbox.id());
    }

    private static void pause() {
        try {
            Thread.sleep(POLL);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "The server is stopping.", e);
        }
    }
}
