package dev.sandglass.control.sandbox;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.control.database.Database;
import dev.sandglass.control.database.SharedReads;
import dev.sandglass.control.http.Json;
import dev.sandglass.control.idempotency.Answer;
import dev.sandglass.control.idempotency.Idempotency;
import dev.sandglass.control.idempotency.StoredAnswers;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jdbi.v3.core.Handle;
import org.jdbi.v3.core.Jdbi;

/** In the database. */
final class PostgresSandboxStore implements SandboxStore {
    record Filter(Optional<SandboxStatus> status, Map<String, String> metadata, Optional<Cursor> after, int limit) {}

    /** A team's sandbox: of another team's there is none. */
    private record Key(TeamId team, SandboxId id) {}

    private static final String SELECT = "select *, coalesce(deadline_at < now(), false) as overdue from sandboxes ";
    private static final String FIND = SELECT + "where id = any(?) and deleted_at is null";
    private static final String RETURNING = " returning *, coalesce(deadline_at < now(), false) as overdue";

    /**
     * What a transition's beginning is written with: its commit does not wait for the disk. The end of the transition
     * does, and comes after it in the same log; and if the database loses the beginning, rows are compared with hosts.
     */
    private static final String COMMIT_SOON = "set_config('synchronous_commit', 'off', true)";

    private final Database database;
    private final Jdbi jdbi;
    private final StoredAnswers answers;
    private final SharedReads<Key, Sandbox> reads = new SharedReads<>(this::read);

    PostgresSandboxStore(Database database, StoredAnswers answers) {
        this.database = database;
        this.jdbi = database.jdbi();
        this.answers = answers;
    }

    @Override
    public Insertion insert(New wanted, Optional<Idempotency> idempotency, TeamQuota quota, Duration within) {
        SandboxId id = SandboxId.random();
        return jdbi.inTransaction(handle -> {
            awaitTurn(handle, wanted.team());
            if (idempotency.isEmpty()) { // a key that was used is not forgotten, whatever happens
                handle.createQuery("select " + COMMIT_SOON).mapTo(String.class).one();
            }
            if (idempotency.isPresent() && !answers.claim(handle, wanted.team(), idempotency.get(), id)) {
                return new Insertion.Repeated();
            }
            Holding holding = holding(handle, wanted.team());
            Optional<String> limit =
                    holding.tooMany(quota).or(() -> holding.tooMuch(wanted.vcpus(), wanted.memoryMb(), quota));
            if (limit.isPresent()) {
                handle.rollback();
                return new Insertion.OverQuota(limit.get());
            }
            return new Insertion.Inserted(insertRow(handle, id, wanted, within));
        });
    }

    /** What counts a team's sandboxes is done by one at a time. */
    private static void awaitTurn(Handle handle, TeamId team) {
        handle.createQuery("select id from teams where id = :team for update")
                .bind("team", team.value())
                .mapTo(String.class)
                .one();
    }

    /** What a team has: sandboxes in any state, and vCPUs and memory of those that are alive. */
    private record Holding(long sandboxes, long vcpus, long memoryMb) {
        Optional<String> tooMany(TeamQuota quota) {
            return sandboxes < quota.sandboxes()
                    ? Optional.empty()
                    : Optional.of("The team has " + quota.sandboxes()
                            + " sandboxes, the most it may have: delete some that are not needed.");
        }

        Optional<String> tooMuch(int moreVcpus, int moreMb, TeamQuota quota) {
            if (vcpus + moreVcpus > quota.vcpus()) {
                return Optional.of("The team's living sandboxes may have " + quota.vcpus()
                        + " vcpus together, and have " + vcpus + ": pause or delete some, or ask for less vcpus.");
            }
            if (memoryMb + moreMb > quota.memoryMb()) {
                return Optional.of("The team's living sandboxes may have " + quota.memoryMb()
                        + " MiB of memory together, and have " + memoryMb
                        + ": pause or delete some, or ask for less memory_mb.");
            }
            return Optional.empty();
        }
    }

    private static Holding holding(Handle handle, TeamId team) {
        return handle.createQuery("""
                        select count(*) as sandboxes,
                            coalesce(sum(vcpus) filter (where alive), 0) as vcpus,
                            coalesce(sum(memory_mb) filter (where alive), 0) as memory_mb
                        from (select *, status in ('pending', 'running', 'pausing', 'resuming') as alive from sandboxes) s
                        where team_id = :team and deleted_at is null and delete_requested_at is null
                        """)
                .bind("team", team.value())
                .map((row, context) ->
                        new Holding(row.getLong("sandboxes"), row.getLong("vcpus"), row.getLong("memory_mb")))
                .one();
    }

