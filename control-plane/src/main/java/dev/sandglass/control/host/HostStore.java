package dev.sandglass.control.host;

import dev.sandglass.contract.host.v1.HostCapacity;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.jdbi.v3.core.Jdbi;

/** Hosts in the database; only those of our own installation. */
public final class HostStore {
    private static final String SELECT = """
            select h.*, coalesce(sum(s.memory_mb), 0) as promised_mb
            from hosts h left join sandboxes s on s.host_id = h.id and s.deleted_at is null
                and s.status in ('pending', 'running', 'pausing', 'resuming')
            where h.installation_id = :installation
            """;

    private final Jdbi jdbi;
    private final String installation;

    public HostStore(Jdbi jdbi, String installation) {
        this.jdbi = jdbi;
        this.installation = installation;
    }

    /** The host is alive now. */
    void heartbeat(String id, Optional<String> address, String version, HostCapacity capacity) {
        int changed = jdbi.withHandle(handle -> handle.createUpdate("""
                        insert into hosts (id, installation_id, address, version, vcpus, memory_mb,
                            memory_available_mb, disk_free_bytes, accelerator, status, heartbeat_at)
                        values (:id, :installation, :address, :version, :vcpus, :memory,
                            :available, :disk, :accelerator, 'up', now())
                        on conflict (id) do update set address = excluded.address, version = excluded.version,
                            vcpus = excluded.vcpus, memory_mb = excluded.memory_mb,
                            memory_available_mb = excluded.memory_available_mb,
                            disk_free_bytes = excluded.disk_free_bytes, accelerator = excluded.accelerator,
                            status = 'up', heartbeat_at = now()
                        where hosts.installation_id = excluded.installation_id
                        """)
                .bind("id", id)
                .bind("installation", installation)
                .bind("address", address)
                .bind("version", version)
                .bind("vcpus", capacity.getVcpus())
                .bind("memory", capacity.getMemoryMb())
                .bind("available", capacity.getMemoryAvailableMb())
                .bind("disk", capacity.getDiskFreeBytes())
                .bind("accelerator", capacity.getAccelerator())
                .execute());
        if (changed == 0) {
            throw new IllegalStateException("the database knows a host named " + id + " of another installation");
        }
    }

    /** It has answered us, so it is alive even if the control plane that it registers with is not. */
    public void answered(String id) {
        jdbi.useHandle(handle -> handle.createUpdate("""
                        update hosts set status = 'up', heartbeat_at = now()
                        where id = :id and installation_id = :installation and heartbeat_at < now() - interval '4 seconds'
                        """)
                .bind("id", id)
                .bind("installation", installation)
                .execute());
    }

    /** Those that have been heard of within {@code patience}. */
    public List<Host> alive(Duration patience) {
        return jdbi.withHandle(handle -> handle.createQuery(SELECT
                        + " and h.status = 'up' and h.heartbeat_at > now() - :patience * interval '1 millisecond'"
                        + " group by h.id order by h.id")
                .bind("installation", installation)
                .bind("patience", patience.toMillis())
                .map((row, context) -> host(row))
                .list());
    }

    /** All there are, alive or not. */
    public List<Host> all() {
        return jdbi.withHandle(handle -> handle.createQuery(SELECT + " group by h.id order by h.id")
                .bind("installation", installation)
                .map((row, context) -> host(row))
                .list());
    }

    Optional<Host> find(String id) {
        return jdbi.withHandle(handle -> handle.createQuery(SELECT + " and h.id = :id group by h.id")
                .bind("installation", installation)
                .bind("id", id)
                .map((row, context) -> host(row))
                .findOne());
    }

    /** It does not answer; it is down if it has not been heard of for {@code patience} either. */
    public void unreachable(String id, Duration patience) {
        jdbi.useHandle(handle -> handle.createUpdate("""
                        update hosts set status = 'down' where id = :id and installation_id = :installation
                          and status = 'up' and heartbeat_at < now() - :patience * interval '1 millisecond'
                        """)
                .bind("id", id)
                .bind("installation", installation)
                .bind("patience", patience.toMillis())
                .execute());
    }

    private static Host host(ResultSet row) throws SQLException {
        return new Host(
                row.getString("id"),
                Optional.ofNullable(row.getString("address")),
                row.getString("version"),
                row.getInt("vcpus"),
                row.getInt("memory_mb"),
                row.getInt("memory_available_mb"),
                row.getLong("disk_free_bytes"),
                row.getString("accelerator"),
                row.getLong("promised_mb"));
    }
}
