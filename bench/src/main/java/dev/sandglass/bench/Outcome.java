package dev.sandglass.bench;

import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What one run has found.
 *
 * @param steps of the host agent during the measured rounds; empty when the server does not tell
 * @param notes what was not measured and why, and what makes the figures doubtful; for people
 */
record Outcome(
        MachineDescription machine,
        Samples samples,
        Optional<Burst> burst,
        Optional<MemoryUse> memory,
        Optional<DiskUse> disk,
        Optional<ApiUse> api,
        Optional<SoakResult> soak,
        Map<String, StepTimes.Total> steps,
        List<String> notes) {
    Outcome {
        steps = Map.copyOf(steps);
        notes = List.copyOf(notes);
    }
}
