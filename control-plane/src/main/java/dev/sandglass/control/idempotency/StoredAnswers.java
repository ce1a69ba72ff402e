package dev.sandglass.control.idempotency;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.PlatformException;
import java.time.Duration;
import java.util.Optional;
import org.jdbi.v3.core.Handle;
import org.jdbi.v3.core.Jdbi;

/** Idempotency keys in the database, each with the answer to the request that first used it. Thread-safe. */
public final class StoredAnswers {
    /** A key that has been used; no answer while the first request is under way. */
    private record Earlier(String requestHash, Optional<Answer> answer) {}

    private static final Duration KEPT = Duration.ofHours(24);
    private static final Duration POLL = Duration.ofMillis(50);

    private final Jdbi jdbi;

    public StoredAnswers(Jdbi jdbi) {
        this.jdbi = jdbi;
    }

    /** Within the transaction that inserts {@code subject}: whether the key is free, and now taken. */
    public boolean claim(Handle handle, TeamId team, Idempotency idempotency, Id subject) {
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
                        .bind("kept", KEPT.toSeconds())
                        .execute()
                == 1;
    }

    /** Within a transaction: nothing has come of {@code subject}, its key may be used again. */
    public void forget(Handle handle, Id subject) {
        handle.createUpdate("delete from idempotency_keys where subject = :id")
                .bind("id", subject.value())
                .execute();
    }

    /** Writes down what the one who first used the key was told. */
    public void answered(Id subject, Answer answer) {
        jdbi.useHandle(handle -> handle.createUpdate(
                        "update idempotency_keys set response = cast(:answer as json) where subject = :subject and response is null")
                .bind("answer", answer.toJson())
                .bind("subject", subject.value())
                .execute());
    }

    private Optional<Earlier> find(TeamId team, String key) {
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

    /** Whether the key has been used, for whatever. */
    public boolean isUsed(TeamId team, Idempotency idempotency) {
        return find(team, idempotency.key()).isPresent();
    }

    /**
     * Waits for the first request with this key to be answered; the answer it got.
     *
     * @throws PlatformException CONFLICT when it asked for something else, or was refused or interrupted
     */
    public Answer repeat(TeamId team, Idempotency idempotency, Duration patience) {
        long deadline = System.nanoTime() + patience.toNanos();
        while (true) {
            Optional<Earlier> earlier = find(team, idempotency.key());
            if (earlier.isPresent() && !earlier.get().requestHash().equals(idempotency.requestHash())) {
                throw new PlatformException(
                        ErrorCode.CONFLICT, "This Idempotency-Key was used with another request: choose a new one.");
            }
            Optional<Answer> answer = earlier.flatMap(Earlier::answer);
            if (answer.isPresent()) {
                return answer.get();
            }
            if (earlier.isEmpty() || System.nanoTime() > deadline) {
                throw new PlatformException(
                        ErrorCode.CONFLICT,
                        "The first request with this Idempotency-Key was refused or interrupted: send it again.");
            }
            try {
                Thread.sleep(POLL);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "The server is stopping.", e);
            }
        }
    }

    /** Forgets keys whose time is over. */
    public void tidy() {
        jdbi.useHandle(handle -> handle.execute("delete from idempotency_keys where expires_at < now()"));
    }
}
