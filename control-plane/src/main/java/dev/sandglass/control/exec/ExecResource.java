package dev.sandglass.control.exec;

import static dev.sandglass.control.http.Texts.invalid;

import com.google.protobuf.ByteString;
import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.ExecId;
import dev.sandglass.contract.Id.Ids;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.host.v1.ExecInfo;
import dev.sandglass.contract.host.v1.ExecRequest;
import dev.sandglass.contract.host.v1.ExecResponse;
import dev.sandglass.contract.host.v1.ExecSpec;
import dev.sandglass.contract.host.v1.KillExecRequest;
import dev.sandglass.contract.host.v1.SandboxRequest;
import dev.sandglass.control.http.Access;
import dev.sandglass.control.http.HttpRequest;
import dev.sandglass.control.http.Reply;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.http.Texts;
import dev.sandglass.control.sandbox.Sandboxes;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** /v1/sandboxes/{id}/exec, /exec/stream and /execs. */
public final class ExecResource {
    private static final int TIMEOUT_SEC_DEFAULT = 30;
    private static final int TIMEOUT_SEC_MAX = 86_400;

    /** Of the agent's answer, beside the command's own time: killing it, draining its output, sending it. */
    private static final Duration SLACK = Duration.ofSeconds(30);

    /** Of each stream; what is longer was cut by the agent. */
    private static final int KEPT_BYTES = 8 << 20;

    private static final Duration SHORT_CALL = Duration.ofSeconds(10);

    record OneShot(
            @Nullable String cmd,
            @Nullable List<@Nullable String> args,
            @Nullable String cwd,
            @Nullable Map<String, @Nullable String> env,
            @Nullable String user,
            @Nullable String stdin,
            @Nullable Integer timeoutSec) {
        ExecSpecs.Command command() {
            return new ExecSpecs.Command(cmd, args, cwd, env, user);
        }
    }

    record Result(
            String sandboxId,
            String execId,
            String cmd,
            String stdout,
            String stderr,
            int exitCode,
            @Nullable Integer signal,
            boolean timedOut,
            boolean truncated,
            long durationMs,
            String encoding) {}

    record Listed(
            String execId,
            int pid,
            List<String> argv,
            boolean pty,
            Instant startedAt,
            boolean running,
            @Nullable Integer exitCode,
            @Nullable Integer signal,
            @Nullable Boolean timedOut) {}

    private final Sandboxes sandboxes;
    private final Origins origins;
    private final ExecSockets sockets;

    public ExecResource(Sandboxes sandboxes, Origins origins, ExecSockets sockets) {
        this.sandboxes = sandboxes;
        this.origins = origins;
        this.sockets = sockets;
    }

    public List<Route> routes() {
        return List.of(
                Route.of("POST", "/v1/sandboxes/{id}/exec", Access.TEAM, this::exec),
                Route.of("GET", "/v1/sandboxes/{id}/exec/stream", Access.TEAM_WEBSOCKET, this::stream),
                Route.of("GET", "/v1/sandboxes/{id}/execs", Access.TEAM, this::list),
                Route.of("DELETE", "/v1/sandboxes/{id}/execs/{exec_id}", Access.TEAM, this::kill));
    }

    private Reply exec(HttpRequest request) throws IOException {
        Sandboxes.Running sandbox = sandboxes.requireRunning(request.team(), request.parameter("id"));
        OneShot sent = request.json(OneShot.class);
        int seconds = Texts.within("timeout_sec", sent.timeoutSec(), 1, TIMEOUT_SEC_MAX, TIMEOUT_SEC_DEFAULT);
        Duration timeout = Duration.ofSeconds(seconds);
        ExecSpec spec = ExecSpecs.of(sent.command(), Optional.of(timeout), Optional.empty());
        String stdin = Texts.requireUnicode("stdin", sent.stdin() == null ? "" : sent.stdin());
        ExecResponse ended = sandbox.call(
                timeout.plus(SLACK),
                agent -> agent.exec(ExecRequest.newBuilder()
                        .setSandboxId(sandbox.id().value())
                        .setSpec(spec)
                        .setStdin(ByteString.copyFromUtf8(stdin))
                        .build()));
        sandboxes.used(sandbox.id());
        return Reply.ok(result(sandbox, spec, ended));
    }

    private static Result result(Sandboxes.Running sandbox, ExecSpec spec, ExecResponse ended) {
        byte[] stdout = ended.getStdout().toByteArray();
        byte[] stderr = ended.getStderr().toByteArray();
        Optional<String> outText = text(stdout);
        Optional<String> errText = text(stderr);
        boolean isText = outText.isPresent() && errText.isPresent();
        Base64.Encoder base64 = Base64.getEncoder();
        return new Result(
                sandbox.id().value(),
                spec.getExecId(),
                spec.getArgv(0),
                isText ? outText.get() : base64.encodeToString(stdout),
                isText ? errText.get() : base64.encodeToString(stderr),
                ended.getTimedOut() ? -1 : ended.getExitCode(),
                ended.getSignal() == 0 ? null : ended.getSignal(),
                ended.getTimedOut(),
                ended.getTruncated(),
                ended.getDurationMicros() / 1000,
                isText ? "utf-8" : "base64");
    }

    /** An output that was cut may end within a character, and is text all the same. */
    private static Optional<String> text(byte[] bytes) {
        boolean mayBeCut = bytes.length >= KEPT_BYTES;
        return Utf8.decode(bytes, mayBeCut ? bytes.length - Utf8.unfinishedTail(bytes) : bytes.length);
    }

    private Reply list(HttpRequest request) {
        Sandboxes.Running sandbox = sandboxes.requireRunning(request.team(), request.parameter("id"));
        SandboxRequest which =
                SandboxRequest.newBuilder().setSandboxId(sandbox.id().value()).build();
        return Reply.ok(sandbox.call(SHORT_CALL, agent -> agent.listExecs(which)).getExecsList().stream()
                .map(ExecResource::listed)
                .toList());
    }

    private static Listed listed(ExecInfo info) {
        boolean ended = !info.getRunning();
        return new Listed(
                info.getExecId(),
                info.getPid(),
                info.getArgvList(),
                info.getPty(),
                Instant.ofEpochSecond(
                        info.getStartedAt().getSeconds(), info.getStartedAt().getNanos()),
                info.getRunning(),
                ended ? info.getExitCode() : null,
                ended && info.getSignal() != 0 ? info.getSignal() : null,
                ended ? info.getTimedOut() : null);
    }

    private Reply kill(HttpRequest request) {
        Sandboxes.Running sandbox = sandboxes.requireRunning(request.team(), request.parameter("id"));
        String exec = request.parameter("exec_id");
        if (!Ids.isValid(ExecId.PREFIX, exec)) {
            throw new PlatformException(ErrorCode.NOT_FOUND, "There is no such exec.");
        }
        sandbox.call(
                SHORT_CALL,
                agent -> agent.killExec(KillExecRequest.newBuilder()
                        .setSandboxId(sandbox.id().value())
                        .setExecId(exec)
                        .build()));
        return Reply.noContent();
    }

    private Reply stream(HttpRequest request) {
        origins.require(request);
        Sandboxes.Running sandbox = sandboxes.requireRunning(request.team(), request.parameter("id"));
        if (!request.asksForWebSocket()) {
            throw invalid("This path speaks WebSocket: send Upgrade: websocket.");
        }
        return new Reply.WebSocket(sockets.open(request.team(), sandbox));
    }
}
