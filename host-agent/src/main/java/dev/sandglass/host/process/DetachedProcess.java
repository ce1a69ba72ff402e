package dev.sandglass.host.process;

import dev.sandglass.host.linux.Deadline;
import java.util.concurrent.CompletableFuture;

/**
 * A process that outlives us: a session of its own, no terminal, its output in a file. A small supervisor beside it
 * waits for it and writes down how it ended, so that even an agent that started later knows. Thread-safe; nothing to
 * close, {@link Processes} holds what is open.
 */
public interface DetachedProcess {
    ProcessIdentity identity();

    /**
     * Completed, on a thread of its own, as soon as the process has ended; never exceptionally. Stays open when {@link
     * Processes} is closed before.
     */
    CompletableFuture<ExitStatus> exit();

    /** Nothing happens when it has ended. */
    void signal(int signo);

    /** SIGKILL, then waits until it is gone. Idempotent. */
    void killAndAwait(Deadline deadline);

    /** The last 8 KiB of what it wrote to stdout and stderr; readable after its end too. */
    String stderrTail();
}
