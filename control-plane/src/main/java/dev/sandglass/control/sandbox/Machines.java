package dev.sandglass.control.sandbox;

import dev.sandglass.contract.PlatformException;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/**
 * What hosts do with sandboxes. Each call ends within its operation's limit; a failure is a {@link PlatformException}, and
 * one of HOST_UNAVAILABLE or AGENT_ERROR does not tell whether the operation has taken place, or still will.
 */
interface Machines {
    /** Where it can be reached. */
    String create(Sandbox pending, SandboxSpec spec);

    void destroy(String hostId, String sandbox);

    void ping(Sandbox sandbox);

    void pause(Sandbox sandbox);

    Resumed resume(Sandbox sandbox, boolean cold);

    HostView list(String hostId);

    /** {@code cold}: booted from its disk. */
    record Resumed(String hostIp, boolean cold) {}

    /**
     * What a host says it has.
     *
     * @param installation that it belongs to
     */
    record HostView(String installation, Map<String, Seen> sandboxes) {
        Optional<Seen> find(String sandbox) {
            return Optional.ofNullable(sandboxes.get(sandbox));
        }
    }

    /**
     * A sandbox on a host.
     *
     * @param status empty: something this version does not know
     * @param createdAt by the host's clock
     * @param error why, for stopped and error
     */
    record Seen(Optional<SandboxStatus> status, String hostIp, Instant createdAt, String error, boolean autoPaused) {}
}
