package dev.sandglass.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/** The figures of a run, for people. */
final class Report {
    private final Outcome outcome;
    private final boolean whole;

    /** @param whole everything was asked for, so that what is missing is worth a line */
    Report(Outcome outcome, boolean whole) {
        this.outcome = outcome;
        this.whole = whole;
    }

    String render() {
        StringBuilder text = new StringBuilder();
        text.append(machine()).append(times());
        text.append(others());
        if (!outcome.steps().isEmpty()) {
            text.append('\n').append(steps());
        }
        text.append('\n').append(promises());
        outcome.notes().forEach(note -> text.append("  ! ").append(note).append('\n'));
        return text.toString();
    }

    private String machine() {
        MachineDescription machine = outcome.machine();
        return Table.render(
                List.of(
                        List.of(
                                "machine",
                                machine.cpu() + ", " + machine.cores() + " cores, " + machine.memoryMb() + " MB, Linux "
                                        + machine.kernel()),
                        List.of("load", machine.loadAverage() + " before the run, " + machine.startedAt()),
                        List.of("VMM", machine.qemu() + ", " + machine.accelerator()),
                        List.of("peer", machine.podman()),
                        List.of("server", machine.server())),
                2);
    }

    private String times() {
        List<List<String>> rows = new ArrayList<>();
        rows.add(List.of("", "n", "min", "p50", "tail", "", "beside"));
        for (Subject subject : Subject.values()) {
            outcome.samples()
                    .statistics(subject)
                    .ifPresent(known -> rows.add(List.of(
                            subject.title(),
                            Integer.toString(known.count()),
                            Units.time(known.least()),
                            Units.time(known.median()),
                            Units.time(known.knowsTail() ? known.percentile(0.99) : known.greatest()),
                            known.knowsTail() ? "p99" : "max",
                            beside(subject, known))));
        }
        return rows.size() > 1 ? "\n" + Table.render(rows, 1) : "";
    }

    private String beside(Subject subject, Statistics ours) {
        return switch (subject) {
            case CREATE, CREATE_ECHO, CREATE_PYTHON, RESUME_ECHO, CREATE_FROM ->
                compared(ours, Subject.PODMAN_RUN, "podman run");
            case EXEC_TRUE -> compared(ours, Subject.PODMAN_EXEC, "podman exec");
            case UPLOAD -> compared(ours, Subject.UPLOAD_PLAIN, "the plain copy");
            case DOWNLOAD -> compared(ours, Subject.DOWNLOAD_PLAIN, "the plain copy");
            case COLD_BOOT,
                    DELETE,
                    GUEST_TRUE,
                    EXEC_PYTHON,
                    PODMAN_RUN,
                    PODMAN_EXEC,
                    BURST_CREATE,
                    PAUSE,
                    PAUSE_LARGE,
                    PAUSE_SECOND,
                    PAUSE_TENTH,
                    RESUME_ECHO_CACHED,
                    SNAPSHOT,
                    SNAPSHOT_FREEZE,
                    SNAPSHOT_STOP,
                    EXEC_REST,
                    EXEC_GUEST,
                    ECHO_WEBSOCKET,
                    ECHO_GUEST,
                    UPLOAD_PLAIN,
                    DOWNLOAD_PLAIN -> "";
        };
    }

    private String compared(Statistics ours, Subject other, String name) {
        return outcome.samples()
                .statistics(other)
                .map(theirs -> {
                    double ratio = ours.timesFasterThan(theirs);
                    return ratio >= 1
                            ? Units.ratio(ratio) + " faster than " + name
                            : Units.ratio(1 / ratio) + " slower than " + name;
                })
                .orElse("");
    }

    /** What is not a series of times. */
    private String others() {
        List<List<String>> rows = new ArrayList<>();
        outcome.burst()
                .ifPresent(burst -> rows.add(List.of(
                        "burst of " + burst.wanted() + " creates, " + Crowd.AT_ONCE + " at a time",
                        burst.created() + " in " + Units.time(burst.elapsed()))));
        outcome.memory().ifPresent(use -> {
            rows.add(List.of("PSS, each of " + use.sandboxes() + " idle clones", Units.megabytes(use.pssEach())));
            rows.add(List.of("MemAvailable lost, for each of them", Units.megabytes(use.availableLostEach())));
        });
        outcome.disk().ifPresent(use -> {
            rows.add(List.of("disk, paused right after create", Units.megabytes(use.afterCreateBytes())));
            rows.add(List.of(
                    "disk, a pause with " + use.littleChanged() + " MB changed", Units.megabytes(use.littleBytes())));
            rows.add(List.of(
                    "disk, a pause with " + use.muchChanged() + " MB changed", Units.megabytes(use.muchBytes())));
        });
        outcome.api().ifPresent(use -> {
            rows.add(List.of(
                    "reads by id a second, " + use.clients() + " clients",
                    Long.toString(Math.round(use.medianPerSecond()))));
            if (!use.peerPerSecond().isEmpty()) {
                rows.add(List.of("pgbench -S a second, as many", Long.toString(Math.round(use.medianPeerPerSecond()))));
            }
            rows.add(List.of(
                    "  a read takes, p50 · p99",
                    Units.time(use.latencies().percentile(0.5)) + " · "
                            + Units.time(use.latencies().percentile(0.99))));
            rows.add(List.of(
                    "  p50 · p99 · live heap of each tenth of " + use.requests(),
                    use.slices().stream()
                            .map(slice -> Units.time(slice.median()) + " · " + Units.time(slice.tail()) + " · "
                                    + Units.megabytes(slice.liveHeapBytes()))
                            .collect(Collectors.joining(", "))));
        });
        outcome.soak().ifPresent(soak -> {
            rows.add(List.of(
                    "soak", soak.rounds() + " rounds over " + soak.sandboxes() + " in " + Units.time(soak.elapsed())));
            soak.troubles().forEach(trouble -> rows.add(List.of("  trouble", trouble)));
            soak.logged().forEach(line -> rows.add(List.of("  logged", line)));
        });
        return rows.isEmpty() ? "" : "\n" + Table.render(rows, 2);
    }

    private String steps() {
        List<List<String>> rows = new ArrayList<>();
        rows.add(List.of("step of the host agent", "n", "mean"));
        outcome.steps().entrySet().stream().sorted(Map.Entry.comparingByKey()).forEach(entry -> {
            StepTimes.Total total = entry.getValue();
            rows.add(List.of(
                    entry.getKey(), Long.toString(total.count()), String.format("%.2f ms", total.meanMillis())));
        });
        return Table.render(rows, 1);
    }

    private String promises() {
        List<List<String>> rows = new ArrayList<>();
        List<Promise> shown = Promise.weigh(outcome).stream()
                .filter(promise -> whole || !promise.isUnmeasured())
                .toList();
        for (Promise promise : shown) {
            rows.add(List.of(mark(promise.verdict()), promise.text(), promise.measured()));
        }
        return Table.render(rows, 2);
    }

    private static String mark(Promise.Verdict verdict) {
        return switch (verdict) {
            case KEPT -> "ok";
            case BROKEN -> "BROKEN";
            case NOT_MEASURED -> "-";
        };
    }

    /** Whether any promise was broken; what was not measured does not count. */
    static Optional<String> firstBroken(Outcome outcome) {
        return Promise.weigh(outcome).stream()
                .filter(promise -> promise.verdict() == Promise.Verdict.BROKEN)
                .map(promise -> promise.text() + ": " + promise.measured())
                .findFirst();
    }
}
