package dev.sandglass.control.sandbox;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.control.idempotency.Answer;
import dev.sandglass.control.idempotency.Idempotency;
import dev.sandglass.control.sandbox.SandboxStore.Insertion.Inserted;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;

/** Rows in memory, with the same compare-and-set. Without quotas and idempotency. */
final class InMemorySandboxStore implements SandboxStore {
    private record Row(Sandbox sandbox, Optional<Instant> deadline, boolean deleted) {}

    private final Map<SandboxId, Row> rows = new LinkedHashMap<>();
    private final Supplier<SandboxId> ids;
    private final Supplier<Instant> clock;

    InMemorySandboxStore(Supplier<SandboxId> ids, Supplier<Instant> clock) {
        this.ids = ids;
        this.clock = clock;
    }

    private Sandbox shown(Row row) {
        boolean overdue = row.deadline()
                .filter(deadline -> deadline.isBefore(clock.get()))
                .isPresent();
        return with(row.sandbox(), overdue);
    }

    private static Sandbox with(Sandbox row, boolean overdue) {
        return overdue ? row.asOverdue() : row;
    }

    @Override
    public Insertion insert(New wanted, Optional<Idempotency> idempotency, TeamQuota quota, Duration within) {
        Sandbox sandbox = new Sandbox(
                ids.get(),
                wanted.team(),
                wanted.hostId(),
                wanted.template().name(),
                wanted.template().snapshot().map(Template.Snapshot::id),
                SandboxStatus.PENDING,
                1,
                wanted.vcpus(),
                wanted.memoryMb(),
                wanted.spec().timeoutSec(),
                Optional.empty(),
                wanted.spec().metadata(),
                Optional.empty(),
                false,
                clock.get(),
                Optional.empty(),
                Optional.empty(),
                clock.get(),
                false,
                false);
        rows.put(sandbox.id(), new Row(sandbox, Optional.of(clock.get().plus(within)), false));
        return new Inserted(sandbox);
    }

    @Override
    public void answered(SandboxId subject, Answer answer) {}

    @Override
    public void withdraw(SandboxId id) {
        living(id)
                .filter(row -> row.sandbox().status() == SandboxStatus.PENDING)
                .ifPresent(row -> rows.remove(id));
    }

    private Optional<Row> living(SandboxId id) {
        return Optional.ofNullable(rows.get(id)).filter(row -> !row.deleted());
    }

    @Override
    public Optional<Sandbox> find(TeamId team, SandboxId id) {
        return living(id).map(this::shown).filter(row -> row.team().equals(team));
    }

    @Override
    public boolean wasDeleted(TeamId team, SandboxId id) {
        Row row = rows.get(id);
        return row != null && row.deleted() && row.sandbox().team().equals(team);
    }

    @Override
    public Optional<Sandbox> change(Sandbox from, Change change) {
        if (!from.status().mayBecome(change.to())) {
            throw new IllegalStateException("from " + from.status() + " to " + change.to());
        }
        Optional<Row> row = living(from.id())
                .filter(now ->
                        now.sandbox().status() == from.status() && now.sandbox().version() == from.version());
        return row.map(now -> {
            Row changed =
                    new Row(changed(now.sandbox(), change), change.within().map(clock.get()::plus), false);
            rows.put(from.id(), changed);
            return changed.sandbox();
        });
    }

    private Sandbox changed(Sandbox row, Change change) {
        return new Sandbox(
                row.id(),
                row.team(),
                row.hostId(),
                row.template(),
                row.snapshot(),
                change.to(),
                row.version() + 1,
                row.vcpus(),
                row.memoryMb(),
                row.timeoutSec(),
                change.hostIp(),
                row.metadata(),
                change.error(),
                change.cold(),
                row.createdAt(),
                row.startedAt()
                        .or(() -> change.to() == SandboxStatus.RUNNING ? Optional.of(clock.get()) : Optional.empty()),
                change.activity() ? Optional.of(clock.get()) : row.lastActiveAt(),
                clock.get(),
                false,
                row.deletionRequested());
    }

    @Override
    public Resumption resume(Sandbox from, Change change, TeamQuota quota) {
        return change(from, change).<Resumption>map(Resumption.Begun::new).orElseGet(Resumption.Overtaken::new);
    }

    @Override
    public void abandoned(Sandbox transition) {
        living(transition.id())
                .filter(row -> row.sandbox().version() == transition.version()
                        && row.deadline()
                                .filter(deadline -> deadline.isAfter(clock.get()))
                                .isPresent())
                .ifPresent(row -> rows.put(transition.id(), new Row(row.sandbox(), Optional.of(clock.get()), false)));
    }

    @Override
    public Optional<Sandbox> requestDeletion(TeamId team, SandboxId id) {
        return living(id).filter(row -> row.sandbox().team().equals(team)).map(row -> {
            Row requested = new Row(toBeDeleted(row.sandbox()), row.deadline(), false);
            rows.put(id, requested);
            return shown(requested);
        });
    }

    private static Sandbox toBeDeleted(Sandbox row) {
        return new Sandbox(
                row.id(),
                row.team(),
                row.hostId(),
                row.template(),
                row.snapshot(),
                row.status(),
                row.version(),
                row.vcpus(),
                row.memoryMb(),
                row.timeoutSec(),
                row.hostIp(),
                row.metadata(),
                row.error(),
                row.cold(),
                row.createdAt(),
                row.startedAt(),
                row.lastActiveAt(),
                row.lastUpdated(),
                row.overdue(),
                true);
    }

    @Override
    public boolean deleted(SandboxId id) {
        Optional<Row> row = living(id)
                .filter(now ->
                        now.sandbox().deletionRequested() && now.deadline().isEmpty());
        row.ifPresent(now -> rows.put(id, new Row(now.sandbox(), Optional.empty(), true)));
        return row.isPresent();
    }

    @Override
    public List<Sandbox> ofHost(String hostId) {
        return all().stream().filter(row -> row.hostId().equals(hostId)).toList();
    }

    List<Sandbox> all() {
        return rows.values().stream()
                .filter(row -> !row.deleted())
                .map(this::shown)
                .toList();
    }

    @Override
    public Map<String, Plan.Known> known(Collection<String> ids) {
        Map<String, Plan.Known> known = new LinkedHashMap<>();
        rows.forEach((id, row) -> {
            if (ids.contains(id.value())) {
                known.put(id.value(), row.deleted() ? Plan.Known.DELETED : Plan.Known.LIVING);
            }
        });
        return known;
    }
}
