package dev.sandglass.control;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.http.Access;
import dev.sandglass.control.http.HttpRequest;
import dev.sandglass.control.http.Reply;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.observe.Telemetry;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;

/** /healthz, /readyz and /metrics. */
final class SystemResource {
    private final Telemetry telemetry;
    private final BooleanSupplier stopping;
    private final BooleanSupplier databaseAnswers;
    private final BooleanSupplier hostAlive;

    SystemResource(
            Telemetry telemetry, BooleanSupplier stopping, BooleanSupplier databaseAnswers, BooleanSupplier hostAlive) {
        this.telemetry = telemetry;
        this.stopping = stopping;
        this.databaseAnswers = databaseAnswers;
        this.hostAlive = hostAlive;
    }

    List<Route> routes() {
        return List.of(
                Route.of("GET", "/healthz", Access.OPEN, request -> Reply.ok(Map.of("status", "ok"))),
                Route.of("GET", "/readyz", Access.OPEN, this::ready),
                Route.of("GET", "/metrics", Access.OPEN, this::metrics));
    }

    private Reply ready(HttpRequest request) {
        if (stopping.getAsBoolean()) {
            throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "The server is stopping.");
        }
        if (!databaseAnswers.getAsBoolean()) {
            throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "The database does not answer.");
        }
        if (!hostAlive.getAsBoolean()) {
            throw new PlatformException(ErrorCode.HOST_UNAVAILABLE, "No host agent is connected.");
        }
        return Reply.ok(Map.of("status", "ok"));
    }

    /** For this machine alone: what they tell is nobody else's business. */
    private Reply metrics(HttpRequest request) {
        if (!request.fromThisMachine()) {
            throw new PlatformException(ErrorCode.FORBIDDEN, "Metrics are answered on the server's own machine only.");
        }
        return new Reply.Bytes(
                200,
                telemetry.scrape().getBytes(StandardCharsets.UTF_8),
                Map.of("Content-Type", "text/plain; version=0.0.4; charset=utf-8"));
    }
}
