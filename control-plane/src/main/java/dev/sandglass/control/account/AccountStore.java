package dev.sandglass.control.account;

import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.Id.UserId;
import java.util.List;
import java.util.Optional;
import org.jdbi.v3.core.Handle;
import org.jdbi.v3.core.Jdbi;

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
                .map((row, context) -> new Account(
                        new UserId(row.getString("id")),
                        new TeamId(row.getString("team_id")),
                        row.getString("email"),
                        Optional.ofNullable(row.getString("password_hash"))))
                .findOne());
    }

    /** User, team and membership, all or none. A taken e-mail is a unique violation. */
    Account insert(String email, Optional<String> passwordHash) {
        UserId user = UserId.random();
        TeamId team = TeamId.random();
        jdbi.useTransaction(handle -> {
            handle.createUpdate("insert into users (id, email, password_hash) values (:id, :email, :hash)")
                    .bind("id", user.value())
                    .bind("email", email)
                    .bind("hash", passwordHash)
                    .execute();
            insertTeam(handle, team, user, email + "'s Team");
        });
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
