package dev.sandglass.bench;

import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What one run has found.
 *
 * @param notes what was not measured and why, and what makes the figures doubtful; for people
 * @param steps of the host agent during the measured rounds; empty when the server does not tell
 */
record Outcome(
        MachineDescription machine,
        Samples samples,
        Optional<MemoryUse> memory,
        Map<String, StepTimes.Total> steps,
        List<String> notes) {
    Outcome {
        steps = Map.copyOf(steps);
        notes = List.copyOf(notes);
    }
}