    private static Sandbox insertRow(Handle handle, SandboxId id, New wanted, Duration within) {
        return handle.createQuery("""
                        insert into sandboxes (id, team_id, host_id, template, snapshot_id, status, vcpus, memory_mb,
                            timeout_sec, metadata, deadline_at)
                        values (:id, :team, :host, :template, :snapshot, 'pending', :vcpus, :memory, :timeout,
                            cast(:metadata as jsonb), now() + :within * interval '1 millisecond')
                        """ + RETURNING)
                .bind("id", id.value())
                .bind("team", wanted.team().value())
                .bind("host", wanted.hostId())
                .bind("template", wanted.template().name())
                .bind(
                        "snapshot",
                        wanted.template()
                                .snapshot()
                                .map(snapshot -> snapshot.id().value()))
                .bind("vcpus", wanted.vcpus())
                .bind("memory", wanted.memoryMb())
                .bind("timeout", wanted.spec().timeoutSec())
                .bind("metadata", Json.writeText(wanted.spec().metadata()))
                .bind("within", within.toMillis())
                .map((row, context) -> sandbox(row))
                .one();
    }

    @Override
    public void answered(SandboxId subject, Answer answer) {
        answers.answered(subject, answer);
    }

    @Override
    public void withdraw(SandboxId id) {
        jdbi.useTransaction(handle -> {
            answers.forget(handle, id);
            handle.createUpdate("delete from sandboxes where id = :id and status = 'pending'")
                    .bind("id", id.value())
                    .execute();
        });
    }

    @Override
    public Optional<Sandbox> find(TeamId team, SandboxId id) {
        return reads.find(new Key(team, id));
    }

    /** By far the most frequent query, and in the way of every request: Jdbi's handle and mapping cost more than it. */
    private Map<Key, Sandbox> read(Set<Key> keys) {
        try (Connection connection = database.connection();
                PreparedStatement query = connection.prepareStatement(FIND)) {
            Object[] ids = keys.stream().map(key -> key.id().value()).toArray();
            query.setArray(1, connection.createArrayOf("text", ids));
            Map<Key, Sandbox> found = HashMap.newHashMap(keys.size());
            try (ResultSet rows = query.executeQuery()) {
                while (rows.next()) {
                    Sandbox sandbox = sandbox(rows);
                    found.put(new Key(sandbox.team(), sandbox.id()), sandbox);
                }
            }
            return found;
        } catch (SQLException e) {
            throw new IllegalStateException("read sandboxes", e);
        }
    }

    @Override
    public boolean wasDeleted(TeamId team, SandboxId id) {
        return jdbi.withHandle(handle -> handle.createQuery("""
                        select exists (select 1 from sandboxes
                            where id = :id and team_id = :team and deleted_at is not null)
                        """)
                .bind("id", id.value())
                .bind("team", team.value())
                .mapTo(Boolean.class)
                .one());
    }

    /** Newest first. */
    List<Sandbox> list(TeamId team, Filter filter) {
        return jdbi.withHandle(handle -> handle.createQuery(SELECT + """
                        where team_id = :team and deleted_at is null
                          and (cast(:status as text) is null
                            or case when delete_requested_at is null then status else 'error' end = :status)
                          and metadata @> cast(:metadata as jsonb)
                          and (cast(:before as timestamptz) is null or (created_at, id) < (:before, :id))
                        order by created_at desc, id desc limit :limit
                        """)
                .bind("team", team.value())
                .bind("status", filter.status().map(SandboxStatus::wireName))
                .bind("metadata", Json.writeText(filter.metadata()))
                .bind("before", filter.after().map(cursor -> cursor.createdAt().atOffset(ZoneOffset.UTC)))
                .bind("id", filter.after().map(cursor -> cursor.id().value()))
                .bind("limit", filter.limit())
                .map((row, context) -> sandbox(row))
                .list());
    }

    @Override
    public Optional<Sandbox> change(Sandbox from, Change change) {
        return jdbi.withHandle(handle -> change(handle, from, change));
    }

    private static Optional<Sandbox> change(Handle handle, Sandbox from, Change change) {
        if (!from.status().mayBecome(change.to())) {
            throw new IllegalStateException("from " + from.status() + " to " + change.to());
        }
        return handle.createQuery("""
                        update sandboxes set status = :to, version = version + 1, host_ip = :ip, error = :error,
                            cold = :cold, deadline_at = now() + cast(:within as bigint) * interval '1 millisecond',
                            started_at = case when :to = 'running' then coalesce(started_at, now()) else started_at end,
                            last_active_at = case when :activity then now() else last_active_at end,
                            last_updated = now()
                        where id = :id and status = :from and version = :version and deleted_at is null
                        """ + RETURNING + (change.to().isTransition() ? ", " + COMMIT_SOON : ""))
                .bind("to", change.to().wireName())
                .bind("ip", change.hostIp())
                .bind("error", change.error())
                .bind("cold", change.cold())
                .bind("within", change.within().map(Duration::toMillis))
                .bind("activity", change.activity())
                .bind("id", from.id().value())
                .bind("from", from.status().wireName())
                .bind("version", from.version())
                .map((row, context) -> sandbox(row))
                .findOne();
    }

