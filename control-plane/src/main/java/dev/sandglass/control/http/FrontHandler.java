package dev.sandglass.control.http;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.database.Database;
import dev.sandglass.control.observe.Telemetry;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import org.eclipse.jetty.http.HttpException;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.io.EofException;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.websocket.server.ServerWebSocketContainer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.MDC;
import org.slf4j.spi.LoggingEventBuilder;

/** From Jetty's request to a route's endpoint and back: request id, credentials, errors, log line, metrics. */
final class FrontHandler extends Handler.Abstract {
    private static final Logger log = LoggerFactory.getLogger(FrontHandler.class);

    /** A line for each request; a logger of its own, so that it can be turned off alone. */
    private static final Logger access = LoggerFactory.getLogger("access");

    private static final int SHOWN_MAX = 100;
    private static final Pattern UNPRINTABLE = Pattern.compile("[^\\x20-\\x7e]");

    /** Of a body nobody wanted: read so that the caller, who is still sending, gets to see the answer. */
    private static final long DRAIN_BYTES_MAX = 16 << 20;

    private static final int CLIENT_CLOSED = 499; // only in log and metrics

    private final Router router;
    private final Authenticator authenticator;
    private final ServerWebSocketContainer webSockets;
    private final Telemetry telemetry;
    private final HttpSettings settings;
    private final Connections connections;
    private final Throttle throttle;

    FrontHandler(
            Router router,
            Authenticator authenticator,
            ServerWebSocketContainer webSockets,
            Telemetry telemetry,
            HttpSettings settings,
            Connections connections) {
        this.router = router;
        this.authenticator = authenticator;
        this.webSockets = webSockets;
        this.telemetry = telemetry;
        this.settings = settings;
        this.connections = connections;
        this.throttle = new Throttle(settings.requests());
    }

    @Override
    public boolean handle(Request jettyRequest, Response response, Callback callback) {
        long began = System.nanoTime();
        connections.begun(jettyRequest);
        HttpRequest request = new HttpRequest(jettyRequest, RequestIds.of(jettyRequest), settings);
        response.getHeaders().put(RequestIds.HEADER, request.id());
        MDC.put("request", request.id());
        Outcome outcome = new Outcome();
        try {
            respond(request, response, callback, outcome);
        } finally {
            telemetry.request(request.method(), outcome.route, outcome.status, System.nanoTime() - began);
            if (access.isInfoEnabled()) {
                logAccess(request, outcome, System.nanoTime() - began);
            }
            MDC.clear();
        }
        return true;
    }

    /** The route's pattern, and what its parameters are; never a query, which may hold what is secret. */
    private static void logAccess(HttpRequest request, Outcome outcome, long nanos) {
        LoggingEventBuilder line = access.atInfo()
                .addKeyValue("method", request.method())
                .addKeyValue("route", outcome.route)
                .addKeyValue("status", outcome.status)
                .addKeyValue("elapsed_ms", Math.round(nanos / 1e4) / 100.0)
                .addKeyValue("from", request.remoteAddress());
        for (Map.Entry<String, String> parameter : request.parameters().entrySet()) {
            line = line.addKeyValue(parameter.getKey(), shown(parameter.getValue()));
        }
        Optional<Caller> caller = request.knownCaller();
        if (caller.isPresent()) {
            line = line.addKeyValue("team", caller.get().team());
        }
        line.log("request");
    }

    private static String shown(String parameter) {
        String head = parameter.length() <= SHOWN_MAX ? parameter : parameter.substring(0, SHOWN_MAX) + "~";
        return UNPRINTABLE.matcher(head).find() ? UNPRINTABLE.matcher(head).replaceAll("?") : head;
    }

    /** What the log line says. */
    private static final class Outcome {
        private String route = "none";
        private int status;
        private Throttle.Turn turn = () -> {}; // until everything has been sent
    }

    private void respond(HttpRequest request, Response response, Callback callback, Outcome outcome) {
        Reply reply = answer(request, outcome);
        outcome.status = reply.status();
        try {
            write(request, response, reply, callback);
        } catch (Throwable failure) {
            outcome.status = onFailedWrite(request, response, callback, failure);
        } finally {
            outcome.turn.close();
        }
    }

    private Reply answer(HttpRequest request, Outcome outcome) {
        try {
            Route route = admit(request, outcome);
            return route.endpoint().answer(request);
        } catch (Throwable failure) {
            return errorReply(failure);
        }
    }

    /** Finds the route and who asks for it, and counts the request; what is nobody's counts for its address. */
    private Route admit(HttpRequest request, Outcome outcome) {
        Optional<Caller> caller;
        Route route;
        try {
            requirePlainPath(request);
            Router.Match match = router.require(request.method(), Request.getPathInContext(request.jetty()));
            route = match.route();
            outcome.route = route.path();
            request.matched(match.parameters());
            caller = route.access() == Access.OPEN
                    ? Optional.empty()
                    : Optional.of(authenticator.require(route.access(), request));
        } catch (PlatformException | Refusal refused) {
            throttle.countAnonymous(request.network());
            throw refused;
        }
        if (caller.isEmpty()) {
            throttle.countAnonymous(request.network());
        } else {
            outcome.turn = throttle.begin(caller.get());
            request.authenticated(caller.get());
        }
        return route;
    }

    /** Parameters after a semicolon would be taken away unseen, and one path be two for us and for a proxy. */
    private static void requirePlainPath(HttpRequest request) {
        String path = request.jetty().getHttpURI().getPath();
        if (path != null && path.indexOf(';') >= 0) {
            throw new PlatformException(ErrorCode.NOT_FOUND, "There is nothing at this path; see /openapi.yaml.");
        }
    }

