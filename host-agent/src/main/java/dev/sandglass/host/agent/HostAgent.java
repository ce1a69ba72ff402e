package dev.sandglass.host.agent;

import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.Progress;
import dev.sandglass.contract.Scope;
import dev.sandglass.contract.host.v1.HostCapacity;
import dev.sandglass.host.disk.Qcow2Disks;
import dev.sandglass.host.image.ImageStore;
import dev.sandglass.host.image.Shape;
import dev.sandglass.host.image.TemplateStore;
import dev.sandglass.host.linux.DurableFile;
import dev.sandglass.host.network.NetworkConfiguration;
import dev.sandglass.host.network.Networks;
import dev.sandglass.host.process.Cgroups;
import dev.sandglass.host.process.Processes;
import dev.sandglass.host.vmm.ZeroMemory;
import dev.sandglass.host.vmm.qemu.Acceleration;
import dev.sandglass.host.vmm.qemu.QemuConfiguration;
import dev.sandglass.host.vmm.qemu.QemuVmm;
import io.grpc.ServerInterceptors;
import io.grpc.ServerServiceDefinition;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/**
 * The host agent of one machine. Starting it adopts what an earlier agent left; closing it lets the VMs live on. One per
 * SANDGLASS_HOME at a time, which the caller sees to. Thread-safe.
 */
public final class HostAgent implements AutoCloseable {
    /** Sent with every handshake. */
    public static final String VERSION = "0.1.0";

    /** What a sandbox gets when its creator does not say. */
    private static final Shape DEFAULT_SHAPE = new Shape("base", 1, 512);

    private static final String HOST_PREFIX = "host";

    /** Set by crash tests only, see {@link Steps}. */
    private static final String FAILPOINT_PROPERTY = "sandglass.failpoint";

    /** Set by tests only, which need a host whose memory is short. */
    private static final String MEMINFO_PROPERTY = "sandglass.meminfo";

    private final Scope scope;
    private final Sandboxes sandboxes;
    private final Consumer<Progress> ensureDefaultTemplate;
    private final ServerServiceDefinition service;
    private final Capacity capacity;
    private final String hostId;
    private final String acceleration;

    private HostAgent(
            Scope scope,
            Sandboxes sandboxes,
            Consumer<Progress> ensureDefaultTemplate,
            ServerServiceDefinition service,
            Capacity capacity,
            String hostId,
            String acceleration) {
        this.scope = scope;
        this.sandboxes = sandboxes;
        this.ensureDefaultTemplate = ensureDefaultTemplate;
        this.service = service;
        this.capacity = capacity;
        this.hostId = hostId;
        this.acceleration = acceleration;
    }

    /** Returns when everything that an earlier agent left has been adopted or released; needs no images. */
    public static HostAgent start(HostAgentConfiguration configuration, Progress progress) {
        try (Scope starting = Scope.open("start the host agent")) {
            Scope scope = starting.own(Scope.open("stop the host agent"));
            HostAgent agent = assemble(configuration, scope, progress);
            starting.handOver();
            return agent;
        }
    }

