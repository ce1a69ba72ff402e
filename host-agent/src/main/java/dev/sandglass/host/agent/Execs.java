package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.contract.guest.v1.ExecExited;
import dev.sandglass.contract.guest.v1.Pty;
import dev.sandglass.contract.guest.v1.StartExec;
import dev.sandglass.contract.guest.v1.Stream;
import dev.sandglass.contract.host.v1.ExecInfo;
import dev.sandglass.contract.host.v1.ExecOutput;
import dev.sandglass.contract.host.v1.ExecRequest;
import dev.sandglass.contract.host.v1.ExecResponse;
import dev.sandglass.contract.host.v1.ExecSpec;
import dev.sandglass.contract.host.v1.ExecStreamResponse;
import dev.sandglass.contract.host.v1.Exited;
import dev.sandglass.contract.host.v1.OutputStream;
import dev.sandglass.host.guest.ExecResult;
import dev.sandglass.host.guest.ExecStream;
import dev.sandglass.host.linux.Deadline;
import java.time.Duration;
import java.time.Instant;

/** Translates execs between the two protocols. */
final class Execs {
    static final int SIGKILL = 9;
    /** Of each stream of a one-shot exec, behaviour of the public API. */
    private static final int KEPT_BYTES = 8 << 20;
    /** For a one-shot exec without a timeout of its own. */
    private static final Duration LONGEST = Duration.ofHours(24);
    /** What the guest gets on top of the command's own timeout before it is given up. */
    private static final Duration GRACE = Duration.ofSeconds(15);

    private Execs() {}

    /** A one-shot command to its end. */
    static ExecResponse run(Sandbox sandbox, ExecRequest request) {
        StartExec start = start(sandbox, request.getSpec()).toBuilder()
                .setStdinOpen(!request.getStdin().isEmpty())
                .build();
        Duration allowed = start.getTimeoutMs() == 0 ? LONGEST : Duration.ofMillis(start.getTimeoutMs());
        ExecResult result;
        try (Sandbox.Use use = sandbox.use()) {
            result = use.guest()
                    .exec(start, request.getStdin().toByteArray(), KEPT_BYTES, Deadline.after(allowed.plus(GRACE)));
        }
        ExecExited exited = result.exited();
        return ExecResponse.newBuilder()
                .setStdout(result.stdout())
                .setStderr(result.stderr())
                .setTruncated(result.truncated())
                .setExitCode(exited.getTimedOut() ? -1 : exited.getExitCode())
                .setSignal(exited.getSignal())
                .setTimedOut(exited.getTimedOut())
                .setDurationMicros(result.duration().toNanos() / 1000)
                .build();
    }

    /** The sandbox's own environment comes first, that of the exec wins. */
    static StartExec start(Sandbox sandbox, ExecSpec spec) {
        if (spec.getArgvCount() == 0 || spec.getArgv(0).isEmpty()) {
            throw new PlatformException(ErrorCode.INVALID_REQUEST, "The command is empty.");
        }
        StartExec.Builder start = StartExec.newBuilder()
                .setExecId(spec.getExecId())
                .addAllArgv(spec.getArgvList())
                .putAllEnv(sandbox.entry().env())
                .putAllEnv(spec.getEnvMap())
                .setCwd(spec.getCwd())
                .setUser(spec.getUser())
                .setTimeoutMs(spec.getTimeoutMs());
        if (spec.hasPty()) {
            start.setPty(Pty.newBuilder()
                    .setCols(spec.getPty().getCols())
                    .setRows(spec.getPty().getRows()));
        }
        return start.build();
    }

    static ExecStreamResponse response(ExecStream.Event.Output output) {
        return ExecStreamResponse.newBuilder()
                .setOutput(ExecOutput.newBuilder()
                        .setStream(stream(output.stream()))
                        .setSeq(output.seq())
                        .setData(output.data()))
                .build();
    }

    static ExecStreamResponse response(ExecExited exited) {
        return ExecStreamResponse.newBuilder()
                .setExited(Exited.newBuilder()
                        .setExitCode(exited.getTimedOut() ? -1 : exited.getExitCode())
                        .setSignal(exited.getSignal())
                        .setTimedOut(exited.getTimedOut())
                        .setLastSeq(exited.getLastSeq()))
                .build();
    }

    private static OutputStream stream(Stream stream) {
        return switch (stream) {
            case STDOUT -> OutputStream.STDOUT;
            case STDERR -> OutputStream.STDERR;
            case PTY -> OutputStream.PTY;
            case STREAM_UNSPECIFIED, UNRECOGNIZED -> OutputStream.OUTPUT_STREAM_UNSPECIFIED;
        };
    }

    static ExecInfo info(dev.sandglass.contract.guest.v1.ExecInfo exec) {
        ExecExited exited = exec.getExited();
        return ExecInfo.newBuilder()
                .setExecId(exec.getExecId())
                .setPid(exec.getPid())
                .addAllArgv(exec.getArgvList())
                .setPty(exec.getPty())
                .setStartedAt(HostAgentGrpc.timestamp(Instant.ofEpochSecond(0, exec.getStartedUnixNanos())))
                .setRunning(exec.getRunning())
                .setExitCode(exited.getTimedOut() ? -1 : exited.getExitCode())
                .setSignal(exited.getSignal())
                .setTimedOut(exited.getTimedOut())
                .build();
    }
}