    @Override
    public Resumption resume(Sandbox from, Change change, TeamQuota quota) {
        return jdbi.inTransaction(handle -> {
            awaitTurn(handle, from.team());
            Optional<String> limit = holding(handle, from.team()).tooMuch(from.vcpus(), from.memoryMb(), quota);
            if (limit.isPresent()) {
                return new Resumption.OverQuota(limit.get());
            }
            return change(handle, from, change)
                    .<Resumption>map(Resumption.Begun::new)
                    .orElseGet(Resumption.Overtaken::new);
        });
    }

    @Override
    public void abandoned(Sandbox transition) {
        jdbi.useHandle(handle -> handle.createUpdate(
                        "update sandboxes set deadline_at = now() where id = :id and version = :version and deadline_at > now()")
                .bind("id", transition.id().value())
                .bind("version", transition.version())
                .execute());
    }

    @Override
    public Optional<Sandbox> requestDeletion(TeamId team, SandboxId id) {
        return jdbi.withHandle(handle -> handle.createQuery("""
                        update sandboxes set delete_requested_at = coalesce(delete_requested_at, now()), last_updated = now()
                        where id = :id and team_id = :team and deleted_at is null
                        """ + RETURNING)
                .bind("id", id.value())
                .bind("team", team.value())
                .map((row, context) -> sandbox(row))
                .findOne());
    }

    @Override
    public boolean deleted(SandboxId id) {
        return jdbi.withHandle(
                handle -> handle.createUpdate("""
                        update sandboxes set deleted_at = now(), version = version + 1, last_updated = now(), host_ip = null
                        where id = :id and delete_requested_at is not null and deleted_at is null and deadline_at is null
                        """).bind("id", id.value()).execute() == 1);
    }

    /** Somebody has used them. */
    void touched(Set<SandboxId> ids) {
        jdbi.useHandle(handle -> handle.createUpdate(
                        "update sandboxes set last_active_at = now() where id = any(:ids) and status = 'running'")
                .bindArray(
                        "ids", String.class, ids.stream().map(SandboxId::value).toList())
                .execute());
    }

    @Override
    public List<Sandbox> ofHost(String hostId) {
        return jdbi.withHandle(handle -> handle.createQuery(
                        SELECT + "where host_id = :host and deleted_at is null order by created_at")
                .bind("host", hostId)
                .map((row, context) -> sandbox(row))
                .list());
    }

    @Override
    public Map<String, Plan.Known> known(Collection<String> ids) {
        return jdbi.withHandle(handle -> handle.createQuery(
                        "select id, deleted_at is not null as deleted from sandboxes where id = any(:ids)")
                .bindArray("ids", String.class, List.copyOf(ids))
                .reduceRows(new HashMap<>(), (known, row) -> {
                    boolean deleted = row.getColumn("deleted", Boolean.class);
                    known.put(row.getColumn("id", String.class), deleted ? Plan.Known.DELETED : Plan.Known.LIVING);
                    return known;
                }));
    }

    /** Nobody works any more at what is in transition on this host. */
    void interrupted(String hostId) {
        jdbi.useHandle(handle -> handle.createUpdate(
                        "update sandboxes set deadline_at = now() where host_id = :host and deadline_at > now()")
                .bind("host", hostId)
                .execute());
    }

    /** Forgets what nobody can ask for any more. */
    void tidy() {
        answers.tidy();
        jdbi.useHandle(
                handle -> handle.execute("delete from sandboxes where deleted_at < now() - interval '24 hours'"));
    }

    private static Sandbox sandbox(ResultSet row) throws SQLException {
        return new Sandbox(
                new SandboxId(row.getString("id")),
                new TeamId(row.getString("team_id")),
                row.getString("host_id"),
                row.getString("template"),
                Optional.ofNullable(row.getString("snapshot_id")).map(SnapshotId::new),
                SandboxStatus.named(row.getString("status")).orElseThrow(),
                row.getLong("version"),
                row.getInt("vcpus"),
                row.getInt("memory_mb"),
                row.getInt("timeout_sec"),
                Optional.ofNullable(row.getString("host_ip")),
                metadata(row.getString("metadata")),
                Optional.ofNullable(row.getString("error")),
                row.getBoolean("cold"),
                instant(row, "created_at").orElseThrow(),
                instant(row, "started_at"),
                instant(row, "last_active_at"),
                instant(row, "last_updated").orElseThrow(),
                row.getBoolean("overdue"),
                row.getObject("delete_requested_at", OffsetDateTime.class) != null);
    }

    @SuppressWarnings("unchecked")
    private static Map<String, String> metadata(String json) {
        return json.equals("{}")
                ? Map.of()
                : (Map<String, String>) Json.read(json.getBytes(StandardCharsets.UTF_8), LinkedHashMap.class);
    }

    private static Optional<Instant> instant(ResultSet row, String column) throws SQLException {
        return Optional.ofNullable(row.getObject(column, OffsetDateTime.class)).map(OffsetDateTime::toInstant);
    }
}
