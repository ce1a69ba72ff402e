package dev.sandglass.control.sandbox;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.control.http.Json;
import java.nio.charset.StandardCharsets;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jdbi.v3.core.Handle;
import org.jdbi.v3.core.Jdbi;

/** Sandboxes and idempotency keys in the database. */
final class SandboxStore {
    /** What became of an attempt to insert. */
    sealed interface Insertion {
        record Inserted(Sandbox sandbox) implements Insertion {}

        /** The team has what it may have; {@code limit} says of what. */
        record OverQuota(String limit) implements Insertion {}

        /** The Idempotency-Key has been used. */
        record Repeated() implements Insertion {}
    }

    /** An Idempotency-Key that has been used; no answer while the first request is under way. */
    record Earlier(String requestHash, Optional<Answer> answer) {}

    record Filter(Optional<SandboxStatus> status, Map<String, String> metadata, Optional<Cursor> after, int limit) {}

    private static final Duration KEYS_KEPT = Duration.ofHours(24);

    private final Jdbi jdbi;

    SandboxStore(Jdbi jdbi) {
        this.jdbi = jdbi;
    }

    /** One transaction: the team's turn, its quota, the key, the row. */
    Insertion insert(
            TeamId team,
            String hostId,
            SandboxSpec spec,
            Optional<Idempotency> idempotency,
            TeamQuota quota,
            Duration deadline) {
        SandboxId id = SandboxId.random();
        return jdbi.inTransaction(handle -> {
            handle.createQuery("select id from teams where id = :team for update")
                    .bind("team", team.value())
                    .mapTo(String.class)
                    .one();
            if (idempotency.isPresent() && !claim(handle, team, idempotency.get(), id)) {
                return new Insertion.Repeated();
            }
            Optional<String> limit = exceeded(handle, team, spec, quota);
            if (limit.isPresent()) {
                handle.rollback();
                return new Insertion.OverQuota(limit.get());
            }
            return new Insertion.Inserted(insertRow(handle, id, team, hostId, spec, deadline));
        });
    }

    private static boolean claim(Handle handle, TeamId team, Idempotency idempotency, SandboxId subject) {
        handle.createUpdate("delete from idempotency_keys where team_id = :team and key = :key and expires_at < now()")
                .bind("team", team.value())
                .bind("key", idempotency.key())
                .execute();
        return handle.createUpdate("""
                        insert into idempotency_keys (team_id, key, request_hash, subject, expires_at)
                        values (:team, :key, :hash, :subject, now() + :kept * interval '1 second')
                        on conflict do nothing
                        """)
                        .bind("team", team.value())
                        .bind("key", idempotency.key())
                        .bind("hash", idempotency.requestHash())
                        .bind("subject", subject.value())
                        .bind("kept", KEYS_KEPT.toSeconds())
                        .execute()
                == 1;
    }

    private static Optional<String> exceeded(Handle handle, TeamId team, SandboxSpec spec, TeamQuota quota) {
        return handle.createQuery("""
                        select count(*) as sandboxes, coalesce(sum(memory_mb) filter
                            (where status in ('pending', 'running', 'pausing', 'resuming')), 0) as memory_mb
                        from sandboxes where team_id = :team and deleted_at is null and delete_requested_at is null
                        """)
                .bind("team", team.value())
                .map((row, context) -> {
                    if (row.getLong("sandboxes") >= quota.sandboxes()) {
                        return Optional.of("The team has " + quota.sandboxes()
                                + " sandboxes, the most it may have: delete some that are not needed.");
                    }
                    if (row.getLong("memory_mb") + spec.memoryMb() > quota.memoryMb()) {
                        return Optional.of("The team's living sandboxes may have " + quota.memoryMb()
                                + " MiB of memory together: delete some, or ask for less memory_mb.");
                    }
                    return Optional.<String>empty();
                })
                .one();
    }

    private static Sandbox insertRow(
            Handle handle, SandboxId id, TeamId team, String hostId, SandboxSpec spec, Duration deadline) {
        return handle.createQuery("""
                        insert into sandboxes (id, team_id, host_id, template, status, vcpus, memory_mb, timeout_sec,
                            metadata, deadline_at)
                        values (:id, :team, :host, :template, 'pending', :vcpus, :memory, :timeout,
                            cast(:metadata as jsonb), now() + :deadline * interval '1 second')
                        returning *
                        """)
                .bind("id", id.value())
                .bind("team", team.value())
                .bind("host", hostId)
                .bind("template", spec.template())
                .bind("vcpus", spec.vcpus())
                .bind("memory", spec.memoryMb())
                .bind("timeout", spec.timeoutSec())
                .bind("metadata", Json.writeText(spec.metadata()))
                .bind("deadline", deadline.toSeconds())
                .map((row, context) -> sandbox(row))
                .one();
    }

    Optional<Earlier> findEarlier(TeamId team, String key) {
        return jdbi.withHandle(handle -> handle.createQuery("""
                        select request_hash, response from idempotency_keys
                        where team_id = :team and key = :key and expires_at > now()
                        """)
                .bind("team", team.value())
                .bind("key", key)
                .map((row, context) -> new Earlier(
                        row.getString("request_hash"),
                        Optional.ofNullable(row.getString("response")).map(Answer::fromJson)))
                .findOne());
    }

    /** Writes down what the one who first used the key was told. */
    void answered(SandboxId subject, Answer answer) {
        jdbi.useHandle(handle -> handle.createUpdate(
                        "update idempotency_keys set response = cast(:answer as json) where subject = :subject and response is null")
                .bind("answer", answer.toJson())
                .bind("subject", subject.value())
                .execute());
    }

