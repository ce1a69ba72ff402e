package dev.sandglass.bench;

import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The times of one run, in the order they were taken. Used by one thread. */
final class Samples {
    private final Map<Subject, List<Duration>> times = new EnumMap<>(Subject.class);

    void add(Subject subject, Duration time) {
        times.computeIfAbsent(subject, _ -> new ArrayList<>()).add(time);
    }

    void clear() {
        times.clear();
    }

    List<Duration> of(Subject subject) {
        return List.copyOf(times.getOrDefault(subject, List.of()));
    }

    Optional<Statistics> statistics(Subject subject) {
        return Optional.of(of(subject)).filter(list -> !list.isEmpty()).map(Statistics::new);
    }
}
