package dev.sandglass.host.agent;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id;
import dev.sandglass.contract.Id.ExecId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.Scope;
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
import dev.sandglass.host.network.Slot;
import dev.sandglass.host.process.Cgroup;
import dev.sandglass.host.vmm.BootSource;
import dev.sandglass.host.vmm.VirtualMachine;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
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
    static final byte[] FIRST_TOKEN = new byte[GuestClient.TOKEN_BYTES];

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
     * reading its disk; and so that no clone has to write to its disk what is left of the boot (0.45 MB, 5 s later).
     */
    private static final List<List<String>> WARM_UP = List.of(
            List.of("/bin/true"),
            List.of("/bin/echo", "warm"),
            List.of("/bin/sh", "-c", "echo warm | cat"),
            List.of("/usr/bin/python3", "-c", "import json, os, re, subprocess"),
            List.of("/bin/sync"));

    private final Host host;
    private final ImageStore images;
    private final TemplateStore store;
    private final Steps steps;
    private final int templatesMax;
    /** Ids of templates that a sandbox depends on, whether or not they are open. */
    private final Supplier<Set<String>> inUse;

    /** By id, in order of use, the least recent first. Each is there once, so that all its clones share its memory. */
    @GuardedBy("this")
    private final Map<String, Opening> openings = new LinkedHashMap<>(16, 0.75f, true);

    /** The template of each shape that was asked for: its id, once it is known or frozen. */
    @GuardedBy("this")
    private final Map<Shape, CompletableFuture<String>> shapes = new HashMap<>();

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
        while (true) {
            String id = find(shape, progress);
            try {
                return lease(id);
            } catch (PlatformException failure) {
                synchronized (this) {
                    if (shapes.containsKey(shape)) {
                        throw failure;
                    }
                } // trimmed between the two: once more
            }
        }
    }

    /**
     * A template that something depends on, whichever VMM and images it was frozen with.
     *
     * @throws PlatformException if it is missing or damaged
     */
    Lease lease(String id) {
        Opening mine = new Opening();
        Opening opening;
        synchronized (this) {
            opening = openings.computeIfAbsent(id, _ -> mine);
            opening.leases++;
        }
        if (opening == mine) {
            open(id, opening);
        }
        try {
            return new Lease(await(opening.template), () -> release(opening));
        } catch (RuntimeException failure) {
            release(opening);
            throw failure;
        }
    }

    private synchronized void release(Opening opening) {
        opening.leases--;
    }

    private void open(String id, Opening opening) {
        try {
            opening.template.complete(store.require(id));
        } catch (Throwable failure) {
            synchronized (this) {
                openings.remove(id, opening);
                shapes.values().removeIf(known -> id.equals(known.getNow(null)));
            }
            opening.template.completeExceptionally(failure);
        }
    }

    private String find(Shape shape, Progress progress) {
        CompletableFuture<String> mine = new CompletableFuture<>();
        @Nullable CompletableFuture<String> known;
        synchronized (this) {
            known = shapes.putIfAbsent(shape, mine);
        }
        if (known == null) {
            try {
                BootImages boot = images.requireVerified();
                mine.complete(store.find(shape, host.vmm().identity().properties(), boot)
                        .orElseGet(() -> freezeAndOpen(shape, boot, progress)));
            } catch (Throwable failure) {
                synchronized (this) {
                    shapes.remove(shape, mine);
                }
                mine.completeExceptionally(failure);
            }
        }
        return await(known == null ? mine : known);
    }

    private String freezeAndOpen(Shape shape, BootImages boot, Progress progress) {
        Template template = freeze(shape, boot, progress);
        Opening opening = new Opening();
        opening.template.complete(template);
        synchronized (this) {
            openings.put(template.id(), opening);
            opening.leases++; // not to be trimmed at once
            trim();
            opening.leases--;
        }
        return template.id();
    }

    private static <T> T await(CompletableFuture<T> result) {
        try {
            return result.join();
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
                                            vmDirectory(draft),
                                            name,
                                            new Machines.Frame(shape.vcpus(), shape.memoryMb(), disk.base(), false),
                                            slot,
                                            cgroup),
                                    Host.blockLayers(disk.own()),
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
            Host.removeDirectory(vmDirectory(draft));
            keep.handOver();
            return memory;
        }
    }

    private static Path vmDirectory(TemplateStore.Draft draft) {
        return draft.directory().resolve("vm");
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
        try (GuestClient guest = GuestClient.awaitReady(Machines.guestAddress(slot), FIRST_TOKEN, deadline)) {
            for (List<String> command : WARM_UP) {
                StartExec start = StartExec.newBuilder()
                        .setExecId(ExecId.random().value())
                        .addAllArgv(command)
                        .setUnlisted(true)
                        .build();
                guest.exec(start, new byte[0], KEPT_BYTES, deadline);
            }
        }
        LockSupport.parkNanos(SETTLE.toNanos()); // waking up early does no harm
    }

    // ---- Bound

    /** Removes templates beyond the limit: those that nothing depends on, the closed ones first, then the least used. */
    @GuardedBy("this")
    private void trim() {
        Set<String> needed = new HashSet<>(inUse.get());
        openings.forEach((id, opening) -> {
            if (opening.leases > 0 || !opening.template.isDone()) {
                needed.add(id);
            }
        });
        List<String> stored = store.ids();
        List<String> candidates = new ArrayList<>(stored);
        candidates.removeAll(openings.keySet());
        candidates.addAll(openings.keySet());
        candidates.removeAll(needed);
        int excess = stored.size() - templatesMax;
        for (String id : candidates) {
            if (excess-- <= 0) {
                return;
            }
            shapes.values().removeIf(known -> id.equals(known.getNow(null)));
            Opening opening = openings.remove(id);
            if (opening != null) {
                opening.template.join().close();
            }
            store.remove(id);
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
        shapes.clear();
    }
}
