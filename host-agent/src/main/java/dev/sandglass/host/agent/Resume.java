package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.image.BootImages;
import dev.sandglass.host.image.ImageStore;
import dev.sandglass.host.image.Template;
import dev.sandglass.host.lifecycle.SandboxState;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.vmm.BootSource;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Brings a sandbox back: a paused one with its memory, a stopped one by booting it from its disk.
 *
 * <p>The disk is as it was saved until the vCPUs run, and just before that the ledger says so: whatever fails earlier
 * leaves the sandbox paused. A guest that runs and cannot be given its time and randomness is paused again, with what it
 * has become: its processes have not run.
 */
final class Resume {
    private static final Logger log = LoggerFactory.getLogger(Resume.class);
    static final Duration TIMEOUT = Duration.ofSeconds(60);
    /** A boot takes seconds under emulation, and many times that on a busy host. */
    static final Duration BOOT_TIMEOUT = Duration.ofSeconds(150);

    private final Parts parts;
    private final ImageStore images;
    private final WarmPool pool;
    private final Blanks blanks;
    private final Turns turns;
    private final Deaths deaths;
    private final Pause pause;

    Resume(Parts parts, ImageStore images, WarmPool pool, Blanks blanks, Turns turns, Deaths deaths, Pause pause) {
        this.parts = parts;
        this.images = images;
        this.pool = pool;
        this.blanks = blanks;
        this.turns = turns;
        this.deaths = deaths;
        this.pause = pause;
    }

    /**
     * The holder of the operation calls this; a running sandbox stays as it is.
     *
     * @param timeoutSec its idle time from now on
     * @param cold gives the memory of a paused one up
     * @return whether it was booted from its disk
     * @throws PlatformException INVALID_STATE, NO_CAPACITY, INCOMPATIBLE_SNAPSHOT, or what is damaged: it is as before
     */
    boolean run(Sandbox sandbox, int timeoutSec, boolean cold, Deadline deadline) {
        parts.releaseLeftover(sandbox);
        return switch (sandbox.state()) {
            case SandboxState.Running _ -> {
                sandbox.touch();
                yield false;
            }
            case SandboxState.Resuming resuming -> { // an earlier attempt could neither finish nor pause it again
                finish(sandbox, HexFormat.of().parseHex(resuming.machine().guestToken()), deadline);
                yield false;
            }
            case SandboxState.Paused _, SandboxState.Stopped _ -> {
                try (Sandbox.Operation _ = sandbox.show(Sandbox.Transition.RESUMING);
                        Turns.Turn _ = turns.await(deadline);
                        Templates.Lease lease =
                                parts.templates().lease(sandbox.entry().template())) {
                    lease.template().requireIntact();
                    yield bring(sandbox, lease.template(), timeoutSec, cold, deadline);
                } finally {
                    sandbox.touch();
                }
            }
            default ->
                throw new PlatformException(
                        ErrorCode.INVALID_STATE, "Sandbox " + sandbox.id() + " is " + sandbox.publicState() + ".");
        };
    }

    private boolean bring(Sandbox sandbox, Template template, int timeoutSec, boolean cold, Deadline deadline) {
        Admission.Promise promise = pool.admit(sandbox.entry().memoryMb());
        try {
            boolean boots = cold || sandbox.state() instanceof SandboxState.Stopped;
            if (boots) {
                giveMemoryUp(sandbox, template);
                boot(sandbox, template, timeoutSec, promise, deadline);
            } else {
                restore(sandbox, template, timeoutSec, promise, deadline);
            }
            promise.started();
            log.info("sandbox={} state=running cold={}", sandbox.id(), boots);
            return boots;
        } catch (RuntimeException failure) {
            if (sandbox.live() == null) {
                promise.close();
            }
            throw failure;
        }
    }

    private Path home(Sandbox sandbox) {
        return parts.ledger().directory(sandbox.id());
    }

    private Machines.Content content(Sandbox sandbox, Template template, byte[] guestToken) {
        return new Machines.Content(
                _ -> parts.host().disks().open(home(sandbox), Host.layers(template)), guestToken, false);
    }

    // ---- With its memory