    /** Undoes an insertion from which nothing has come, its key included. */
    void withdraw(SandboxId id) {
        jdbi.useTransaction(handle -> {
            handle.createUpdate("delete from idempotency_keys where subject = :id")
                    .bind("id", id.value())
                    .execute();
            handle.createUpdate("delete from sandboxes where id = :id and status = 'pending'")
                    .bind("id", id.value())
                    .execute();
        });
    }

    Optional<Sandbox> find(TeamId team, SandboxId id) {
        return jdbi.withHandle(handle -> handle.createQuery(
                        "select * from sandboxes where id = :id and team_id = :team and deleted_at is null")
                .bind("id", id.value())
                .bind("team", team.value())
                .map((row, context) -> sandbox(row))
                .findOne());
    }

    /** Whether the team had it, and it has been deleted not long ago. */
    boolean wasDeleted(TeamId team, SandboxId id) {
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
        return jdbi.withHandle(handle -> handle.createQuery("""
                        select * from sandboxes
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

    /** pending → running; empty when the row is no longer where it was. */
    Optional<Sandbox> started(Sandbox pending, String hostIp) {
        return jdbi.withHandle(handle -> handle.createQuery("""
                        update sandboxes set status = 'running', version = version + 1, host_ip = :ip, deadline_at = null,
                            started_at = now(), last_active_at = now(), last_updated = now()
                        where id = :id and status = 'pending' and version = :version and deleted_at is null
                        returning *
                        """)
                .bind("id", pending.id().value())
                .bind("version", pending.version())
                .bind("ip", hostIp.isEmpty() ? null : hostIp)
                .map((row, context) -> sandbox(row))
                .findOne());
    }

    /** To stopped or error, from the state and version that {@code from} has. */
    boolean ended(Sandbox from, SandboxStatus to, String why) {
        return jdbi.withHandle(handle -> handle.createUpdate("""
                        update sandboxes set status = :to, version = version + 1, error = :why, deadline_at = null,
                            host_ip = null, last_updated = now()
                        where id = :id and status = :from and version = :version and deleted_at is null
                        """)
                        .bind("to", to.wireName())
                        .bind("why", why)
                        .bind("id", from.id().value())
                        .bind("from", from.status().wireName())
                        .bind("version", from.version())
                        .execute()
                == 1);
    }

    /** The row as it is afterwards; empty when there is none. */
    Optional<Sandbox> requestDeletion(TeamId team, SandboxId id) {
        return jdbi.withHandle(handle -> handle.createQuery("""
                        update sandboxes set delete_requested_at = coalesce(delete_requested_at, now()), last_updated = now()
                        where id = :id and team_id = :team and deleted_at is null
                        returning *
                        """)
                .bind("id", id.value())
                .bind("team", team.value())
                .map((row, context) -> sandbox(row))
                .findOne());
    }

    /** Its host has confirmed. What is still being made is not deleted before that has ended. */
    boolean deleted(SandboxId id) {
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

    // ---- for the settler

    /** All of a host that are not deleted. */
    List<Sandbox> ofHost(String hostId) {
        return jdbi.withHandle(handle -> handle.createQuery(
                        "select * from sandboxes where host_id = :host and deleted_at is null order by created_at")
                .bind("host", hostId)
                .map((row, context) -> sandbox(row))
                .list());
    }

    /** Nobody works any more at what is in transition on this host. */
    void interrupted(String hostId) {
        jdbi.useHandle(handle -> handle.createUpdate(
                        "update sandboxes set deadline_at = now() where host_id = :host and deadline_at > now()")
                .bind("host", hostId)
                .execute());
    }

    Set<String> overdue() {
        return jdbi.withHandle(handle -> handle.createQuery(
                        "select id from sandboxes where deleted_at is null and deadline_at < now()")
                .mapTo(String.class)
                .set());
    }

    /** Forgets what nobody can ask for any more. */
    void tidy() {
        jdbi.useHandle(handle -> {
            handle.execute("delete from idempotency_keys where expires_at < now()");
            handle.execute("delete from sandboxes where deleted_at < now() - interval '24 hours'");
        });
    }

    /** Runs {@code work} if no other control plane is doing the same just now. */
    void asLeader(long lock, Runnable work) {
        jdbi.useTransaction(handle -> {
            boolean leader = handle.createQuery("select pg_try_advisory_xact_lock(:lock)")
                    .bind("lock", lock)
                    .mapTo(Boolean.class)
                    .one();
            if (leader) {
                work.run();
            }
        });
    }

    private static Sandbox sandbox(ResultSet row) throws SQLException {
        return new Sandbox(
                new SandboxId(row.getString("id")),
                new TeamId(row.getString("team_id")),
                row.getString("host_id"),
                row.getString("template"),
                SandboxStatus.named(row.getString("status")).orElseThrow(),
                row.getLong("version"),
                row.getInt("vcpus"),
                row.getInt("memory_mb"),
                row.getInt("timeout_sec"),
                Optional.ofNullable(row.getString("host_ip")),
                metadata(row.getString("metadata")),
                Optional.ofNullable(row.getString("error")),
                instant(row, "created_at").orElseThrow(),
                instant(row, "started_at"),
                instant(row, "last_active_at"),
                instant(row, "last_updated").orElseThrow(),
                row.getObject("delete_requested_at", OffsetDateTime.class) != null);
    }

    @SuppressWarnings("unchecked")
    private static Map<String, String> metadata(String json) {
        return (Map<String, String>) Json.read(json.getBytes(StandardCharsets.UTF_8), LinkedHashMap.class);
    }

    private static Optional<Instant> instant(ResultSet row, String column) throws SQLException {
        return Optional.ofNullable(row.getObject(column, OffsetDateTime.class)).map(OffsetDateTime::toInstant);
    }
}
