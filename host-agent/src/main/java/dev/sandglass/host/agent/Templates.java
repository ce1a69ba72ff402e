package dev.sandglass.host.agent;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id;
import dev.sandglass.contract.Id.ExecId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.guest.v1.StartExec;
import dev.sandglass.host.disk.Disk;
import dev.sandglass.host.disk.DiskLayer;
import dev.sandglass.host.guest.GuestClient;
import dev.sandglass.host.image.BootImages;
import dev.sandglass.host.image.ImageStore;
import dev.sandglass.host.image.Shape;
import dev.sandglass.host.image.Template;
import dev.sandglass.host.image.TemplateStore;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.Scope;
import dev.sandglass.host.network.Slot;
import dev.sandglass.host.process.Cgroup;
import dev.sandglass.host.vmm.BootSource;
import dev.sandglass.host.vmm.VirtualMachine;
import java.time.Duration;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The frozen shapes of this host. The first who asks for a shape boots and freezes it; everybody who asks meanwhile
 * waits for that one boot. Bounded: beyond the limit, the least recently used one that nothing depends on goes.
 * Thread-safe.
 */
final class Templates implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Templates.class);
    /** Boot under emulation on a loaded machine, warming, and writing the memory. A quiet one needs about 10 s. */
    private static final Duration FREEZE_TIMEOUT = Duration.ofMinutes(5);

    private static final Duration KILL_TIMEOUT = Duration.ofSeconds(30);
    /** What a guest accepts until its first renewal, guest.proto. */
    private static final byte[] FIRST_TOKEN = new byte[GuestClient.TOKEN_BYTES];

    /**
     * What the warm-up has left to do (connections to close, grace periods, timers) is done once before the freeze, and
     * not by every clone before its first answer: with {@code guest_announce=off} that is 108 instead of 134 ms of
     * processor time under emulation.
     */
    private static final Duration SETTLE = Duration.ofMillis(500);

    private static final int KEPT_BYTES = 4096;
    /** Of the name of a VM that is booted to be frozen. */
    private static final int NAME_CHARACTERS = 12;

    private static final String BASE = "base";

    /**
     * Run once before the freeze, so that their pages are in the guest's memory and every clone shares them instead of
     * reading its disk.
     */
    private static final List<List<String>> WARM_UP = List.of(
            List.of("/bin/true"),
            List.of("/bin/sh", "-c", "echo warm | cat"),
            List.of("/usr/bin/python3", "-c", "import json, os, re, subprocess"));

    private final Host host;
    private final ImageStore images;
    private final TemplateStore store;
    private final Steps steps;
    private final int templatesMax;
    /** Ids of templates that a sandbox depends on, whether or not they are open. */
    private final Supplier<Set<String>> inUse;

    /** In order of use, the least recent first. */
    @GuardedBy("this")
    private final Map<Shape, Opening> openings = new LinkedHashMap<>(16, 0.75f, true);

    private static final class Opening {
        final CompletableFuture<Template> template = new CompletableFuture<>();
        int leases;
    }

    Templates(
            Host host,
            ImageStore images,
            TemplateStore store,
            Steps steps,
            int templatesMax,
            Supplier<Set<String>> inUse) {
        this.host = host;
        this.images = images;
        this.store = store;
        this.steps = steps;
        this.templatesMax = templatesMax;
        this.inUse = inUse;
    }

    /** The right to clone a template: it stays open until this is closed. */
    record Lease(Template template, Runnable release) implements AutoCloseable {
        @Override
        public void close() {
            release.run();
        }
    }

    /**
     * The template of a shape, frozen now if it does not exist yet.
     *
     * @throws PlatformException NOT_FOUND for an unknown template id; the reason why it cannot be frozen or is damaged
     */
    Lease lease(Shape shape, Progress progress) {
        if (!shape.templateId().equals(BASE)) {
            throw new PlatformException(ErrorCode.NOT_FOUND, "No template " + shape.templateId() + ".");
        }
        Opening mine = new Opening();
        Opening opening;
        synchronized (this) {
            opening = openings.computeIfAbsent(shape, _ -> mine);
            opening.leases++;
        }
        if (opening == mine) {
            open(shape, opening, progress);
        }
        try {
            return new Lease(await(opening), () -> release(opening));
        } catch (RuntimeException failure) {
            release(opening);
            throw failure;
        }
    }

    private synchronized void release(Opening opening) {
        opening.leases--;
    }

    private void open(Shape shape, Opening opening, Progress progress) {
        try {
            BootImages boot = images.requireVerified();
            Template template = store.find(shape, host.vmm().identity().properties(), boot)
                    .orElseGet(() -> freeze(shape, boot, progress));
            opening.template.complete(template);
        } catch (Throwable failure) {
            synchronized (this) {
                openings.remove(shape, opening);
            }
            opening.template.completeExceptionally(failure);
            return;
        }
        trim();
    }

    private static Template await(Opening opening) {
        try {
            return opening.template.join();
        } catch (CompletionException e) {
            if (e.getCause() instanceof PlatformException platform) {
                throw new PlatformException(platform.code(), platform.reason(), e);
            }
            throw e;
        }
    }

    // ---- Freezing

    private Template freeze(Shape shape, BootImages boot, Progress progress) {
        progress.step("freezing the template for " + shape.vcpus() + " vCPU and " + shape.memoryMb() + " MB");
        log.info("freezing template={} vcpus={} memory_mb={}", shape.templateId(), shape.vcpus(), shape.memoryMb());
        try (Scope scope = Scope.open("freeze " + shape)) {
            TemplateStore.Draft draft =
                    steps.call(Step.FREEZE_PREPARE, shape.toString(), () -> scope.own(store.begin(shape)));
            FileDescriptor memory = bootAndFreeze(shape, boot, draft, Deadline.after(FREEZE_TIMEOUT));
            return steps.call(
                    Step.FREEZE_PUBLISH,
                    shape.toString(),
                    () -> store.publish(draft, host.vmm().identity().properties(), boot, FIRST_TOKEN, memory));
        }
    }

    /** Leaves disk and device state in the draft; the VM is gone. The caller owns the memory that is returned. */
    private FileDescriptor bootAndFreeze(Shape shape, BootImages boot, TemplateStore.Draft draft, Deadline deadline) {
        String name = "freeze-" + Id.Ids.randomCharacters(NAME_CHARACTERS);
        try (Scope keep = Scope.open("keep the memory of " + name);
                Scope scope = Scope.open("boot " + name)) {
            FileDescriptor memory = keep.own(memoryFile(shape.memoryMb()));
            Slot slot = host.networks().acquire(deadline);
            scope.defer("slot", () -> host.networks().release(slot));
            Disk disk = host.disks()
                    .create(
                            draft.directory(),
                            List.of(new DiskLayer(boot.rootfs(), DiskLayer.Format.RAW)),
                            host.rootDiskBytes(),
                            deadline);
            scope.defer("cgroup", () -> host.cgroups().remove(name));
            Cgroup cgroup = host.createCgroup(name, shape.vcpus(), shape.memoryMb());
            VirtualMachine vm = steps.call(
                    Step.FREEZE_BOOT,
                    name,
                    () -> host.vmm()
                            .boot(
                                    host.plan(
                                            draft.directory(),
                                            name,
                                            shape.vcpus(),
                                            shape.memoryMb(),
                                            disk,
                                            slot,
                                            cgroup),
                                    new BootSource(
                                            boot.kernel(), boot.initramfs(), boot.kernelArguments(), memory, true),
                                    deadline));
            scope.defer("VM", () -> vm.kill(Deadline.after(KILL_TIMEOUT)));
            steps.run(Step.FREEZE_WARM, name, () -> warm(slot, deadline));
            steps.run(Step.FREEZE_STATE, name, () -> {
                vm.stopVcpus(deadline);
                vm.saveTemplateState(draft.deviceState(), deadline);
            });
            steps.run(Step.FREEZE_RELEASE, name, scope::close);
            Host.removeDirectory(host.vmDirectory(draft.directory()));
            keep.handOver();
            return memory;
        }
    }

    private static FileDescriptor memoryFile(int memoryMb) {
        FileDescriptor memory = Linux.memfdCreate("guest-memory");
        try {
            Linux.ftruncate(memory, (long) memoryMb << 20);
            return memory;
        } catch (RuntimeException failure) {
            memory.close();
            throw failure;
        }
    }

    /** Returns when the guest has answered and is warm; no connection to it is left open. */
    private static void warm(Slot slot, Deadline deadline) {
        try (GuestClient guest = GuestClient.awaitReady(Sandboxes.guestAddress(slot), FIRST_TOKEN, deadline)) {
            for (List<String> command : WARM_UP) {
                StartExec start = StartExec.newBuilder()
                        .setExecId(ExecId.random().value())
                        .addAllArgv(command)
                        .build();
                guest.exec(start, new byte[0], KEPT_BYTES, deadline);
            }
        }
        LockSupport.parkNanos(SETTLE.toNanos()); // waking up early does no harm
    }

    // ---- Bound

    /** Removes templates beyond the limit: first those that no shape of this agent uses, then the least recently used. */
    private synchronized void trim() {
        Set<String> needed = new HashSet<>(inUse.get());
        Map<String, Shape> open = new LinkedHashMap<>();
        openings.forEach((shape, opening) -> {
            Template template = opening.template.getNow(null);
            if (template != null) {
                open.put(template.id(), shape);
                if (opening.leases > 0) {
                    needed.add(template.id());
                }
            }
        });
        List<String> stored = store.ids();
        int excess = stored.size() - templatesMax;
        for (String id : stored) {
            if (excess > 0 && !open.containsKey(id) && !needed.contains(id)) {
                store.remove(id);
                excess--;
            }
        }
        for (Map.Entry<String, Shape> candidate : open.entrySet()) {
            if (excess > 0 && !needed.contains(candidate.getKey())) {
                forget(candidate.getValue());
                store.remove(candidate.getKey());
                excess--;
            }
        }
    }

    @GuardedBy("this")
    private void forget(Shape shape) {
        @Nullable Opening opening = openings.remove(shape);
        if (opening != null) {
            opening.template.join().close();
        }
    }

    /** Lets go of the templates' memory; VMs that use it keep it. */
    @Override
    public synchronized void close() {
        openings.values().stream()
                .map(opening -> opening.template)
                .filter(template -> template.isDone() && !template.isCompletedExceptionally())
                .forEach(template -> template.join().close());
        openings.clear();
    }
}