    private void restore(
            Sandbox sandbox, Template template, int timeoutSec, Admission.Promise promise, Deadline deadline) {
        SandboxState.Paused paused = (SandboxState.Paused) sandbox.state();
        Ledger.Entry entry = sandbox.entry().withTimeout(timeoutSec);
        SavedMemory memory = parts.memory(sandbox, template);
        memory.requireCompatible(parts.host().vmm().identity());
        Machines.Content content = content(sandbox, template, HexFormat.of().parseHex(paused.guestToken()));
        Machines.Blank blank = blanks.take(template, entry.booted(), false, deadline);
        LiveMachine machine =
                parts.machines().restore(blank, content, disk -> memory.restore(blank.vm(), disk, deadline));
        byte[] token = Secrets.guestToken();
        Ledger.Entry resuming = entry.with(new SandboxState.Resuming(machine.recorded(token), paused.guestToken()));
        String name = sandbox.id().value();
        try {
            parts.steps().run(Step.RESUME_LEDGER, name, () -> parts.ledger().write(resuming));
        } catch (RuntimeException failure) {
            releaseAfter(failure, machine);
            if (parts.ledger().holds(resuming)) {
                parts.ledger().write(sandbox.entry()); // nothing has run
            }
            throw failure;
        }
        sandbox.publish(resuming, new Sandbox.Live(machine, promise));
        finish(sandbox, token, deadline);
    }

    /** From about to run to running; also for one that an earlier agent left on the way. */
    void finish(Sandbox sandbox, byte[] token, Deadline deadline) {
        Sandbox.Live live = parts.requireLive(sandbox);
        SandboxState.Resuming resuming = (SandboxState.Resuming) sandbox.state();
        LiveMachine machine = live.machine();
        String name = sandbox.id().value();
        try {
            parts.steps().run(Step.RESUME_CONTINUE, name, () -> machine.vm().continueVcpus(deadline));
            parts.steps().run(Step.RESUME_RENEW, name, () -> parts.renew(machine, token, name, true, deadline));
            Ledger.Entry running = sandbox.entry().with(new SandboxState.Running(resuming.machine()));
            parts.steps()
                    .run(Step.RESUME_ACKNOWLEDGE, name, () -> parts.ledger().write(running));
            sandbox.publish(running, live);
        } catch (RuntimeException failure) {
            Optional<RuntimeException> death = deaths.explain(sandbox, machine, "resumed", failure);
            if (death.isEmpty()) {
                pause.again(sandbox, failure);
            }
            throw death.orElse(failure);
        }
        deaths.watch(sandbox, live);
    }

    private void releaseAfter(RuntimeException failure, LiveMachine machine) {
        try {
            parts.machines().release(machine);
        } catch (RuntimeException e) {
            failure.addSuppressed(e);
        }
    }

    // ---- From its disk

    private void giveMemoryUp(Sandbox sandbox, Template template) {
        String name = sandbox.id().value();
        if (sandbox.state() instanceof SandboxState.Paused) {
            requireGuest(sandbox, template);
            Ledger.Entry stopped =
                    sandbox.entry().with(new SandboxState.Stopped("Its memory was given up to boot from its disk."));
            parts.steps().run(Step.BOOT_LEDGER, name, () -> parts.ledger().write(stopped));
            sandbox.publish(stopped, null);
        }
        sandbox.forgetMemory();
        parts.steps().run(Step.BOOT_FORGET, name, () -> Host.removeDirectory(SavedMemory.directory(home(sandbox))));
    }

    /** The same agent would come up from the disk. Memory that cannot even be opened says nothing of it. */
    private void requireGuest(Sandbox sandbox, Template template) {
        SavedMemory memory;
        try {
            memory = parts.memory(sandbox, template);
        } catch (RuntimeException unusable) {
            log.warn("sandbox={} has memory that cannot be opened, which is given up", sandbox.id(), unusable);
            return;
        }
        memory.requireGuest();
    }

    private void boot(
            Sandbox sandbox, Template template, int timeoutSec, Admission.Promise promise, Deadline deadline) {
        Ledger.Entry entry = sandbox.entry().withTimeout(timeoutSec).bootedAnew();
        BootImages boot = images.require(template.imageDigest());
        String name = sandbox.id().value();
        BootSource source =
                new BootSource(boot.kernel(), boot.initramfs(), boot.kernelArguments(), parts.zeroMemory(), false);
        LiveMachine machine = parts.machines()
                .boot(
                        Machines.Frame.of(template, false),
                        content(sandbox, template, Templates.FIRST_TOKEN),
                        source,
                        deadline);
        try {
            byte[] token = Secrets.guestToken();
            GuestClient guest = parts.steps()
                    .call(
                            Step.BOOT_RENEW,
                            name,
                            () -> machine.whileAlive(() -> GuestClient.awaitReady(
                                    Machines.guestAddress(machine.slot()), Templates.FIRST_TOKEN, deadline)));
            LiveMachine ready = machine.with(guest);
            parts.renew(ready, token, name, false, deadline);
            Ledger.Entry running = entry.with(new SandboxState.Running(ready.recorded(token)));
            parts.steps().run(Step.BOOT_ACKNOWLEDGE, name, () -> parts.ledger().write(running));
            Sandbox.Live live = new Sandbox.Live(ready, promise);
            sandbox.publish(running, live);
            deaths.watch(sandbox, live);
        } catch (RuntimeException failure) {
            releaseAfter(failure, machine);
            throw failure;
        }
    }
}
