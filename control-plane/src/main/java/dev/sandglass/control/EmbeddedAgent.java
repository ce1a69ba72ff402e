package dev.sandglass.control;

import io.grpc.Channel;

/**
 * A host agent that runs in this process.
 *
 * @param channel to its services; stays with the caller, who closes it after the control plane
 * @param hostId name of the host in the database
 */
public record EmbeddedAgent(Channel channel, String hostId) {
    public EmbeddedAgent {
        if (!hostId.matches("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")) {
            throw new IllegalArgumentException("not a host id: " + hostId);
        }
    }
}
