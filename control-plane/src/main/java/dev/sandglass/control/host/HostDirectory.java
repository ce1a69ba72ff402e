package dev.sandglass.control.host;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Installation;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.host.v1.HandshakeRequest;
import dev.sandglass.contract.host.v1.HandshakeResponse;
import io.grpc.Channel;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A connection to the agent of every host: in this process, or over the network to the address the host registered with.
 * A connection is made when it is first needed, after a handshake in which both sides say which installation they belong
 * to. Closing it closes the connections over the network; the channel to an agent in this process is its giver's.
 */
public final class HostDirectory implements AutoCloseable {
    static final int PROTOCOL = 1;
    private static final Duration HANDSHAKE_LIMIT = Duration.ofSeconds(5);
    private static final Duration ADDRESS_FRESH = Duration.ofSeconds(1);

    private record Remote(String address, ManagedChannel channel, HostConnection connection) {}

    private record Seen(Host host, long nanos) {}

    private final HostStore store;
    private final AgentCredentials credentials;
    private final Map<String, HostConnection> embedded = new ConcurrentHashMap<>();
    private final Map<String, Remote> remotes = new ConcurrentHashMap<>();
    private final Map<String, Lock> connecting = new ConcurrentHashMap<>();
    private final Map<String, Seen> seen = new ConcurrentHashMap<>();
    private final ExecutorService callbacks = Executors.newThreadPerTaskExecutor(
            Thread.ofVirtual().name("agent-call-", 0).factory());

    public HostDirectory(HostStore store, Installation installation) {
        this.store = store;
        this.credentials = new AgentCredentials(installation);
    }

    /** That all of them belong to. */
    public String installation() {
        return credentials.installation().id();
    }

    /**
     * The connection to a host's agent.
     *
     * @throws PlatformException HOST_UNAVAILABLE when it is not known, cannot be reached or is not ours
     */
    public HostConnection require(String hostId) {
        HostConnection here = embedded.get(hostId);
        if (here != null) {
            return here;
        }
        String address = lookUp(hostId)
                .flatMap(Host::address)
                .orElseThrow(() -> new PlatformException(
                        ErrorCode.HOST_UNAVAILABLE, "The sandbox's host is not connected to this server."));
        Remote remote = remotes.get(hostId);
        return remote != null && remote.address().equals(address) ? remote.connection() : connect(hostId, address);
    }

    private Optional<Host> lookUp(String hostId) {
        Seen last = seen.get(hostId);
        if (last != null && System.nanoTime() - last.nanos() < ADDRESS_FRESH.toNanos()) {
            return Optional.of(last.host());
        }
        Optional<Host> host = store.find(hostId);
        host.ifPresent(found -> seen.put(hostId, new Seen(found, System.nanoTime())));
        return host;
    }

    /**
     * Connects to {@code address}, where {@code hostId} must be the one that answers, and keeps the connection. Of many who
     * ask at once one connects: a second connection would end the first under those who have it already.
     */
    HostConnection connect(String hostId, String address) {
        Lock turn = connecting.computeIfAbsent(hostId, _ -> new ReentrantLock());
        turn.lock();
        try {
            Remote known = remotes.get(hostId);
            return known != null && known.address().equals(address) ? known.connection() : connectAnew(hostId, address);
        } finally {
            turn.unlock();
        }
    }

    private HostConnection connectAnew(String hostId, String address) {
        ManagedChannel channel = open(address);
        HostConnection connection = new HostConnection(hostId, credentials.on(channel));
        try {
            HandshakeResponse answer = handshake(connection);
            if (!answer.getHostId().equals(hostId)) {
                throw new PlatformException(
                        ErrorCode.HOST_UNAVAILABLE, "Another host answers at the address of " + hostId + ".");
            }
        } catch (RuntimeException e) {
            channel.shutdownNow();
            throw e;
        }
        Remote previous = remotes.put(hostId, new Remote(address, channel, connection));
        if (previous != null) {
            previous.channel().shutdown();
        }
        seen.remove(hostId);
        return connection;
    }

    boolean isConnected(String hostId, String address) {
        Remote remote = remotes.get(hostId);
        return remote != null && remote.address().equals(address);
    }

    /** It lives: a connection that waits before it tries again, since the host was not there for a while, tries now. */
    void heardOf(String hostId) {
        Remote remote = remotes.get(hostId);
        if (remote != null) {
            remote.channel().resetConnectBackoff();
        }
    }

    /** The agent in this process. */
    HostConnection embed(String hostId, Channel channel) {
        HostConnection connection = new HostConnection(hostId, credentials.on(channel));
        embedded.put(hostId, connection);
        return connection;
    }

    /** Who answers at an address; the connection is not kept. */
    HandshakeResponse ask(String address) {
        ManagedChannel channel = open(address);
        try {
            return handshake(new HostConnection("unknown", credentials.on(channel)));
        } finally {
            channel.shutdownNow();
        }
    }

    HandshakeResponse handshake(HostConnection connection) {
        String ours = credentials.installation().id();
        HandshakeResponse answer = connection.call(
                HANDSHAKE_LIMIT,
                agent -> agent.handshake(HandshakeRequest.newBuilder()
                        .setProtocol(PROTOCOL)
                        .setInstallationId(ours)
                        .build()));
        if (!answer.getInstallationId().equals(ours) || answer.getProtocol() < 1) {
            throw new PlatformException(
                    ErrorCode.HOST_UNAVAILABLE, "The host's agent belongs to another installation or version.");
        }
        return answer;
    }

    private ManagedChannel open(String address) {
        return Grpc.newChannelBuilder(address, InsecureChannelCredentials.create())
                .executor(callbacks)
                .build();
    }

    @Override
    public void close() {
        List<Remote> all = new ArrayList<>(remotes.values());
        all.forEach(remote -> remote.channel().shutdownNow());
        for (Remote remote : all) {
            try {
                remote.channel().awaitTermination(5, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }
        callbacks.shutdown();
    }
}