    private static HostAgent assemble(HostAgentConfiguration configuration, Scope scope, Progress progress) {
        makePrivate(configuration.sandboxesDirectory());
        ImageStore images = new ImageStore(configuration.imagesDirectory());
        Processes processes = scope.own(Processes.open());
        QemuVmm vmm = scope.own(QemuVmm.probe(
                processes, qemu(configuration), () -> images.requireVerified().kernel()));
        String hostId = hostId(configuration.home());
        // Agents of one installation may share a machine: what each owns in the kernel is named after its host.
        String owner = hostId.substring(HOST_PREFIX.length());
        Networks networks = scope.own(Networks.open(network(owner, configuration)));
        Host host = new Host(vmm, new Qcow2Disks(), networks, Cgroups.detect(owner), configuration.rootDiskBytes());
        Steps steps = new Steps(Optional.ofNullable(System.getProperty(FAILPOINT_PROPERTY)));
        TemplateStore store = new TemplateStore(configuration.templatesDirectory(), images, Clock.systemUTC());
        Admission admission =
                new Admission(configuration, Path.of(System.getProperty(MEMINFO_PROPERTY, "/proc/meminfo")));
        Ledger ledger = new Ledger(configuration.sandboxesDirectory());
        Snapshots snapshots = new Snapshots(configuration.snapshotsDirectory());
        Templates templates = scope.own(new Templates(
                host,
                images,
                store,
                steps,
                configuration.templatesMax(),
                () -> union(ledger.templates(), snapshots.templates())));
        Parts parts = new Parts(
                host,
                ledger,
                new Machines(host, configuration.machinesDirectory(), steps),
                templates,
                admission,
                scope.own(ZeroMemory.open()),
                steps);
        Turns turns = new Turns();
        Stock.Times times = new Stock.Times(turns::idle, admission::isShortOfMemory);
        Blanks blanks = scope.own(new Blanks(parts, Math.min(1, configuration.warmPoolSize()), times));
        Clones clones = new Clones(parts, snapshots, blanks);
        WarmPool pool = scope.own(new WarmPool(clones, parts, blanks, configuration.warmPoolSize(), times));
        Deaths deaths = scope.own(new Deaths(parts));
        Pause pause = new Pause(parts, deaths);
        Sandboxes sandboxes = scope.own(new Sandboxes(
                parts,
                clones,
                pool,
                snapshots,
                turns,
                new Sandboxes.Operations(
                        deaths,
                        pause,
                        new Resume(parts, images, pool, blanks, turns, deaths, pause),
                        new TakeSnapshot(parts, snapshots, deaths))));
        IdleReaper reaper = scope.own(new IdleReaper(sandboxes::all, sandboxes::pauseIfIdle));
        Capacity capacity =
                new Capacity(admission, sandboxes::living, vmm.acceleration().accelerator());
        HostAgentGrpc service = new HostAgentGrpc(
                sandboxes, new HostAgentGrpc.Identity(configuration.installation(), hostId, VERSION), capacity);

        progress.step("adopting sandboxes");
        sandboxes.reclaim();
        store.reclaim();
        reaper.start();
        service.open();
        return new HostAgent(
                scope,
                sandboxes,
                freezing -> {
                    try (Templates.Lease lease = templates.lease(DEFAULT_SHAPE, freezing)) {
                        blanks.keep(lease.template());
                    }
                    pool.keep(DEFAULT_SHAPE);
                    store.imageDigests().ifPresent(images::retain);
                },
                ServerInterceptors.intercept(
                        service, new Authentication(configuration.agentToken(), configuration.installation())),
                capacity,
                hostId,
                vmm.acceleration().accelerator() + " (" + vmm.acceleration().reason() + ")");
    }

    private static QemuConfiguration qemu(HostAgentConfiguration configuration) {
        QemuConfiguration standard = QemuConfiguration.standard();
        Acceleration.Choice choice = configuration
                .forcedAccelerator()
                .map(forced -> switch (forced) {
                    case KVM -> Acceleration.Choice.KVM;
                    case TCG -> Acceleration.Choice.EMULATION;
                })
                .orElse(Acceleration.Choice.AUTOMATIC);
        return new QemuConfiguration(standard.binary(), choice, standard.translationCacheMb());
    }

    private static NetworkConfiguration network(String owner, HostAgentConfiguration configuration) {
        return NetworkConfiguration.standard(
                owner,
                configuration.home(),
                configuration.dns().orElseGet(Resolver::ofHost),
                configuration.slotPoolSize());
    }

    private static Set<String> union(Set<String> some, Set<String> others) {
        Set<String> all = new HashSet<>(some);
        all.addAll(others);
        return all;
    }

    private static void makePrivate(Path directory) {
        try {
            Host.createDirectory(directory);
        } catch (UncheckedIOException e) {
            throw new UncheckedIOException("make SANDGLASS_HOME usable", e.getCause());
        }
    }

    /** Made once: a host keeps its id when its address changes. */
    private static String hostId(Path home) {
        Path file = home.resolve("host-id");
        try {
            if (!Files.exists(file)) {
                DurableFile.write(file, (HOST_PREFIX + Ids.randomCharacters(20)).getBytes(StandardCharsets.US_ASCII));
            }
            return Files.readString(file).strip();
        } catch (IOException e) {
            throw new UncheckedIOException("read the host's id", e);
        }
    }

    public String hostId() {
        return hostId;
    }

    /** What runs guests' code and why, for people: {@code "tcg (the processor has neither svm nor vmx)"}. */
    public String acceleration() {
        return acceleration;
    }

    /** HostAgentService, guarded by the installation's token: for a gRPC server of any kind. */
    public ServerServiceDefinition service() {
        return service;
    }

    public HostCapacity capacity() {
        return capacity.get();
    }

    /**
     * Freezes the default template unless that has been done, so that the first create need not wait for it, and removes
     * images that nothing depends on any more.
     *
     * @throws dev.sandglass.contract.PlatformException with the remedy, for an image or template that is missing or
     *     damaged
     */
    public void ensureDefaultTemplate(Progress progress) {
        ensureDefaultTemplate.accept(progress);
    }

    /** Sandboxes whose VM runs now. */
    public int livingSandboxes() {
        return sandboxes.living();
    }

    /** Pauses every sandbox of this host that has a VM, several at a time. Throws when one could not be, naming it. */
    public void pauseAll(Progress progress) {
        sandboxes.pauseAll(progress);
    }

    /** Destroys every sandbox of this host, several at a time. */
    public void destroyAll(Progress progress) {
        sandboxes.destroyAll(progress);
    }

    /** Waits for operations in progress; VMs go on. */
    @Override
    public void close() {
        scope.close();
    }
}
