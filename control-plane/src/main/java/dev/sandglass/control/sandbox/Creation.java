package dev.sandglass.control.sandbox;

import static dev.sandglass.control.http.Texts.invalid;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.host.Host;
import dev.sandglass.control.host.HostMonitor;
import dev.sandglass.control.host.HostStore;
import dev.sandglass.control.host.Placement;
import dev.sandglass.control.idempotency.Answer;
import dev.sandglass.control.idempotency.Idempotency;
import dev.sandglass.control.idempotency.StoredAnswers;
import dev.sandglass.control.sandbox.SandboxStore.Insertion;
import dev.sandglass.control.sandbox.SandboxStore.New;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** Makes sandboxes: template, shape, host, row, machine. Thread-safe. */
final class Creation {
    private static final Duration WITHIN = Limits.CREATE.plus(Limits.SLACK);

    private final SandboxStore store;
    private final StoredAnswers answers;
    private final HostStore hosts;
    private final Placement placement;
    private final TeamQuota quota;
    private final Template.Catalogue templates;
    private final Lifecycle lifecycle;
    private final Launch launch;

    Creation(
            SandboxStore store,
            StoredAnswers answers,
            HostStore hosts,
            Placement placement,
            TeamQuota quota,
            Template.Catalogue templates,
            Lifecycle lifecycle,
            Launch launch) {
        this.store = store;
        this.answers = answers;
        this.hosts = hosts;
        this.placement = placement;
        this.quota = quota;
        this.templates = templates;
        this.lifecycle = lifecycle;
        this.launch = launch;
    }

    /** The answer to the request; with a key that has been used, the answer given then. */
    Answer create(TeamId team, SandboxSpec spec, Optional<Idempotency> idempotency) {
        if (idempotency.isPresent() && answers.isUsed(team, idempotency.get())) {
            return answers.repeat(team, idempotency.get(), WITHIN);
        }
        Template template = templates
                .find(team, spec.template())
                .orElseThrow(() -> new PlatformException(ErrorCode.NOT_FOUND, "There is no template with this name."));
        New wanted = template.snapshot()
                .map(snapshot -> ofSnapshot(team, template, snapshot, spec))
                .orElseGet(() -> ofBase(team, template, spec));
        return switch (store.insert(wanted, idempotency, quota, WITHIN)) {
            case Insertion.OverQuota over -> throw new PlatformException(ErrorCode.QUOTA_EXCEEDED, over.limit());
            case Insertion.Repeated repeated -> answers.repeat(team, idempotency.orElseThrow(), WITHIN);
            case Insertion.Inserted inserted ->
                lifecycle.run(
                        "create",
                        inserted.sandbox().id().value(),
                        Limits.CREATE.plus(Limits.DESTROY).plus(Limits.SLACK),
                        () -> launch.answer(inserted.sandbox(), spec, idempotency.isPresent()));
        };
    }

    private New ofBase(TeamId team, Template template, SandboxSpec spec) {
        List<Host> alive = hosts.alive(HostMonitor.PATIENCE);
        if (alive.isEmpty()) {
            throw new PlatformException(
                    ErrorCode.HOST_UNAVAILABLE, "No host is connected: start a host agent, or try again shortly.");
        }
        int vcpus = spec.vcpus().orElse(SandboxSpec.VCPUS_DEFAULT);
        int memoryMb = spec.memoryMb().orElse(SandboxSpec.MEMORY_MB_DEFAULT);
        requireWithin("vcpus", vcpus, 1, Placement.vcpusMax(alive));
        requireWithin("memory_mb", memoryMb, SandboxSpec.MEMORY_MB_STEP, Placement.memoryMbMax(alive));
        return new New(team, place(alive, vcpus, memoryMb), template, spec, vcpus, memoryMb);
    }

    private static void requireWithin(String field, int value, int min, int max) {
        if (value > max) {
            throw invalid("The field '" + field + "' must be from " + min + " to " + max + " on these hosts.");
        }
    }

    /** What a snapshot holds has one shape, and lies on one host. */
    private New ofSnapshot(TeamId team, Template template, Template.Snapshot snapshot, SandboxSpec spec) {
        boolean vcpusFit = spec.vcpus().orElse(snapshot.vcpus()) == snapshot.vcpus();
        boolean memoryFits = spec.memoryMb().orElse(snapshot.memoryMb()) == snapshot.memoryMb();
        if (!vcpusFit || !memoryFits) {
            throw invalid("The snapshot '" + template.name() + "' was made with vcpus " + snapshot.vcpus()
                    + " and memory_mb " + snapshot.memoryMb() + ", which cannot be changed: leave out "
                    + (vcpusFit ? "memory_mb" : memoryFits ? "vcpus" : "vcpus and memory_mb") + ".");
        }
        List<Host> its = hosts.alive(HostMonitor.PATIENCE).stream()
                .filter(host -> host.id().equals(snapshot.hostId()))
                .toList();
        if (its.isEmpty()) {
            throw new PlatformException(
                    ErrorCode.HOST_UNAVAILABLE,
                    "The host that keeps this snapshot is not connected: try again when it is back.");
        }
        String host = place(its, snapshot.vcpus(), snapshot.memoryMb());
        return new New(team, host, template, spec, snapshot.vcpus(), snapshot.memoryMb());
    }

    private String place(List<Host> hosts, int vcpus, int memoryMb) {
        return placement
                .choose(hosts, vcpus, memoryMb)
                .orElseThrow(() -> new PlatformException(
                        ErrorCode.NO_CAPACITY,
                        "No host has " + memoryMb + " MiB of memory left for a sandbox: delete some, ask for"
                                + " less memory_mb, or add a host."))
                .id();
    }
}
