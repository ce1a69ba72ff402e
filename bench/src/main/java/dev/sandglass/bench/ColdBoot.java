package dev.sandglass.bench;

import java.time.Duration;
import java.util.List;

/** Boots machines. */
interface ColdBoot extends AutoCloseable {
    /**
     * What one boot took.
     *
     * @param firstAnswer from the VMM's start to the guest agent's first answer
     * @param execs of {@code true} in that machine once it was warm, by the guest client alone
     */
    record Times(Duration firstAnswer, List<Duration> execs) {
        public Times {
            execs = List.copyOf(execs);
        }
    }

    /** What runs the guest's code, and why. */
    String accelerator();

    Times boot();

    @Override
    void close();
}
