package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.lifecycle.Machine;
import dev.sandglass.host.lifecycle.SandboxState;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.memory.Draft;
import dev.sandglass.host.vmm.VirtualMachine;
import io.micrometer.core.instrument.Metrics;
import java.time.Duration;
import java.util.HexFormat;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Takes a running sandbox to disk and ends its VM.
 *
 * <p>The guest stands still from the stop of its vCPUs on. Until the ledger says that it is paused it can go on, and does
 * so when anything fails; from then on it is never continued, since what is on disk is its memory.
 */
final class Pause {
    private static final Logger log = LoggerFactory.getLogger(Pause.class);
    static final Duration TIMEOUT = Duration.ofSeconds(60);
    /** A guest that does not hold its processes within this time is paused as it is. */
    static final Duration FREEZE_TIMEOUT = Duration.ofSeconds(2);

    static final Duration WAKE_TIMEOUT = Duration.ofSeconds(30);

    private final Parts parts;
    private final Deaths deaths;

    Pause(Parts parts, Deaths deaths) {
        this.parts = parts;
        this.deaths = deaths;
    }

    /**
     * The holder of the operation calls this; a paused sandbox stays as it is.
     *
     * @param idle it is paused because nobody used it
     * @throws PlatformException INVALID_STATE unless it runs or is paused; DISK_FULL, and then it goes on running;
     *     AGENT_ERROR when its machine ended meanwhile, and then it is stopped
     */
    void run(Sandbox sandbox, boolean idle, Deadline deadline) {
        parts.releaseLeftover(sandbox);
        switch (sandbox.state()) {
            case SandboxState.Paused _ -> {}
            case SandboxState.Running running -> {
                try (Sandbox.Operation _ = sandbox.show(Sandbox.Transition.PAUSING)) {
                    save(sandbox, running.machine(), idle, deadline);
                    parts.releaseLeftover(sandbox);
                }
                log.info("sandbox={} state=paused idle={}", sandbox.id(), idle);
            }
            default ->
                throw new PlatformException(
                        ErrorCode.INVALID_STATE,
                        "Sandbox " + sandbox.id() + " is " + sandbox.publicState() + "; only a running one is paused.");
        }
    }

    private void save(Sandbox sandbox, Machine recorded, boolean idle, Deadline deadline) {
        Sandbox.Live live = parts.requireLive(sandbox);
        try {
            capture(sandbox, live, recorded.guestToken(), idle, deadline);
        } catch (RuntimeException failure) {
            if (goOn(sandbox, live, recorded.guestToken(), failure)) {
                throw failure;
            }
            throw deaths.explain(sandbox, live.machine(), "paused", failure).orElse(failure);
        }
    }

    /**
     * Of a sandbox that is being resumed and whose guest could not be given its time and randomness: as it has run since
     * it was loaded, what is on disk is replaced by what it is now. If that fails too it stays as it is, with its VM.
     */
    void again(Sandbox sandbox, RuntimeException why) {
        SandboxState.Resuming resuming = (SandboxState.Resuming) sandbox.state();
        Sandbox.Live live = parts.requireLive(sandbox);
        log.warn("sandbox={} could not be resumed and is paused again", sandbox.id(), why);
        try {
            String token = accepts(live.machine(), resuming.machine().guestToken())
                    ? resuming.machine().guestToken()
                    : resuming.frozenToken();
            capture(sandbox, live, token, false, Deadline.after(TIMEOUT));
            parts.releaseLeftover(sandbox);
        } catch (RuntimeException failure) {
            why.addSuppressed(failure);
        }
    }

    private static boolean accepts(LiveMachine machine, String token) {
        try (GuestClient guest = new GuestClient(
                Machines.guestAddress(machine.slot()), HexFormat.of().parseHex(token))) {
            guest.ping(Deadline.after(FREEZE_TIMEOUT));
            return true;
        } catch (RuntimeException refused) {
            return false;
        }
    }

    /** Afterwards the ledger says that it is paused, and its VM stands still for ever. */
    private void capture(Sandbox sandbox, Sandbox.Live live, String guestToken, boolean idle, Deadline deadline) {
        String name = sandbox.id().value();
        VirtualMachine vm = live.machine().vm();
        Ledger.Entry paused = sandbox.entry().with(new SandboxState.Paused(guestToken, idle));
        try (Templates.Lease lease = parts.templates().lease(sandbox.entry().template())) {
            SavedMemory memory;
            try (Beside<SavedMemory> opening = Beside.start(() -> parts.memory(sandbox, lease.template()))) {
                parts.steps().run(Step.PAUSE_FREEZE, name, () -> freeze(live.machine(), name));
                live.machine()
                        .guest()
                        .closeConnections("The sandbox is being paused; what runs in it goes on when it is resumed.");
                memory = opening.join();
            }
            parts.steps().run(Step.PAUSE_STOP, name, () -> vm.stopVcpus(deadline));
            try (Draft draft = parts.steps().call(Step.PAUSE_BEGIN, name, memory::begin);
                    Beside<Boolean> devices = Beside.run(() -> parts.steps()
                            .run(Step.PAUSE_DEVICES, name, () -> parts.saveDevices(draft, live.machine(), deadline)))) {
                Draft.Saved saved = parts.steps().call(Step.PAUSE_MEMORY, name, () -> memory.savePages(draft, vm));
                devices.join();
                log.debug("sandbox={} saved={}", name, saved);
                parts.steps().run(Step.PAUSE_COMMIT, name, draft::commit);
            }
            memory.verify(vm);
            parts.steps().run(Step.PAUSE_LEDGER, name, () -> write(paused));
        }
        sandbox.publish(paused, live); // kept until it is released: a release that fails is tried again
    }

    /** What the ledger says counts, also when it could not be confirmed: a VM whose ledger says paused never goes on. */
    private void write(Ledger.Entry paused) {
        try {
            parts.ledger().write(paused);
        } catch (RuntimeException failure) {
            if (!parts.ledger().holds(paused)) {
                throw failure;
            }
            log.warn("sandbox={} is paused, perhaps not durably", paused.id(), failure);
        }
    }

    /** Best effort: a guest that is too busy or broken to answer is paused all the same, and that is recorded. */
    static void freeze(LiveMachine machine, String name) {
        try {
            boolean _ = machine.whileAlive(() -> {
                machine.guest().freeze(FREEZE_TIMEOUT);
                return true;
            });
        } catch (RuntimeException failure) {
            Metrics.counter("sandglass.freeze.failed").increment();
            log.warn("sandbox={} did not hold its processes and is saved as it is: {}", name, failure.toString());
        }
    }

    /** Whether it does; else its VM has ended, or does not answer. */
    private boolean goOn(Sandbox sandbox, Sandbox.Live live, String guestToken, RuntimeException failure) {
        log.warn("sandbox={} could not be paused and goes on", sandbox.id(), failure);
        try {
            LiveMachine awake = parts.wake(live.machine(), guestToken, Deadline.after(WAKE_TIMEOUT));
            sandbox.publish(sandbox.entry(), new Sandbox.Live(awake, live.promise()));
            return true;
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
            return false;
        }
    }
}
