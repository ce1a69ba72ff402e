package dev.sandglass.control.database;

import org.jdbi.v3.core.Handle;
import org.jdbi.v3.core.Jdbi;
import org.jdbi.v3.core.JdbiException;
import org.jspecify.annotations.Nullable;

/**
 * One among the processes that use a database, by an advisory lock that a connection of its own holds: when the process
 * or its connection dies, the next one becomes it. A leader that does not know yet that it has lost its connection may go
 * on for a moment beside the next one, so what leaders do must bear that. Used by one thread.
 */
public final class Leadership implements AutoCloseable {
    private final Jdbi jdbi;
    private final long lock;
    private @Nullable Handle holder;

    public Leadership(Jdbi jdbi, long lock) {
        this.jdbi = jdbi;
        this.lock = lock;
    }

    /** Whether it is this process, which becomes it if there is none. */
    public boolean isOurs() {
        if (holder != null && !answers(holder)) {
            close();
        }
        return holder != null || become();
    }

    private static boolean answers(Handle handle) {
        try {
            return handle.createQuery("select 1").mapTo(Integer.class).one() == 1;
        } catch (JdbiException e) {
            return false;
        }
    }

    private boolean become() {
        Handle handle = jdbi.open();
        boolean ours = false;
        try {
            ours = handle.createQuery("select pg_try_advisory_lock(:lock)")
                    .bind("lock", lock)
                    .mapTo(Boolean.class)
                    .one();
        } finally {
            if (!ours) {
                handle.close();
            }
        }
        holder = ours ? handle : null;
        return ours;
    }

    /** Leaves it to others. */
    @Override
    public void close() {
        Handle last = holder;
        holder = null;
        if (last == null) {
            return;
        }
        try (last) {
            last.execute("select pg_advisory_unlock_all()"); // the connection goes back to the pool
        } catch (JdbiException e) {
            // the connection is broken, and its lock gone with it
        }
    }
}
