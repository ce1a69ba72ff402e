package dev.sandglass.host.agent;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.host.lifecycle.SandboxState;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.process.ExitStatus;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Notices at once when a VM ends by itself and makes its sandbox a stopped one, with its disk and the reason. Thread-safe.
 */
final class Deaths implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(Deaths.class);
    /** Longer than any operation that may hold the sandbox meanwhile. */
    private static final Duration TIMEOUT = Duration.ofMinutes(4);

    /** Between the end of a process and the news of it. */
    private static final Duration EXIT_NEWS = Duration.ofSeconds(1);

    private final Parts parts;
    private final ExecutorService tasks = Executors.newVirtualThreadPerTaskExecutor();

    Deaths(Parts parts) {
        this.parts = parts;
    }

    void watch(Sandbox sandbox, Sandbox.Live live) {
        var _ = live.machine().vm().exit().thenAcceptAsync(status -> notice(sandbox, live, status), tasks);
    }

    private void notice(Sandbox sandbox, Sandbox.Live dead, ExitStatus status) {
        try (Sandbox.Operation _ = sandbox.begin("clean up", Deadline.after(TIMEOUT))) {
            Sandbox.Live now = sandbox.live();
            boolean same =
                    now != null && now.machine().vm().equals(dead.machine().vm());
            if (same && sandbox.state() instanceof SandboxState.Running) {
                log.warn(
                        "sandbox={} state=stopped exit={} stderr={}",
                        sandbox.id(),
                        status,
                        dead.machine().vm().stderrTail());
                stop(sandbox, reason(status));
            } // else it is paused or destroyed, or being so
        } catch (RuntimeException failure) {
            log.error("sandbox={} cannot be stopped after the end of its VM ({})", sandbox.id(), status, failure);
        }
    }

    /**
     * What to tell whoever asked for something that failed because the machine ended on the way; empty if it did not. Then
     * the sandbox is made a stopped one, with its disk. Only for the holder of the operation, and not for one whose ledger
     * says that it is paused.
     *
     * @param doing as in "while it was being paused"
     */
    Optional<RuntimeException> explain(Sandbox sandbox, LiveMachine machine, String doing, RuntimeException failure) {
        Optional<ExitStatus> ended = machine.ended(EXIT_NEWS);
        if (ended.isEmpty()) {
            return Optional.empty();
        }
        String reason = reason(ended.get());
        log.warn("sandbox={} state=stopped {}: {}", sandbox.id(), doing, reason, failure);
        stop(sandbox, reason);
        return Optional.of(new PlatformException(
                ErrorCode.AGENT_ERROR,
                "The machine ended while it was being " + doing + ". " + reason
                        + " The sandbox is stopped; its disk is kept, and a resume boots from it.",
                failure));
    }

    static String reason(ExitStatus status) {
        return switch (status) {
            case ExitStatus.Exited exited when exited.code() == 0 -> "The machine powered itself off.";
            case ExitStatus.Exited exited -> "The machine's VMM ended with exit code " + exited.code() + ".";
            case ExitStatus.Signalled signalled -> "The machine's VMM was ended by signal " + signalled.signal() + ".";
            case ExitStatus.Unknown _ -> "The machine is gone: its host was restarted or its VMM ended.";
        };
    }

    /**
     * Releases what only a living VM needs, keeps the disk, and removes what was saved of its memory before: the disk has
     * gone on since. Only for the holder of the operation; the VM's process is gone already.
     */
    void stop(Sandbox sandbox, String reason) {
        String name = sandbox.id().value();
        Ledger.Entry stopped = sandbox.entry().with(new SandboxState.Stopped(reason));
        parts.steps().run(Step.STOP_LEDGER, name, () -> parts.ledger().write(stopped));
        sandbox.publish(stopped, sandbox.live());
        sandbox.forgetMemory();
        parts.steps()
                .run(
                        Step.STOP_MEMORY,
                        name,
                        () -> Host.removeDirectory(
                                SavedMemory.directory(parts.ledger().directory(sandbox.id()))));
        parts.releaseLeftover(sandbox);
    }

    @Override
    public void close() {
        tasks.shutdown();
    }
}
