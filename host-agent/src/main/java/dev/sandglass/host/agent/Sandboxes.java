package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.Scope;
import dev.sandglass.host.image.Shape;
import dev.sandglass.host.lifecycle.Machine;
import dev.sandglass.host.lifecycle.SandboxState;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.process.ExitStatus;
import dev.sandglass.host.vmm.VirtualMachine;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * All sandboxes of this host and what can be done with them, one operation at a time for each. Blocking; called from
 * virtual threads. What a caller started is finished whether or not the caller waits.
 */
final class Sandboxes implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Sandboxes.class);
    /** A create on a host that is busy with others: the wait for a turn, and everything after it. */
    private static final Duration CREATE_TIMEOUT = Duration.ofSeconds(60);

    private static final int PARALLEL = 8;
    private static final Duration DESTROY_TIMEOUT = Duration.ofSeconds(30);
    /** How long the exit status of a dead process may take to be read from its file. */
    private static final Duration EXIT_NEWS = Duration.ofSeconds(5);

    private static final Duration WAKE_TIMEOUT = Duration.ofSeconds(60);

    private final Parts parts;
    private final Clones clones;
    private final WarmPool pool;
    private final Snapshots snapshots;
    private final Turns turns;
    private final Deaths deaths;
    private final Pause pause;
    private final Resume resume;
    private final TakeSnapshot takeSnapshot;
    private final ConcurrentMap<SandboxId, Sandbox> sandboxes = new ConcurrentHashMap<>();
    private final ConcurrentMap<SandboxId, String> damaged = new ConcurrentHashMap<>();
    private final ExecutorService background = Executors.newVirtualThreadPerTaskExecutor();

    /** The operations it offers, each with its collaborators. */
    record Operations(Deaths deaths, Pause pause, Resume resume, TakeSnapshot takeSnapshot) {}

    Sandboxes(Parts parts, Clones clones, WarmPool pool, Snapshots snapshots, Turns turns, Operations operations) {
        this.parts = parts;
        this.clones = clones;
        this.pool = pool;
        this.snapshots = snapshots;
        this.turns = turns;
        this.deaths = operations.deaths();
        this.pause = operations.pause();
        this.resume = operations.resume();
        this.takeSnapshot = operations.takeSnapshot();
    }

    /** What a caller asks for. */
    record Specification(
            SandboxId id, String templateId, int vcpus, int memoryMb, int timeoutSec, Map<String, String> env) {}

    /** What is known of a sandbox whose ledger cannot be read. */
    Map<SandboxId, String> damaged() {
        return Map.copyOf(damaged);
    }

    Collection<Sandbox> all() {
        return List.copyOf(sandboxes.values());
    }

    Sandbox require(SandboxId id) {
        Sandbox sandbox = sandboxes.get(id);
        if (sandbox == null) {
            throw new PlatformException(ErrorCode.NOT_FOUND, "No sandbox " + id + " on this host.");
        }
        return sandbox;
    }

    /** How many have a VM now. */
    int living() {
        return (int) sandboxes.values().stream()
                .filter(sandbox -> sandbox.live() != null)
                .count();
    }

    // ---- Create

    /**
     * A new sandbox, cloned from the frozen template of its shape or from a snapshot; returns when its guest agent has
     * answered.
     *
     * @throws PlatformException ALREADY_EXISTS, NO_CAPACITY, DISK_FULL, NOT_FOUND for the template
     */
    Sandbox create(Specification wanted) {
        Admission.Promise promise = pool.admit(wanted.memoryMb());
        Sandbox sandbox = new Sandbox(new Ledger.Entry(
                wanted.id(),
                wanted.templateId(),
                "",
                false,
                wanted.vcpus(),
                wanted.memoryMb(),
                wanted.timeoutSec(),
                wanted.env(),
                Instant.now(),
                new SandboxState.Creating()));
        try (Sandbox.Operation _ = sandbox.begin("create", Deadline.after(CREATE_TIMEOUT));
                Scope scope = Scope.open("create sandbox " + wanted.id())) {
            if (damaged.containsKey(wanted.id()) || sandboxes.putIfAbsent(wanted.id(), sandbox) != null) {
                throw new PlatformException(
                        ErrorCode.ALREADY_EXISTS, "Sandbox " + wanted.id() + " exists on this host already.");
            }
            scope.defer("forget " + wanted.id(), () -> sandboxes.remove(wanted.id(), sandbox));
            Clones.Clone clone = clone(new Shape(wanted.templateId(), wanted.vcpus(), wanted.memoryMb()));
            scope.defer("clone", () -> clones.discard(clone));
            scope.defer(
                    "files of " + wanted.id(),
                    () -> Host.removeDirectory(parts.ledger().directory(wanted.id())));
            settle(sandbox, clone, promise);
            scope.handOver();
            clone.lease().close();
        } catch (Throwable failure) {
            promise.close();
            throw failure;
        }
        promise.started();
        return sandbox;
    }

    private Clones.Clone clone(Shape shape) {
        Optional<Clones.Clone> ready = pool.take(shape);
        if (ready.isPresent()) {
            return ready.get();
        }
        try (Clones.Source source = clones.open(shape)) {
            Deadline deadline = Deadline.after(CREATE_TIMEOUT); // freezing a template has a deadline of its own
            try (Turns.Turn _ = turns.await(deadline)) {
                return source.make(false, deadline);
            }
        }
    }

    /** A machine that nobody has becomes this sandbox's. */
    private void settle(Sandbox sandbox, Clones.Clone clone, Admission.Promise promise) {
        String name = sandbox.id().value();
        LiveMachine machine = clone.machine();
        Deadline deadline = Deadline.after(CREATE_TIMEOUT);
        parts.steps().run(Step.CREATE_STATE, name, () -> moveState(clone, sandbox.id()));
        byte[] token = Secrets.guestToken();
        parts.steps().run(Step.CREATE_CONTINUE, name, () -> {
            if (clone.background()) {
                parts.host().cgroups().setBackground(machine.name(), false);
            }
            machine.vm().continueVcpus(deadline);
        });
        parts.steps().run(Step.CREATE_RENEW, name, () -> parts.renew(machine, token, name, clone.snapshot(), deadline));
        Ledger.Entry running = sandbox.entry()
                .clonedFrom(clone.template(), clone.booted())
                .with(new SandboxState.Running(machine.recorded(token)));
        parts.steps().run(Step.CREATE_ACKNOWLEDGE, name, () -> parts.ledger().writeFirst(running));
        Sandbox.Live live = new Sandbox.Live(machine, promise);
        sandbox.publish(running, live);
        deaths.watch(sandbox, live);
        log.info("sandbox={} state=running template={} machine={}", name, clone.template(), machine.name());
    }

    private void moveState(Clones.Clone clone, SandboxId id) {
        try {
            Files.move(clone.state(), parts.ledger().directory(id), StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            throw new UncheckedIOException("make the folder of sandbox " + id, e);
        }
    }

    // ---- Pause, resume, snapshot

    /** Returns when its memory is on disk and its VM gone. */
    void pause(SandboxId id) {
        Sandbox sandbox = require(id);
        Deadline deadline = Deadline.after(Pause.TIMEOUT);
        try (Sandbox.Operation _ = begin(sandbox, "pause", deadline)) {
            pause(sandbox, false, deadline);
        }
    }

    /** Unless it is used, or commands run in it. */
    void pauseIfIdle(Sandbox sandbox) {
        if (runsCommands(sandbox)) {
            sandbox.touch();
            return;
        }
        Deadline deadline = Deadline.after(Pause.TIMEOUT);
        try (Sandbox.Operation _ = begin(sandbox, "pause", deadline)) {
            if (IdleReaper.isIdle(sandbox, Instant.now())) {
                pause(sandbox, true, deadline);
            }
        }
    }

    /** For the holder of the operation: the agent that stops waits for it, and takes no work for later after that. */
    private void pause(Sandbox sandbox, boolean idle, Deadline deadline) {
        pause.run(sandbox, idle, deadline);
        background.execute(() -> tidy(sandbox));
    }

    private static boolean runsCommands(Sandbox sandbox) {
        Sandbox.Live live = sandbox.live();
        if (live == null) {
            return false;
        }
        try {
            return live.machine().guest().listExecs().stream().anyMatch(exec -> exec.getRunning());
        } catch (RuntimeException silent) {
            log.warn("sandbox={} is idle and does not say what runs in it", sandbox.id(), silent);
            return false;
        }
    }

    /** What a pause leaves to be done when nobody waits: many generations and disk layers become few. */
    private void tidy(Sandbox sandbox) {
        try {
            sandbox.mergeMemoryIfDue();
            mergeDiskIfDue(sandbox);
        } catch (RuntimeException failure) {
            log.warn("sandbox={} keeps many generations or layers for now", sandbox.id(), failure);
        }
    }

    private void mergeDiskIfDue(Sandbox sandbox) {
        var home = parts.ledger().directory(sandbox.id());
        if (!(sandbox.state() instanceof SandboxState.Paused)
                || !parts.host().disks().mergeDue(home)) {
            return;
        }
        Deadline deadline = Deadline.after(Pause.TIMEOUT);
        try (Sandbox.Operation _ = sandbox.begin("merge", deadline);
                Templates.Lease lease = parts.templates().lease(sandbox.entry().template())) {
            if (sandbox.state() instanceof SandboxState.Paused) {
                parts.host().disks().merge(home, Host.layers(lease.template()), deadline);
            }
        }
    }

    /** Whether it was booted from its disk. */
    boolean resume(SandboxId id, int timeoutSec, boolean cold) {
        Sandbox sandbox = require(id);
        Deadline deadline = Deadline.after(
                cold || sandbox.state() instanceof SandboxState.Stopped ? Resume.BOOT_TIMEOUT : Resume.TIMEOUT);
        try (Sandbox.Operation _ = begin(sandbox, "resume", deadline)) {
            return resume.run(sandbox, timeoutSec, cold, deadline);
        }
    }

    TakeSnapshot.Taken takeSnapshot(SandboxId id, SnapshotId snapshot, boolean leavePaused) {
        Sandbox sandbox = require(id);
        Deadline deadline = Deadline.after(TakeSnapshot.TIMEOUT);
        try (Sandbox.Operation _ = begin(sandbox, "take a snapshot of", deadline)) {
            if (leavePaused) {
                pause(sandbox, false, deadline);
            }
            return takeSnapshot.run(sandbox, snapshot, deadline);
        }
    }

    /** An unknown one is removed already. */
    void deleteSnapshot(SnapshotId id) {
        pool.drop(id.value());
        parts.steps().run(Step.SNAPSHOT_REMOVE, id.value(), () -> snapshots.remove(id));
    }

    List<Snapshots.Kept> snapshots() {
        return snapshots.all();
    }

    /** As {@link Sandbox#begin}; one that was destroyed meanwhile is unknown. */
    private Sandbox.Operation begin(Sandbox sandbox, String what, Deadline deadline) {
        Sandbox.Operation operation = sandbox.begin(what, deadline);
        if (sandboxes.get(sandbox.id()) != sandbox) {
            operation.close();
            throw new PlatformException(ErrorCode.NOT_FOUND, "No sandbox " + sandbox.id() + " on this host.");
        }
        return operation;
    }

    // ---- Destroy

    /** Removes a sandbox and everything it holds; an unknown one is removed already. */
    void destroy(SandboxId id) {
        Sandbox sandbox = sandboxes.get(id);
        if (sandbox == null) {
            if (damaged.containsKey(id)) {
                removeFiles(id);
                damaged.remove(id);
            }
            return;
        }
        try (Sandbox.Operation _ = sandbox.begin("delete", Deadline.after(DESTROY_TIMEOUT))) {
            if (sandboxes.get(id) != sandbox) {
                return; // its creation failed, or somebody else has destroyed it
            }
            Sandbox.Live live = sandbox.live();
            Ledger.Entry destroying = sandbox.state() instanceof SandboxState.Destroying
                    ? sandbox.entry()
                    : sandbox.entry().with(new SandboxState.Destroying());
            parts.steps()
                    .run(Step.DESTROY_LEDGER, id.value(), () -> parts.ledger().write(destroying));
            sandbox.publish(destroying, live); // kept until released: a removal that fails is tried again
            if (live != null) {
                parts.machines().release(live.machine());
                live.promise().close();
            }
            removeFiles(id);
            sandbox.publish(destroying, null);
            sandboxes.remove(id, sandbox);
        }
        log.info("sandbox={} state=destroyed", id);
    }

    private void removeFiles(SandboxId id) {
        parts.steps()
                .run(
                        Step.DESTROY_FILES,
                        id.value(),
                        () -> Host.removeDirectory(parts.ledger().directory(id)));
    }

    /** Several at a time, each as {@link #destroy}. */
    void destroyAll(Progress progress) {
        List<SandboxId> ids = Stream.concat(sandboxes.keySet().stream(), damaged.keySet().stream())
                .toList();
        progress.step("deleting sandboxes");
        each(ids, this::destroy, progress, "could not be deleted");
    }

    /** Several at a time, each as {@link #pause}; those that do not run stay as they are. */
    void pauseAll(Progress progress) {
        List<SandboxId> ids = sandboxes.values().stream()
                .filter(sandbox -> sandbox.live() != null)
                .map(Sandbox::id)
                .toList();
        progress.step("pausing sandboxes");
        each(ids, this::pause, progress, "could not be paused");
    }

    private static void each(List<SandboxId> ids, Consumer<SandboxId> work, Progress progress, String failed) {
        AtomicInteger done = new AtomicInteger();
        Semaphore room = new Semaphore(PARALLEL);
        List<RuntimeException> failures = new CopyOnWriteArrayList<>();
        try (ExecutorService tasks = Executors.newVirtualThreadPerTaskExecutor()) {
            ids.forEach(id -> tasks.execute(() -> {
                room.acquireUninterruptibly();
                try {
                    work.accept(id);
                    progress.advance(done.incrementAndGet(), ids.size(), "sandboxes");
                } catch (RuntimeException failure) {
                    failures.add(new IllegalStateException(id + ": " + failure.getMessage(), failure));
                } finally {
                    room.release();
                }
            }));
        }
        if (!failures.isEmpty()) {
            IllegalStateException all = new IllegalStateException(failures.size() + " sandboxes " + failed + ": "
                    + failures.getFirst().getMessage());
            failures.forEach(all::addSuppressed);
            throw all;
        }
    }

    // ---- Start and stop of the agent

    /**
     * Takes over what an earlier agent left: adopts living VMs, keeps the disks of dead ones, finishes removals and
     * removes what was never acknowledged.
     */
    void reclaim() {
        List<Ledger.Found> found = parts.ledger().scan();
        found.forEach(Sandboxes::requireNotLater);
        List<Machine> living = new ArrayList<>();
        Set<String> dead = new HashSet<>();
        for (Ledger.Found one : found) {
            machine(one).ifPresent(machine -> {
                if (Machines.identity(machine).alive()) {
                    living.add(machine);
                } else {
                    dead.add(machine.name());
                }
            });
        }
        parts.machines().reclaim(living, dead);
        snapshots.reclaim();
        found.forEach(this::reclaim);
    }

    /** What a later version runs cannot be told from what nobody runs any more, so nothing may be touched. */
    private static void requireNotLater(Ledger.Found found) {
        if (found instanceof Ledger.Found.OtherFormat other && other.isLater()) {
            throw new PlatformException(
                    ErrorCode.INCOMPATIBLE_SNAPSHOT,
                    "Sandbox " + other.id() + " was written by a later version of Sandglass: " + other.problem()
                            + ". Nothing was changed. Start that version, or one that is later still.");
        }
    }

    private static Optional<Machine> machine(Ledger.Found found) {
        if (found instanceof Ledger.Found.Known known) {
            return switch (known.entry().state()) {
                case SandboxState.Running running -> Optional.of(running.machine());
                case SandboxState.Resuming resuming -> Optional.of(resuming.machine());
                default -> Optional.empty();
            };
        }
        return Optional.empty();
    }

    private void reclaim(Ledger.Found found) {
        switch (found) {
            case Ledger.Found.Missing missing -> removeFiles(missing.id());
            case Ledger.Found.Damaged broken -> {
                log.error("sandbox={} has a damaged ledger and is left alone: {}", broken.id(), broken.problem());
                damaged.put(broken.id(), "Its record on the host is damaged; only delete helps.");
            }
            case Ledger.Found.OtherFormat other -> {
                log.error("sandbox={} is left alone: {}", other.id(), other.problem());
                damaged.put(other.id(), "It was made by another version of Sandglass: " + other.problem() + ".");
            }
            case Ledger.Found.Known known -> reclaim(known.entry());
        }
    }

    private void reclaim(Ledger.Entry entry) {
        switch (entry.state()) {
            case SandboxState.Creating _, SandboxState.Destroying _ -> removeFiles(entry.id());
            case SandboxState.Paused _, SandboxState.Stopped _ -> sandboxes.put(entry.id(), new Sandbox(entry));
            case SandboxState.Running running ->
                adopt(entry, running.machine(), running.machine().guestToken());
            case SandboxState.Resuming resuming -> adopt(entry, resuming.machine(), resuming.frozenToken());
        }
    }

    private void adopt(Ledger.Entry entry, Machine machine, String guestToken) {
        Sandbox sandbox = new Sandbox(entry);
        sandboxes.put(entry.id(), sandbox);
        VirtualMachine vm = parts.machines().vm(machine);
        if (!Machines.identity(machine).alive()) {
            ExitStatus status = vm.exit()
                    .copy()
                    .completeOnTimeout(new ExitStatus.Unknown(), EXIT_NEWS.toMillis(), TimeUnit.MILLISECONDS)
                    .join();
            log.warn("sandbox={} ended while no agent ran: {} stderr={}", entry.id(), status, vm.stderrTail());
            deaths.stop(sandbox, Deaths.reason(status));
            parts.machines().forget(machine);
            return;
        }
        LiveMachine adopted = parts.machines().adopt(machine, vm, guestToken);
        Sandbox.Live live = new Sandbox.Live(adopted, parts.admission().adopt(entry.memoryMb()));
        sandbox.publish(entry, live);
        if (entry.state() instanceof SandboxState.Running) {
            deaths.watch(sandbox, live);
        }
        log.info("sandbox={} state={} adopted pid={}", entry.id(), entry.state().publicName(), machine.pid());
        background.execute(() -> goOn(sandbox));
    }

    /** What an earlier agent was in the middle of: a guest that stands still or whose processes are held goes on. */
    private void goOn(Sandbox sandbox) {
        Deadline deadline = Deadline.after(WAKE_TIMEOUT);
        try (Sandbox.Operation _ = sandbox.begin("continue", deadline)) {
            Sandbox.Live live = sandbox.live();
            if (live == null || sandboxes.get(sandbox.id()) != sandbox) {
                return;
            }
            switch (sandbox.state()) {
                case SandboxState.Resuming resuming ->
                    resume.finish(
                            sandbox, HexFormat.of().parseHex(resuming.machine().guestToken()), deadline);
                case SandboxState.Running running -> {
                    if (live.machine().vm().vcpusRunning(deadline)) {
                        live.machine().guest().goOn(InstantSource.system(), Secrets.entropy(), deadline);
                    } else {
                        String token = running.machine().guestToken();
                        LiveMachine awake = parts.wake(live.machine(), token, deadline);
                        sandbox.publish(sandbox.entry(), new Sandbox.Live(awake, live.promise()));
                    }
                }
                default -> {}
            }
        } catch (RuntimeException failure) {
            log.error("sandbox={} may stand still since an earlier agent ended", sandbox.id(), failure);
        }
    }

    /** Lets go of everything; the VMs go on. Waits for operations in progress. */
    @Override
    public void close() {
        for (Sandbox sandbox : sandboxes.values()) {
            try (Sandbox.Operation _ = sandbox.begin("leave", Deadline.after(CREATE_TIMEOUT))) {
                Sandbox.Live live = sandbox.live();
                if (live != null) {
                    live.machine().guest().close();
                }
            } catch (PlatformException busy) {
                log.warn("sandbox={} is still busy while the agent stops", sandbox.id(), busy);
            }
        }
        background.shutdown();
        try {
            if (!background.awaitTermination(CREATE_TIMEOUT.toSeconds(), TimeUnit.SECONDS)) {
                log.warn("generations are still being merged while the agent stops");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
