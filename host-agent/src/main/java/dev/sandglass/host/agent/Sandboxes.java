package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Progress;
import dev.sandglass.host.disk.Disk;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.guest.Renewal;
import dev.sandglass.host.image.Shape;
import dev.sandglass.host.image.Template;
import dev.sandglass.host.lifecycle.Machine;
import dev.sandglass.host.lifecycle.SandboxState;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.Scope;
import dev.sandglass.host.network.Slot;
import dev.sandglass.host.process.Cgroup;
import dev.sandglass.host.process.ExitStatus;
import dev.sandglass.host.process.ProcessIdentity;
import dev.sandglass.host.vmm.FrozenState;
import dev.sandglass.host.vmm.MemoryLoader;
import dev.sandglass.host.vmm.VirtualMachine;
import java.net.InetSocketAddress;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Collection;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * All sandboxes of this host: creates, destroys, adopts. Blocking; called from virtual threads. What a caller started is
 * finished whether or not the caller waits.
 */
final class Sandboxes implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Sandboxes.class);
    /** A create on a host that is busy with others: the wait for a turn, and everything after it. */
    private static final Duration CREATE_TIMEOUT = Duration.ofSeconds(60);

    private static final int DESTROY_PARALLEL = 8;
    private static final Duration DESTROY_TIMEOUT = Duration.ofSeconds(30);
    /** How long the exit status of a dead process may take to be read from its file. */
    private static final Duration EXIT_NEWS = Duration.ofSeconds(5);
    /** Port of the guest agent, guest.proto. */
    static final int GUEST_PORT = 49983;

    private static final int TOKEN_BYTES = 32;
    private static final int ENTROPY_BYTES = 64;

    private final Host host;
    private final Ledger ledger;
    private final Admission admission;
    private final Templates templates;
    private final Steps steps;
    private final SecureRandom random = new SecureRandom();
    private final ConcurrentMap<SandboxId, Sandbox> sandboxes = new ConcurrentHashMap<>();
    private final ConcurrentMap<SandboxId, String> damaged = new ConcurrentHashMap<>();
    /** Restoring is CPU work: more at a time than this only makes all of them late. */
    private final Semaphore restoring =
            new Semaphore(Math.max(2, Runtime.getRuntime().availableProcessors()), true);

    private final ExecutorService deaths = Executors.newVirtualThreadPerTaskExecutor();

    Sandboxes(Host host, Ledger ledger, Admission admission, Templates templates, Steps steps) {
        this.host = host;
        this.ledger = ledger;
        this.admission = admission;
        this.templates = templates;
        this.steps = steps;
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
     * A new sandbox, cloned from the frozen template of its shape; returns when its guest agent has answered.
     *
     * @throws PlatformException ALREADY_EXISTS, NO_CAPACITY, DISK_FULL, NOT_FOUND for the template
     */
    Sandbox create(Specification wanted) {
        Admission.Promise promise = admission.admit(wanted.memoryMb());
        Shape shape = new Shape(wanted.templateId(), wanted.vcpus(), wanted.memoryMb());
        try (Templates.Lease lease = templates.lease(shape, Progress.SILENT)) {
            return create(wanted, lease.template(), promise);
        } catch (Throwable failure) {
            promise.close();
            throw failure;
        }
    }

    private Sandbox create(Specification wanted, Template template, Admission.Promise promise) {
        Sandbox sandbox = new Sandbox(new Ledger.Entry(
                wanted.id(),
                wanted.templateId(),
                template.id(),
                wanted.vcpus(),
                wanted.memoryMb(),
                wanted.timeoutSec(),
                wanted.env(),
                Instant.now(),
                new SandboxState.Creating()));
        Deadline deadline = Deadline.after(CREATE_TIMEOUT);
        awaitTurn(deadline);
        try (Sandbox.Operation _ = sandbox.begin("create", deadline)) {
            if (damaged.containsKey(wanted.id()) || sandboxes.putIfAbsent(wanted.id(), sandbox) != null) {
                throw new PlatformException(
                        ErrorCode.ALREADY_EXISTS, "Sandbox " + wanted.id() + " exists on this host already.");
            }
            start(sandbox, template, promise, deadline);
        } finally {
            restoring.release();
        }
        promise.started();
        log.info("sandbox={} state=running template={}", wanted.id(), template.id());
        return sandbox;
    }

    private void start(Sandbox sandbox, Template template, Admission.Promise promise, Deadline deadline) {
        String name = sandbox.id().value();
        Ledger.Entry entry = sandbox.entry();
        try (Scope scope = Scope.open("create sandbox " + name)) {
            scope.defer("forget " + name, () -> sandboxes.remove(sandbox.id(), sandbox));
            scope.defer("files of " + name, () -> Host.removeDirectory(ledger.directory(sandbox.id())));
            steps.run(Step.CREATE_LEDGER, name, () -> {
                Host.createDirectory(ledger.directory(sandbox.id()));
                ledger.write(entry);
            });
            Slot slot = steps.call(Step.CREATE_SLOT, name, () -> host.networks().acquire(deadline));
            scope.defer("slot of " + name, () -> host.networks().release(slot));
            template.requireIntact();
            Disk disk = steps.call(
                    Step.CREATE_DISK, name, () -> host.createDisk(ledger.directory(sandbox.id()), template, deadline));
            scope.defer("cgroup of " + name, () -> host.cgroups().remove(name));
            Cgroup cgroup = steps.call(
                    Step.CREATE_CGROUP, name, () -> host.createCgroup(name, entry.vcpus(), entry.memoryMb()));
            VirtualMachine vm = steps.call(
                    Step.CREATE_RESTORE,
                    name,
                    () -> host.vmm()
                            .restore(
                                    host.plan(
                                            ledger.directory(sandbox.id()),
                                            name,
                                            entry.vcpus(),
                                            entry.memoryMb(),
                                            disk,
                                            slot,
                                            cgroup),
                                    new FrozenState(template.memory(), template.deviceState(), false),
                                    MemoryLoader.NONE,
                                    deadline));
            scope.defer("VM of " + name, () -> vm.kill(Deadline.after(DESTROY_TIMEOUT)));
            steps.run(Step.CREATE_CONTINUE, name, () -> vm.continueVcpus(deadline));
            byte[] token = randomBytes(TOKEN_BYTES);
            GuestClient guest = scope.own(new GuestClient(guestAddress(slot), template.guestToken()));
            steps.run(
                    Step.CREATE_RENEW,
                    name,
                    () -> guest.renew(
                            new Renewal(token, InstantSource.system(), randomBytes(ENTROPY_BYTES), name, true),
                            deadline));
            Machine machine = new Machine(
                    slot.index(),
                    vm.identity().pid(),
                    vm.identity().startTicks(),
                    HexFormat.of().formatHex(token));
            Ledger.Entry running = entry.with(new SandboxState.Running(machine));
            steps.run(Step.CREATE_ACKNOWLEDGE, name, () -> ledger.write(running));
            scope.handOver();
            publishRunning(sandbox, running, new Sandbox.Live(slot, vm, guest, promise));
        }
    }

    private void awaitTurn(Deadline deadline) {
        try {
            if (!restoring.tryAcquire(deadline.remaining().toNanos(), TimeUnit.NANOSECONDS)) {
                throw new PlatformException(
                        ErrorCode.NO_CAPACITY, "This host is starting too many sandboxes at once; try again.");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "The host agent is stopping.", e);
        }
    }

    private void publishRunning(Sandbox sandbox, Ledger.Entry running, Sandbox.Live live) {
        sandbox.publish(running, live);
        var _ = live.vm().exit().thenAcceptAsync(status -> noticeDeath(sandbox, live, status), deaths);
    }

    static InetSocketAddress guestAddress(Slot slot) {
        return new InetSocketAddress(slot.hostAddress(), GUEST_PORT);
    }

    private byte[] randomBytes(int length) {
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        return bytes;
    }

    // ---- Death of a VM

    private void noticeDeath(Sandbox sandbox, Sandbox.Live dead, ExitStatus status) {
        try (Sandbox.Operation _ = sandbox.begin("clean up", Deadline.after(DESTROY_TIMEOUT))) {
            if (!dead.equals(sandbox.live()) || !(sandbox.entry().state() instanceof SandboxState.Running)) {
                return; // being destroyed, or destroyed meanwhile
            }
            String stderr = dead.vm().stderrTail();
            log.warn("sandbox={} state=stopped exit={} stderr={}", sandbox.id(), status, stderr);
            stop(sandbox, sandbox.entry(), reason(status));
            dead.guest().close();
            dead.promise().close();
        } catch (RuntimeException failure) {
            log.error("sandbox={} cannot be stopped after the end of its VM ({})", sandbox.id(), status, failure);
        }
    }

    static String reason(ExitStatus status) {
        return switch (status) {
            case ExitStatus.Exited exited when exited.code() == 0 -> "The machine powered itself off.";
            case ExitStatus.Exited exited -> "The machine's VMM ended with exit code " + exited.code() + ".";
            case ExitStatus.Signalled signalled -> "The machine's VMM was ended by signal " + signalled.signal() + ".";
            case ExitStatus.Unknown _ -> "The machine is gone: its host was restarted or its VMM ended.";
        };
    }

    /** Releases what only a living VM needs and keeps the disk. The VM's process is gone already. */
    private void stop(Sandbox sandbox, Ledger.Entry running, String reason) {
        String name = sandbox.id().value();
        steps.run(Step.STOP_CGROUP, name, () -> host.cgroups().remove(name));
        Sandbox.Live live = sandbox.live();
        if (live != null) {
            steps.run(Step.STOP_SLOT, name, () -> host.networks().release(live.slot()));
        }
        Ledger.Entry stopped = running.with(new SandboxState.Stopped(reason));
        steps.run(Step.STOP_LEDGER, name, () -> ledger.write(stopped));
        sandbox.publish(stopped, null);
    }

    // ---- Destroy

    /** Removes a sandbox and everything it holds; an unknown one is removed already. */
    void destroy(SandboxId id) {
        Sandbox sandbox = sandboxes.get(id);
        if (sandbox == null) {
            if (damaged.containsKey(id)) {
                removeRemains(id);
                damaged.remove(id);
            }
            return;
        }
        try (Sandbox.Operation _ = sandbox.begin("delete", Deadline.after(DESTROY_TIMEOUT))) {
            if (sandboxes.get(id) != sandbox) {
                return; // its creation failed, or somebody else has destroyed it
            }
            Sandbox.Live live = sandbox.live();
            Ledger.Entry destroying = sandbox.entry().state() instanceof SandboxState.Destroying
                    ? sandbox.entry()
                    : sandbox.entry().with(new SandboxState.Destroying());
            steps.run(Step.DESTROY_LEDGER, id.value(), () -> ledger.write(destroying));
            sandbox.publish(destroying, live); // kept until released: a removal that fails is tried again
            if (live != null) {
                live.guest().close();
                steps.run(Step.DESTROY_VM, id.value(), () -> live.vm().kill(Deadline.after(DESTROY_TIMEOUT)));
                steps.run(Step.DESTROY_SLOT, id.value(), () -> host.networks().release(live.slot()));
                live.promise().close();
            }
            removeRemains(id);
            sandbox.publish(destroying, null);
            sandboxes.remove(id, sandbox);
        }
        log.info("sandbox={} state=destroyed", id);
    }

    /** What is left once the slot is released: processes in the cgroup, the cgroup, the files. */
    private void removeRemains(SandboxId id) {
        steps.run(Step.DESTROY_CGROUP, id.value(), () -> host.cgroups().remove(id.value()));
        steps.run(Step.DESTROY_FILES, id.value(), () -> Host.removeDirectory(ledger.directory(id)));
    }

    /** Several at a time, each as {@link #destroy}. */
    void destroyAll(Progress progress) {
        List<SandboxId> ids = Stream.concat(sandboxes.keySet().stream(), damaged.keySet().stream())
                .toList();
        progress.step("deleting sandboxes");
        AtomicInteger done = new AtomicInteger();
        Semaphore turns = new Semaphore(DESTROY_PARALLEL);
        List<Throwable> failures = new CopyOnWriteArrayList<>();
        try (ExecutorService tasks = Executors.newVirtualThreadPerTaskExecutor()) {
            ids.forEach(id -> tasks.execute(() -> {
                turns.acquireUninterruptibly();
                try {
                    destroy(id);
                    progress.advance(done.incrementAndGet(), ids.size(), "sandboxes");
                } catch (RuntimeException failure) {
                    failures.add(failure);
                } finally {
                    turns.release();
                }
            }));
        }
        if (!failures.isEmpty()) {
            IllegalStateException all = new IllegalStateException(failures.size() + " sandboxes could not be deleted");
            failures.forEach(all::addSuppressed);
            throw all;
        }
    }

    // ---- Start and stop of the agent

    /**
     * Takes over what an earlier agent left: adopts living VMs, keeps the disks of dead ones, finishes removals and undoes
     * creations that were cut off.
     */
    void reclaim() {
        List<Ledger.Found> found = ledger.scan();
        Set<Integer> livingSlots = new HashSet<>();
        Set<String> livingCgroups = new HashSet<>();
        for (Ledger.Found one : found) {
            if (one instanceof Ledger.Found.Known known
                    && known.entry().state() instanceof SandboxState.Running running
                    && identity(running.machine()).alive()) {
                livingSlots.add(running.machine().slot());
                livingCgroups.add(one.id().value());
            }
        }
        host.cgroups().existing().stream()
                .filter(name -> !livingCgroups.contains(name))
                .forEach(host.cgroups()::remove);
        host.networks().reclaim(livingSlots);
        found.forEach(this::reclaim);
    }

    private void reclaim(Ledger.Found found) {
        switch (found) {
            case Ledger.Found.Missing missing -> removeRemains(missing.id());
            case Ledger.Found.Damaged broken -> {
                log.error("sandbox={} has a damaged ledger and is left alone: {}", broken.id(), broken.problem());
                damaged.put(broken.id(), "Its record on the host is damaged; only delete helps.");
            }
            case Ledger.Found.Known known -> reclaim(known.entry());
        }
    }

    private void reclaim(Ledger.Entry entry) {
        switch (entry.state()) {
            case SandboxState.Creating _, SandboxState.Destroying _ -> removeRemains(entry.id());
            case SandboxState.Stopped _ -> sandboxes.put(entry.id(), new Sandbox(entry));
            case SandboxState.Running running -> adopt(entry, running.machine());
        }
    }

    private void adopt(Ledger.Entry entry, Machine machine) {
        Sandbox sandbox = new Sandbox(entry);
        sandboxes.put(entry.id(), sandbox);
        VirtualMachine vm = host.vmm().adopt(host.vmDirectory(ledger.directory(entry.id())), identity(machine));
        if (!identity(machine).alive()) {
            ExitStatus status = vm.exit()
                    .copy()
                    .completeOnTimeout(new ExitStatus.Unknown(), EXIT_NEWS.toMillis(), TimeUnit.MILLISECONDS)
                    .join();
            log.warn("sandbox={} ended while no agent ran: {} stderr={}", entry.id(), status, vm.stderrTail());
            stop(sandbox, entry, reason(status));
            return;
        }
        Slot slot = host.networks().taken(machine.slot());
        GuestClient guest = new GuestClient(guestAddress(slot), HexFormat.of().parseHex(machine.guestToken()));
        publishRunning(sandbox, entry, new Sandbox.Live(slot, vm, guest, admission.adopt(entry.memoryMb())));
        log.info("sandbox={} state=running adopted pid={}", entry.id(), machine.pid());
    }

    private static ProcessIdentity identity(Machine machine) {
        return new ProcessIdentity(machine.pid(), machine.startTicks());
    }

    /** Lets go of everything; the VMs go on. Waits for operations in progress. */
    @Override
    public void close() {
        for (Sandbox sandbox : sandboxes.values()) {
            try (Sandbox.Operation _ = sandbox.begin("leave", Deadline.after(CREATE_TIMEOUT))) {
                Sandbox.Live live = sandbox.live();
                if (live != null) {
                    live.guest().close();
                }
            } catch (PlatformException busy) {
                log.warn("sandbox={} is still busy while the agent stops", sandbox.id(), busy);
            }
        }
        deaths.shutdown();
    }
}
