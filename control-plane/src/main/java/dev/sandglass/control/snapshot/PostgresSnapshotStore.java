package dev.sandglass.control.snapshot;

import dev.sandglass.contract.Id.SnapshotId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.control.idempotency.Idempotency;
import dev.sandglass.control.idempotency.StoredAnswers;
import dev.sandglass.control.snapshot.Snapshot.Kept;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jdbi.v3.core.Handle;
import org.jdbi.v3.core.Jdbi;

/** In the database. */
final class PostgresSnapshotStore implements SnapshotStore {
    private static final String VISIBLE = " completed_at is not null and deleted_at is null";

    /** The team's, and those for everybody. */
    private static final String SELECT =
            "select * from snapshots where" + VISIBLE + " and (team_id = :team or team_id is null)";

    private final Jdbi jdbi;
    private final StoredAnswers answers;

    PostgresSnapshotStore(Jdbi jdbi, StoredAnswers answers) {
        this.jdbi = jdbi;
        this.answers = answers;
    }

    /** What concerns a team's names is done by one at a time. */
    private static void awaitTurn(Handle handle, TeamId team) {
        handle.createQuery("select id from teams where id = :team for update")
                .bind("team", team.value())
                .mapTo(String.class)
                .one();
    }

    @Override
    public Insertion insert(
            TeamId team, String name, String hostId, Optional<Idempotency> idempotency, int teamMax, Duration within) {
        SnapshotId id = SnapshotId.random();
        return jdbi.inTransaction(handle -> {
            awaitTurn(handle, team);
            if (idempotency.isPresent() && !answers.claim(handle, team, idempotency.get(), id)) {
                return new Insertion.Repeated();
            }
            if (count(handle, team) >= teamMax) {
                handle.rollback();
                return new Insertion.TooMany();
            }
            handle.createUpdate("""
                            insert into snapshots (id, team_id, name, type, host_id, deadline_at)
                            values (:id, :team, :name, 'snapshot', :host, now() + :within * interval '1 millisecond')
                            """)
                    .bind("id", id.value())
                    .bind("team", team.value())
                    .bind("name", name)
                    .bind("host", hostId)
                    .bind("within", within.toMillis())
                    .execute();
            return new Insertion.Inserted(id);
        });
    }

    private static int count(Handle handle, TeamId team) {
        return handle.createQuery("select count(*) from snapshots where team_id = :team and deleted_at is null")
                .bind("team", team.value())
                .mapTo(Integer.class)
                .one();
    }

    @Override
    public Completion complete(TeamId team, SnapshotId id, Made made, boolean overwrite) {
        return jdbi.inTransaction(handle -> {
            awaitTurn(handle, team);
            Optional<Condemned> replaced = overwrite ? deleteNamesake(handle, id) : Optional.empty();
            if (!overwrite && isNameTaken(handle, id)) {
                return new Completion.NameTaken();
            }
            Optional<Snapshot> complete = handle.createQuery("""
                            update snapshots set completed_at = now(), created_at = now(), size_bytes = :size,
                                vcpus = :vcpus, memory_mb = :memory
                            where id = :id and completed_at is null and deleted_at is null
                            returning *
                            """)
                    .bind("size", made.sizeBytes())
                    .bind("vcpus", made.vcpus())
                    .bind("memory", made.memoryMb())
                    .bind("id", id.value())
                    .map((row, context) -> snapshot(row))
                    .findOne();
            if (complete.isEmpty()) {
                handle.rollback(); // the one that has the name keeps it
                return new Completion.TooLate();
            }
            return new Completion.Completed(complete.get(), replaced);
        });
    }

    private static final String NAMESAKE =
            VISIBLE + " and (team_id, name) = (select team_id, name from snapshots where id = :id)";

    private static boolean isNameTaken(Handle handle, SnapshotId id) {
        return handle.createQuery("select exists (select 1 from snapshots where" + NAMESAKE + ")")
                .bind("id", id.value())
                .mapTo(Boolean.class)
                .one();
    }

    private static Optional<Condemned> deleteNamesake(Handle handle, SnapshotId id) {
        return handle.createQuery("update snapshots set deleted_at = now() where" + NAMESAKE + " returning id, host_id")
                .bind("id", id.value())
                .map((row, context) -> condemned(row))
                .findOne();
    }

    @Override
    public void giveUp(SnapshotId id, boolean forgetKey) {
        jdbi.useTransaction(handle -> {
            handle.createUpdate(
                            "update snapshots set deleted_at = now() where id = :id and completed_at is null and deleted_at is null")
                    .bind("id", id.value())
                    .execute();
            if (forgetKey) {
                answers.forget(handle, id);
            }
        });
    }

