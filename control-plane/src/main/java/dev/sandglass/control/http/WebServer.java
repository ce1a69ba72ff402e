package dev.sandglass.control.http;

import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.observe.Telemetry;
import java.net.BindException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Executors;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.NetworkConnectionLimit;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.handler.ErrorHandler;
import org.eclipse.jetty.server.handler.GracefulHandler;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.util.thread.QueuedThreadPool;
import org.eclipse.jetty.websocket.server.ServerWebSocketContainer;

/**
 * The HTTP server. Each request runs on a virtual thread; a few platform threads wait for connections and bytes.
 * Closing it refuses new requests and waits for those under way.
 */
public final class WebServer implements AutoCloseable {
    private static final int PLATFORM_THREADS_MAX = 32;
    private static final int HEADER_BYTES_MAX = 16 << 10;

    /** A link to the next page holds what the query held, encoded, which makes three bytes of one. */
    private static final int RESPONSE_HEADER_BYTES_MAX = 4 * HEADER_BYTES_MAX;

    /** For requests that run when the server is to stop: enough for a create, a pause, and most commands. */
    private static final Duration GRACE = Duration.ofSeconds(30);

    /** A message of the exec stream carries at most this many characters. */
    private static final long WEBSOCKET_MESSAGE_MAX = 256 << 10;

    private static final int WEBSOCKET_FRAMES_MAX = 64;

    private final Server server;
    private final ServerConnector connector;
    private final Connections connections;
    private final GracefulHandler underWay;

    private WebServer(Server server, ServerConnector connector, Connections connections, GracefulHandler underWay) {
        this.server = server;
        this.connector = connector;
        this.connections = connections;
        this.underWay = underWay;
    }

    /**
     * Starts serving.
     *
     * @throws IllegalStateException when it cannot listen there; the message names the remedy
     */
    public static WebServer start(
            InetSocketAddress listen,
            HttpSettings settings,
            List<Route> routes,
            Authenticator authenticator,
            Telemetry telemetry) {
        QueuedThreadPool threads = new QueuedThreadPool(PLATFORM_THREADS_MAX);
        threads.setName("http");
        threads.setVirtualThreadsExecutor(Executors.newThreadPerTaskExecutor(
                Thread.ofVirtual().name("request-", 0).factory()));
        Server server = new Server(threads);
        Connections connections = new Connections(settings);
        ServerConnector connector = connector(server, listen, settings.idleTimeout());
        connector.addBean(connections);
        server.addConnector(connector);
        server.addBean(new NetworkConnectionLimit(settings.connectionsMax(), server));
        ServerWebSocketContainer webSockets = ServerWebSocketContainer.ensure(server);
        webSockets.setMaxTextMessageSize(WEBSOCKET_MESSAGE_MAX);
        webSockets.setMaxFrameSize(WEBSOCKET_MESSAGE_MAX);
        webSockets.setMaxOutgoingFrames(WEBSOCKET_FRAMES_MAX);
        webSockets.setIdleTimeout(settings.idleTimeout().multipliedBy(2)); // pings come more often
        FrontHandler front =
                new FrontHandler(new Router(routes), authenticator, webSockets, telemetry, settings, connections);
        GracefulHandler underWay = new GracefulHandler(front);
        server.setHandler(underWay);
        server.setErrorHandler(new Errors());
        server.setStopTimeout(GRACE.toMillis());
        try {
            server.start();
        } catch (Exception e) {
            connections.close();
            stop(server);
            throw startFailure(listen, e);
        }
        return new WebServer(server, connector, connections, underWay);
    }

    private static ServerConnector connector(Server server, InetSocketAddress listen, Duration idleTimeout) {
        HttpConfiguration http = new HttpConfiguration();
        http.setSendServerVersion(false);
        http.setRequestHeaderSize(HEADER_BYTES_MAX);
        http.setMaxResponseHeaderSize(RESPONSE_HEADER_BYTES_MAX);
        http.setIdleTimeout(-1); // the connector's holds
        ServerConnector connector = new ServerConnector(server, 1, 1, new HttpConnectionFactory(http));
        connector.setHost(listen.getHostString());
        connector.setPort(listen.getPort());
        connector.setIdleTimeout(idleTimeout.toMillis());
        connector.setAcceptQueueSize(256);
        return connector;
    }

    private static IllegalStateException startFailure(InetSocketAddress listen, Exception failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (cause instanceof BindException) {
                return new IllegalStateException(
                        "Port " + listen.getPort() + " of " + listen.getHostString() + " cannot be used ("
                                + cause.getMessage() + "): stop what listens there, or set CP_LISTEN_ADDR to another"
                                + " address, for example 127.0.0.1:" + (listen.getPort() % 60_000 + 1) + ".",
                        failure);
            }
        }
        return new IllegalStateException("The HTTP server cannot start at " + listen + ".", failure);
    }

    /** Where it listens, the port resolved. */
    public int port() {
        return connector.getLocalPort();
    }

    /** How many are open. */
    public int connections() {
        return connector.getConnectedEndPoints().size();
    }

    /** How many have not been answered yet. */
    public long requestsUnderWay() {
        return underWay.getCurrentRequestCount();
    }

    @Override
    public void close() {
        connections.close();
        stop(server);
    }

    private static void stop(Server server) {
        try {
            server.stop();
        } catch (Exception e) {
            throw new IllegalStateException("stop the HTTP server", e);
        }
    }

    /** Errors that Jetty itself comes to, in our envelope. */
    private static final class Errors extends ErrorHandler {
        @Override
        public boolean handle(Request request, Response response, Callback callback) {
            int status = response.getStatus();
            response.getHeaders().put(HttpHeader.CONTENT_TYPE, "application/json");
            // Jetty ends the connection after most of these and does not say so; a caller that used it again would
            // fail.
            response.getHeaders().put(HttpHeader.CONNECTION, "close");
            if (!response.getHeaders().contains(RequestIds.HEADER)) {
                response.getHeaders().put(RequestIds.HEADER, RequestIds.of(request));
            }
            response.write(true, ByteBuffer.wrap(body(status)), callback);
            return true;
        }

        private static byte[] body(int status) {
            PlatformException failure = ErrorEnvelope.ofStatus(status);
            return Json.write(ErrorEnvelope.of(failure.code(), failure.reason()));
        }
    }
}
