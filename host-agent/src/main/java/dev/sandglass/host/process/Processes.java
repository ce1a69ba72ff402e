package dev.sandglass.host.process;

import dev.sandglass.host.linux.CommandFailed;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.DeadlineExceeded;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;

/**
 * Starts and adopts processes that outlive us, and tells when they end. One platform thread waits for all of them.
 * Thread-safe. Closed by who opened it; the processes go on.
 */
public final class Processes implements AutoCloseable {
    private static final Duration UNDO = Duration.ofSeconds(5);

    /** Two forks and a rename, on a loaded machine. */
    private static final Duration RECORD_NEWS = Duration.ofSeconds(1);

    private static final Duration RECORD_POLL = Duration.ofMillis(5);

    private final ProcessWatch watch = ProcessWatch.start();

    private Processes() {}

    public static Processes open() {
        return new Processes();
    }

    /**
     * Starts {@code plan}; its directory then says so, whatever happens to us.
     *
     * @throws IllegalStateException if a process that was started in this directory is alive
     */
    public DetachedProcess start(LaunchPlan plan, Deadline deadline) {
        ProcessFiles files = new ProcessFiles(plan.directory());
        files.recorded()
                .map(ProcessFiles.Recorded::process)
                .filter(ProcessIdentity::alive)
                .ifPresent(living -> {
                    throw new IllegalStateException(plan.name() + ": runs already as " + living);
                });
        files.removeOld();
        try {
            Supervisor.launch(plan, deadline);
        } catch (CommandFailed | DeadlineExceeded e) {
            undo(files);
            throw failure(plan, files, e, deadline);
        }
        ProcessFiles.Recorded recorded = files.recorded()
                .orElseThrow(() -> new IllegalStateException(plan.name() + ": started, but left no record"));
        return watch.watch(plan.name(), files, recorded.process(), Optional.of(recorded.supervisor()));
    }

    /**
     * Takes over a process of an earlier agent. If it is dead, its {@link DetachedProcess#exit} tells what its
     * supervisor wrote down.
     */
    public DetachedProcess adopt(Path directory, ProcessIdentity identity) {
        ProcessFiles files = new ProcessFiles(directory);
        Optional<ProcessIdentity> supervisor = files.recorded()
                .filter(recorded -> recorded.process().equals(identity))
                .map(ProcessFiles.Recorded::supervisor);
        return watch.watch(String.valueOf(directory.getFileName()), files, identity, supervisor);
    }

    /** The process that was last started in a directory, dead or alive: also when nobody else remembers it. */
    public static Optional<ProcessIdentity> find(Path directory) {
        return new ProcessFiles(directory).recorded().map(ProcessFiles.Recorded::process);
    }

    @Override
    public void close() {
        watch.close();
    }

    /** What the killed launcher had begun goes on without it, and records itself a moment later. */
    private void undo(ProcessFiles files) {
        Deadline end = Deadline.after(RECORD_NEWS);
        while (files.recorded().isEmpty() && !end.expired()) {
            LockSupport.parkNanos(RECORD_POLL.toNanos());
        }
        files.recorded()
                .ifPresent(recorded -> watch.watch(
                                "undone start", files, recorded.process(), Optional.of(recorded.supervisor()))
                        .killAndAwait(Deadline.after(UNDO)));
    }

    private static RuntimeException failure(
            LaunchPlan plan, ProcessFiles files, RuntimeException cause, Deadline deadline) {
        if (deadline.expired()) {
            DeadlineExceeded late = new DeadlineExceeded("start " + plan.name());
            late.initCause(cause);
            return late;
        }
        return new IllegalStateException(
                "start " + plan.name() + ": " + files.stderrTail().strip(), cause);
    }
}