    @Override
    public Optional<Snapshot> find(TeamId team, String name) {
        return jdbi.withHandle(handle -> handle.createQuery(SELECT + " and name = :name order by type limit 1")
                .bind("team", team.value())
                .bind("name", name)
                .map((row, context) -> snapshot(row))
                .findOne());
    }

    @Override
    public List<Snapshot> list(TeamId team, Optional<SnapshotType> type) {
        return jdbi.withHandle(handle -> handle.createQuery(
                        SELECT + " and (cast(:type as text) is null or type = :type) order by created_at desc, id desc")
                .bind("team", team.value())
                .bind("type", type.map(SnapshotType::wireName))
                .map((row, context) -> snapshot(row))
                .list());
    }

    @Override
    public Optional<Condemned> delete(TeamId team, String name) {
        return jdbi.withHandle(handle -> handle.createQuery("update snapshots set deleted_at = now() where" + VISIBLE
                        + " and team_id = :team and name = :name returning id, host_id")
                .bind("team", team.value())
                .bind("name", name)
                .map((row, context) -> condemned(row))
                .findOne());
    }

    @Override
    public void removed(SnapshotId id) {
        jdbi.useHandle(handle -> handle.createUpdate("""
                        update snapshots set removed_at = now() where id = :id and deleted_at is not null
                          and removed_at is null and (completed_at is not null or deadline_at < now())
                        """).bind("id", id.value()).execute());
    }

    @Override
    public List<Condemned> condemned() {
        return jdbi.inTransaction(handle -> {
            handle.execute("""
                    update snapshots set deleted_at = now()
                    where completed_at is null and deleted_at is null and deadline_at < now()
                    """);
            return handle.createQuery("""
                            select id, host_id from snapshots
                            where deleted_at is not null and removed_at is null
                              and (completed_at is not null or deadline_at < now())
                            """).map((row, context) -> condemned(row)).list();
        });
    }

    @Override
    public Map<String, Expected> expectedOn(String hostId) {
        return jdbi.withHandle(handle -> handle.createQuery(
                        "select id, lost_at is not null as lost from snapshots where host_id = :host and" + VISIBLE)
                .bind("host", hostId)
                .reduceRows(new HashMap<>(), (all, row) -> {
                    all.put(row.getColumn("id", String.class), new Expected(row.getColumn("lost", Boolean.class)));
                    return all;
                }));
    }

    @Override
    public Map<String, Boolean> known(Set<String> ids) {
        if (ids.isEmpty()) {
            return Map.of();
        }
        return jdbi.withHandle(handle -> handle.createQuery(
                        "select id, removed_at is not null as removed from snapshots where id = any(:ids)")
                .bindArray("ids", String.class, ids)
                .reduceRows(new HashMap<>(), (all, row) -> {
                    all.put(row.getColumn("id", String.class), row.getColumn("removed", Boolean.class));
                    return all;
                }));
    }

    @Override
    public void markLost(List<String> ids, boolean lost) {
        if (!ids.isEmpty()) {
            jdbi.useHandle(handle -> handle.createUpdate(
                            "update snapshots set lost_at = case when :lost then now() end where id = any(:ids) and"
                                    + VISIBLE)
                    .bind("lost", lost)
                    .bindArray("ids", String.class, ids)
                    .execute());
        }
    }

    /** The row of a snapshot stays while a sandbox was made from it. */
    @Override
    public void tidy() {
        jdbi.useHandle(handle -> handle.execute("""
                delete from snapshots s where removed_at < now() - interval '24 hours'
                  and not exists (select 1 from sandboxes where snapshot_id = s.id)
                """));
    }

    private static Condemned condemned(ResultSet row) throws SQLException {
        return new Condemned(new SnapshotId(row.getString("id")), row.getString("host_id"));
    }

    private static Snapshot snapshot(ResultSet row) throws SQLException {
        Optional<String> host = Optional.ofNullable(row.getString("host_id"));
        int vcpus = row.getInt("vcpus");
        int memoryMb = row.getInt("memory_mb");
        return new Snapshot(
                new SnapshotId(row.getString("id")),
                row.getString("name"),
                host.map(id -> new Kept(id, vcpus, memoryMb)),
                row.getLong("size_bytes"),
                row.getObject("created_at", OffsetDateTime.class).toInstant(),
                row.getObject("lost_at") != null);
    }
}
