package dev.sandglass.bench;

import dev.sandglass.contract.Progress;
import dev.sandglass.host.linux.Deadline;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * What the parts of a run share. Samples and notes are filled by whoever measures; used by one thread, but for
 * {@code rest}.
 *
 * @param files of the server, when it is on this machine and they may be looked at
 * @param end when the run has to be over
 */
record Bench(
        Options options,
        Rest rest,
        Optional<HostFiles> files,
        Samples samples,
        List<String> notes,
        Interruption interruption,
        Progress progress,
        Deadline end) {
    Duration timed(Subject subject, Runnable work) {
        long begin = System.nanoTime();
        work.run();
        Duration time = since(begin);
        samples.add(subject, time);
        return time;
    }

    static Duration since(long begin) {
        return Duration.ofNanos(System.nanoTime() - begin);
    }

    void pause(Duration time) {
        interruption.check();
        try {
            Thread.sleep(time);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchFailure("interrupted");
        }
    }
}
