package dev.sandglass.control.apikey;

import dev.sandglass.contract.Id.ApiKeyId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.Id.UserId;
import dev.sandglass.control.http.Caller;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jdbi.v3.core.Jdbi;

/** Keys in the database. */
final class ApiKeyStore {
    private final Jdbi jdbi;

    ApiKeyStore(Jdbi jdbi) {
        this.jdbi = jdbi;
    }

    /** False when the team has {@code keysMax} keys already. */
    boolean insert(ApiKeyId id, TeamId team, String name, KeyText text, UserId createdBy, int keysMax) {
        return jdbi.inTransaction(handle -> {
            handle.createQuery("select id from teams where id = :team for update")
                    .bind("team", team.value())
                    .mapTo(String.class)
                    .one();
            return handle.createUpdate("""
                            insert into team_api_keys (id, team_id, name, key_hash, key_prefix, created_by)
                            select :id, :team, :name, :hash, :prefix, :by
                            where (select count(*) from team_api_keys where team_id = :team) < :max
                            """)
                            .bind("id", id.value())
                            .bind("team", team.value())
                            .bind("name", name)
                            .bind("hash", text.hash())
                            .bind("prefix", text.shownPrefix())
                            .bind("by", createdBy.value())
                            .bind("max", keysMax)
                            .execute()
                    == 1;
        });
    }

    List<ApiKey> list(TeamId team) {
        return jdbi.withHandle(handle -> handle.createQuery(
                        "select * from team_api_keys where team_id = :team order by created_at desc, id desc")
                .bind("team", team.value())
                .map((row, context) -> key(row))
                .list());
    }

    Optional<ApiKey> find(TeamId team, ApiKeyId id) {
        return jdbi.withHandle(
                handle -> handle.createQuery("select * from team_api_keys where team_id = :team and id = :id")
                        .bind("team", team.value())
                        .bind("id", id.value())
                        .map((row, context) -> key(row))
                        .findOne());
    }

    Optional<Caller.ByKey> findByHash(String hash) {
        return jdbi.withHandle(handle -> handle.createQuery(
                        "select id, team_id from team_api_keys where key_hash = :hash")
                .bind("hash", hash)
                .map((row, context) ->
                        new Caller.ByKey(new ApiKeyId(row.getString("id")), new TeamId(row.getString("team_id"))))
                .findOne());
    }

    /** The hash of the key that was deleted. */
    Optional<String> delete(TeamId team, ApiKeyId id) {
        return jdbi.withHandle(handle -> handle.createQuery(
                        "delete from team_api_keys where team_id = :team and id = :id returning key_hash")
                .bind("team", team.value())
                .bind("id", id.value())
                .mapTo(String.class)
                .findOne());
    }

    void used(Set<ApiKeyId> keys) {
        jdbi.useHandle(handle -> handle.createUpdate("""
                        update team_api_keys set last_used = now()
                        where id = any(:ids) and (last_used is null or last_used < now() - interval '1 minute')
                        """)
                .bindArray(
                        "ids", String.class, keys.stream().map(ApiKeyId::value).toList())
                .execute());
    }

    private static ApiKey key(ResultSet row) throws SQLException {
        return new ApiKey(
                new ApiKeyId(row.getString("id")),
                new TeamId(row.getString("team_id")),
                row.getString("name"),
                row.getString("key_prefix"),
                new UserId(row.getString("created_by")),
                instant(row, "created_at").orElseThrow(),
                instant(row, "last_used"));
    }

    private static Optional<Instant> instant(ResultSet row, String column) throws SQLException {
        return Optional.ofNullable(row.getObject(column, OffsetDateTime.class)).map(OffsetDateTime::toInstant);
    }
}
