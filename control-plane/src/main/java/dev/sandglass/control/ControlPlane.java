package dev.sandglass.control;

import dev.sandglass.contract.Progress;
import dev.sandglass.control.account.LocalAccount;
import dev.sandglass.control.http.Caller;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.Optional;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A running control plane. Closing it refuses new requests, waits for work under way and stops the embedded database;
 * sandboxes go on.
 */
public final class ControlPlane implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(ControlPlane.class);

    private final ControlPlaneConfiguration configuration;
    private final Wiring wiring;

    private ControlPlane(ControlPlaneConfiguration configuration, Wiring wiring) {
        this.configuration = configuration;
        this.wiring = wiring;
    }

    /**
     * Starts everything; returns when requests are served.
     *
     * @param agent a host agent in this process, already serving; its channel stays with the caller
     * @throws IllegalStateException when it cannot start; the message names the remedy and is fit for a terminal
     */
    public static ControlPlane start(
            ControlPlaneConfiguration configuration, Optional<EmbeddedAgent> agent, Progress progress) {
        return startBeside(configuration, agent.map(here -> () -> here), progress);
    }

    /**
     * Starts everything while the host agent of this process is still starting: the agent is asked for when the rest
     * stands.
     *
     * @param agent waits until it serves; what it throws ends the start
     */
    public static ControlPlane startBeside(
            ControlPlaneConfiguration configuration, Optional<Supplier<EmbeddedAgent>> agent, Progress progress) {
        ControlPlane started = new ControlPlane(configuration, new Wiring(configuration, agent, progress));
        log.atInfo().addKeyValue("url", started.url()).log("control plane serves");
        return started;
    }

    /** Where the API is, as a program on this machine reaches it. */
    public URI url() {
        InetSocketAddress listen = configuration.listen();
        InetAddress address = listen.getAddress();
        String host = address == null || address.isAnyLocalAddress() ? "127.0.0.1" : address.getHostAddress();
        return URI.create("http://" + (host.contains(":") ? "[" + host + "]" : host) + ":" + wiring.server.port());
    }

    /** Where host agents register, if they can. */
    public Optional<InetSocketAddress> registryAddress() {
        return wiring.registry.map(
                registry -> new InetSocketAddress(configuration.listen().getHostString(), registry.port()));
    }

    /** The account of the installation's owner, made the first time. */
    public LocalAccount ensureLocalAccount() {
        Caller.ByUser owner = wiring.accounts.accounts().ensureWithoutPassword(LocalAccount.EMAIL);
        return new LocalAccount(owner.user(), owner.team(), owner.email());
    }

    /** A new API key of the local account; its text is known only now. Keep it in a file of mode 0600. */
    public String createLocalKey(String name) {
        LocalAccount account = ensureLocalAccount();
        return wiring.apiKeys
                .keys()
                .create(account.team(), account.user(), name)
                .text();
    }

    /** Whether {@code key} is one that the API accepts now: tells whether a kept key is still good. */
    public boolean acceptsKey(String key) {
        return wiring.apiKeys.keys().find(key).isPresent();
    }

    Wiring wiring() {
        return wiring;
    }

    @Override
    public void close() {
        wiring.close();
    }
}