    private static Reply errorReply(Throwable failure) {
        return switch (failure) {
            case PlatformException expected -> {
                logOperatorFailure(expected);
                yield ErrorEnvelope.reply(expected, Map.of());
            }
            case Refusal refusal -> ErrorEnvelope.reply(refusal.failure(), refusal.headers());
            case HttpException bad -> ErrorEnvelope.reply(ErrorEnvelope.ofStatus(bad.getCode()), Map.of());
            case EofException gone -> connectionLost();
            case IOException broken -> {
                log.debug("the request could not be read", broken);
                yield connectionLost();
            }
            default -> {
                if (Database.isUnavailable(failure)) {
                    log.debug("the database is not available", failure);
                    yield ErrorEnvelope.databaseUnavailable();
                }
                log.error("unexpected failure", failure);
                yield ErrorEnvelope.reply(ErrorEnvelope.unexpected(), Map.of());
            }
        };
    }

    private static void logOperatorFailure(PlatformException failure) {
        if (failure.code() == ErrorCode.INTERNAL_ERROR || failure.code() == ErrorCode.AGENT_ERROR) {
            log.warn("request failed", failure);
        }
    }

    private static Reply connectionLost() {
        return ErrorEnvelope.reply(
                new PlatformException(ErrorCode.INVALID_REQUEST, "The request's body did not arrive whole."), Map.of());
    }

    private void write(HttpRequest request, Response response, Reply reply, Callback callback) throws Exception {
        response.setStatus(reply.status());
        response.getHeaders().put("X-Content-Type-Options", "nosniff");
        reply.headers().forEach((name, value) -> response.getHeaders().put(name, value));
        switch (reply) {
            case Reply.Json json -> {
                response.getHeaders().put(HttpHeader.CONTENT_TYPE, "application/json");
                writeLast(request, response, Json.write(json.body()), callback);
            }
            case Reply.Bytes bytes -> writeLast(request, response, bytes.body(), callback);
            case Reply.Empty empty -> writeLast(request, response, new byte[0], callback);
            case Reply.Stream stream -> {
                OutputStream out = Content.Sink.asOutputStream(response);
                stream.body().writeTo(new KeepOpen(out));
                out.close(); // only now: closing says that it is whole
                callback.succeeded();
            }
            case Reply.WebSocket socket -> upgrade(request, response, socket, callback);
        }
    }

    private static void writeLast(HttpRequest request, Response response, byte[] body, Callback callback)
            throws IOException {
        boolean unread = response.getStatus() >= 400 && !isWholeBodyRead(request);
        if (unread) {
            response.getHeaders().put(HttpHeader.CONNECTION, "close");
        }
        Content.Sink.write(response, true, ByteBuffer.wrap(body));
        if (unread && !request.isBodyLate()) {
            drain(request);
        }
        callback.succeeded();
    }

    /** A body that has no end yet; of one that never began there is nothing to read. */
    private static boolean isWholeBodyRead(HttpRequest request) {
        boolean waitsForContinue = request.header("Expect").isPresent();
        long length = request.contentLength();
        boolean chunked = request.header("Transfer-Encoding").isPresent();
        boolean all = length >= 0 && Request.getContentBytesRead(request.jetty()) >= length;
        return waitsForContinue || all || (length < 0 && !chunked);
    }

    private static void drain(HttpRequest request) {
        try {
            InputStream rest = request.restOfBody();
            byte[] buffer = new byte[1 << 14];
            long deadline = System.nanoTime() + 2_000_000_000L;
            long read = 0;
            for (int n = rest.read(buffer); n >= 0; n = rest.read(buffer)) {
                read += n;
                if (read > DRAIN_BYTES_MAX || System.nanoTime() > deadline) {
                    return;
                }
            }
        } catch (IOException e) {
            log.trace("the caller left before all of its body was read", e);
        }
    }

    private void upgrade(HttpRequest request, Response response, Reply.WebSocket socket, Callback callback)
            throws Exception {
        boolean named = Authenticator.protocols(request).anyMatch(HttpRequest.WEBSOCKET_PROTOCOL::equals);
        boolean upgraded = webSockets.upgrade(
                (upgradeRequest, upgradeResponse, upgradeCallback) -> {
                    if (named) {
                        upgradeResponse.setAcceptedSubProtocol(HttpRequest.WEBSOCKET_PROTOCOL);
                    }
                    return socket.listener();
                },
                request.jetty(),
                response,
                callback);
        if (!upgraded) {
            response.setStatus(400);
            write(
                    request,
                    response,
                    ErrorEnvelope.reply(
                            new PlatformException(
                                    ErrorCode.INVALID_REQUEST, "This is not a correct WebSocket handshake."),
                            Map.of()),
                    callback);
        }
    }

    /** An answer that has begun cannot become another one: the connection is broken, so that nobody takes it for whole. */
    private int onFailedWrite(HttpRequest request, Response response, Callback callback, Throwable failure) {
        if (response.isCommitted()) {
            log.debug("the answer broke off", failure);
            callback.failed(failure);
            return CLIENT_CLOSED;
        }
        Reply reply = errorReply(failure);
        try {
            response.reset();
            response.getHeaders().put(RequestIds.HEADER, request.id());
            write(request, response, reply, callback);
        } catch (Exception again) {
            log.debug("the error could not be sent", again);
            callback.failed(again);
        }
        return reply.status();
    }

    /** A body does not decide that it ended well: only its return does. */
    private static final class KeepOpen extends FilterOutputStream {
        KeepOpen(OutputStream out) {
            super(out);
        }

        @Override
        public void write(byte[] bytes, int offset, int length) throws IOException {
            out.write(bytes, offset, length);
        }

        @Override
        public void close() {}
    }
}
