package dev.sandglass.host.process;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.sandglass.host.linux.Deadline;
import dev.sandglass.host.linux.DeadlineExceeded;
import dev.sandglass.host.linux.Errno;
import dev.sandglass.host.linux.FileDescriptor;
import dev.sandglass.host.linux.Linux;
import dev.sandglass.host.linux.LinuxException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The one thread that waits for the end of all detached processes. Per process: its pidfd until it has ended; then, if
 * its status is not on disk yet, the supervisor's pidfd until that has written it or has gone.
 */
final class ProcessWatch implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ProcessWatch.class);

    /** Between looks at the size of the stderr files; also ends a wait for a supervisor that is stuck. */
    private static final Duration TICK = Duration.ofSeconds(10);

    private static final Duration SUPERVISOR = Duration.ofSeconds(5);

    private final FileDescriptor wake = Linux.eventfd();
    private final Queue<Watched> arrivals = new ConcurrentLinkedQueue<>();
    private final Thread thread;
    private volatile boolean closed;

    private ProcessWatch() {
        this.thread = Thread.ofPlatform().daemon().name("process-watch").unstarted(this::run);
    }

    static ProcessWatch start() {
        ProcessWatch watch = new ProcessWatch();
        watch.thread.start();
        return watch;
    }

    DetachedProcess watch(
            String name, ProcessFiles files, ProcessIdentity identity, Optional<ProcessIdentity> supervisor) {
        Watched process = new Watched(name, files, identity, supervisor);
        if (process.advance()) {
            return process;
        }
        arrivals.add(process);
        synchronized (this) {
            if (closed) {
                process.letGo();
                throw new IllegalStateException("closed; " + name + " is not watched");
            }
            Linux.signalEvent(wake);
        }
        return process;
    }

    @Override
    public void close() {
        synchronized (this) {
            if (closed) {
                return;
            }
            closed = true;
            Linux.signalEvent(wake);
        }
        try {
            thread.join();
            wake.close();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void run() {
        List<Watched> living = new ArrayList<>();
        Deadline tick = Deadline.after(TICK);
        while (!closed) {
            for (Watched next = arrivals.poll(); next != null; next = arrivals.poll()) {
                living.add(next);
            }
            List<FileDescriptor> files = new ArrayList<>(living.size() + 1);
            living.forEach(process -> files.add(process.awaited()));
            files.add(wake);
            boolean[] ready = Linux.poll(files, (int) tick.remaining().toMillis() + 1);
            if (ready[living.size()]) {
                Linux.clearEvent(wake);
            }
            living = stillLiving(living, ready);
            if (tick.expired()) {
                living.forEach(Watched::tick);
                living.removeIf(Watched::advanceIfStuck);
                tick = Deadline.after(TICK);
            }
        }
        arrivals.forEach(Watched::letGo);
        living.forEach(Watched::letGo);
    }

    private static List<Watched> stillLiving(List<Watched> living, boolean[] ready) {
        List<Watched> rest = new ArrayList<>(living.size());
        for (int i = 0; i < living.size(); i++) {
            if (!ready[i] || !living.get(i).advance()) {
                rest.add(living.get(i));
            }
        }
        return rest;
    }

    /** One process. {@code awaited} is closed only by the watch's thread once that knows the process. */
    private static final class Watched implements DetachedProcess {
        private final String name;
        private final ProcessFiles files;
        private final ProcessIdentity identity;
        private final Optional<ProcessIdentity> supervisor;
        private final CompletableFuture<ExitStatus> exit = new CompletableFuture<>();

        /** Of the process until it has ended, then of its supervisor; null at the end of the watch. */
        @GuardedBy("this")
        private @Nullable FileDescriptor awaited;

        @GuardedBy("this")
        private boolean ended;

        @GuardedBy("this")
        private Deadline supervisorDeadline = Deadline.after(SUPERVISOR);

        Watched(String name, ProcessFiles files, ProcessIdentity identity, Optional<ProcessIdentity> supervisor) {
            this.name = name;
            this.files = files;
            this.identity = identity;
            this.supervisor = supervisor;
        }

        /** What was waited for has happened (at first: nothing). True when the process's end is known. */
        synchronized boolean advance() {
            boolean first = awaited == null;
            closeAwaited();
            if (first) {
                awaited = pidfd(identity);
                if (awaited != null) {
                    return false;
                }
            }
            Optional<ExitStatus> known = supervisor.flatMap(_ -> files.exit());
            if (known.isEmpty() && !ended) {
                ended = true;
                supervisorDeadline = Deadline.after(SUPERVISOR);
                awaited = supervisor.map(Watched::pidfd).orElse(null);
                if (awaited != null) {
                    return false;
                }
                known = supervisor.flatMap(_ -> files.exit());
            }
            ended = true;
            complete(known.orElseGet(ExitStatus.Unknown::new));
            return true;
        }

        /** A supervisor that does not end (frozen, or traced) must not keep the end of its process secret. */
        synchronized boolean advanceIfStuck() {
            if (ended && supervisorDeadline.expired()) {
                return advance();
            }
            return false;
        }

        void tick() {
            files.boundStderr();
        }

        synchronized FileDescriptor awaited() {
            if (awaited == null) {
                throw new IllegalStateException(name + " is not watched");
            }
            return awaited;
        }

        synchronized void letGo() {
            closeAwaited();
            ended = true;
        }

        @Override
        public ProcessIdentity identity() {
            return identity;
        }

        @Override
        public CompletableFuture<ExitStatus> exit() {
            return exit;
        }

        @Override
        public synchronized void signal(int signo) {
            if (ended || awaited == null) {
                return;
            }
            try {
                Linux.pidfdSendSignal(awaited, signo);
            } catch (LinuxException e) {
                if (e.errno() != Errno.ESRCH) {
                    throw e;
                }
            }
        }

        @Override
        public void killAndAwait(Deadline deadline) {
            signal(Linux.SIGKILL);
            try {
                exit.get(deadline.remaining().toNanos(), TimeUnit.NANOSECONDS);
            } catch (TimeoutException e) {
                throw new DeadlineExceeded("end of " + name + " (pid " + identity.pid() + ")");
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new DeadlineExceeded("interrupted while waiting for the end of " + name);
            } catch (ExecutionException e) {
                throw new IllegalStateException(name, e);
            }
        }

        @Override
        public String stderrTail() {
            return files.stderrTail();
        }

        private void complete(ExitStatus status) {
            LOG.debug("process {} (pid {}) ended: {}", name, identity.pid(), status);
            // What depends on it may block, and the watch's thread must not.
            exit.completeAsync(
                    () -> status,
                    task -> Thread.ofVirtual().name("exit-" + name).start(task));
        }

        @GuardedBy("this")
        private void closeAwaited() {
            if (awaited != null) {
                awaited.close();
                awaited = null;
            }
        }

        /** Null when the process has ended. The start time is compared after opening: then it is the one meant. */
        private static @Nullable FileDescriptor pidfd(ProcessIdentity identity) {
            FileDescriptor opened;
            try {
                opened = Linux.pidfdOpen(identity.pid());
            } catch (LinuxException e) {
                if (e.errno() == Errno.ESRCH) {
                    return null;
                }
                throw e;
            }
            if (identity.alive()) {
                return opened;
            }
            opened.close();
            return null;
        }
    }
}
