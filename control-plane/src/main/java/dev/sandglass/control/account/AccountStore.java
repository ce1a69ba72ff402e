package dev.sandglass.control.account;

import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.Id.UserId;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.List;
import java.util.Optional;
import org.jdbi.v3.core.Handle;
import org.jdbi.v3.core.Jdbi;
import org.jdbi.v3.core.statement.StatementContext;

/** Users, teams and who belongs to which, in the database. */
final class AccountStore {
    /** A user with their default team. */
    record Account(UserId user, TeamId team, String email, Optional<String> passwordHash) {}

    record Membership(TeamId team, String name, String role, boolean isDefault) {}

    private final Jdbi jdbi;

    AccountStore(Jdbi jdbi) {
        this.jdbi = jdbi;
    }

    Optional<Account> find(String email) {
        return jdbi.withHandle(handle -> handle.createQuery("""
                        select u.id, u.email, u.password_hash, t.team_id
                        from users u join users_teams t on t.user_id = u.id and t.is_default
                        where u.email = :email
                        """)
                .bind("email", email)
                .map(AccountStore::account)
                .findOne());
    }

    /** The user that this identity belongs to; its e-mail and name do not matter. */
    Optional<Account> find(ExternalIdentity identity) {
        return jdbi.withHandle(handle -> handle.createQuery("""
                        select u.id, u.email, u.password_hash, t.team_id
                        from oauth_providers o
                        join users u on u.id = o.user_id
                        join users_teams t on t.user_id = u.id and t.is_default
                        where o.provider = :provider and o.provider_id = :provider_id
                        """)
                .bind("provider", identity.provider())
                .bind("provider_id", identity.providerId())
                .map(AccountStore::account)
                .findOne());
    }

    private static Account account(ResultSet row, StatementContext context) throws SQLException {
        return new Account(
                new UserId(row.getString("id")),
                new TeamId(row.getString("team_id")),
                row.getString("email"),
                Optional.ofNullable(row.getString("password_hash")));
    }

    /** User, team and membership, all or none. A taken e-mail is a unique violation. */
    Account insert(String email, Optional<String> passwordHash) {
        return jdbi.inTransaction(handle -> insert(handle, email, passwordHash, email + "'s Team"));
    }

    /** As the other, without a password, and the identity. A taken e-mail or a known identity is a unique violation. */
    Account insert(ExternalIdentity identity) {
        return jdbi.inTransaction(handle -> {
            Account account = insert(handle, identity.email(), Optional.empty(), identity.displayName() + "'s Team");
            handle.createUpdate("""
                            insert into oauth_providers (provider, provider_id, user_id, email)
                            values (:provider, :provider_id, :user, :email)
                            """)
                    .bind("provider", identity.provider())
                    .bind("provider_id", identity.providerId())
                    .bind("user", account.user().value())
                    .bind("email", identity.email())
                    .execute();
            return account;
        });
    }

    private static Account insert(Handle handle, String email, Optional<String> passwordHash, String teamName) {
        UserId user = UserId.random();
        TeamId team = TeamId.random();
        handle.createUpdate("insert into users (id, email, password_hash) values (:id, :email, :hash)")
                .bind("id", user.value())
                .bind("email", email)
                .bind("hash", passwordHash)
                .execute();
        insertTeam(handle, team, user, teamName);
        return new Account(user, team, email, passwordHash);
    }

    private static void insertTeam(Handle handle, TeamId team, UserId user, String name) {
        handle.createUpdate("insert into teams (id, name) values (:id, :name)")
                .bind("id", team.value())
                .bind("name", name)
                .execute();
        handle.createUpdate("""
                        insert into users_teams (team_id, user_id, is_default, role)
                        values (:team, :user, true, 'owner')
                        """)
                .bind("team", team.value())
                .bind("user", user.value())
                .execute();
    }

    List<Membership> teams(UserId user) {
        return jdbi.withHandle(handle -> handle.createQuery("""
                        select t.id, t.name, m.role, m.is_default
                        from users_teams m join teams t on t.id = m.team_id
                        where m.user_id = :user order by m.created_at, t.id
                        """)
                .bind("user", user.value())
                .map((row, context) -> new Membership(
                        new TeamId(row.getString("id")),
                        row.getString("name"),
                        row.getString("role"),
                        row.getBoolean("is_default")))
                .list());
    }

    List<String> providers(UserId user) {
        return jdbi.withHandle(
                handle -> handle.createQuery("select provider from oauth_providers where user_id = :user order by 1")
                        .bind("user", user.value())
                        .mapTo(String.class)
                        .list());
    }
}
