package dev.sandglass.bench;

import dev.sandglass.cli.client.Json;
import java.util.Locale;
import java.util.Map;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** The figures of a run, for programs: every sample, in the order it was taken. */
final class JsonReport {
    private static final int FORMAT = 2;

    private JsonReport() {}

    static ObjectNode of(Outcome outcome) {
        ObjectNode json = Json.object().put("format", FORMAT);
        machine(json.putObject("machine"), outcome.machine());
        ObjectNode times = json.putObject("times");
        for (Subject subject : Subject.values()) {
            outcome.samples()
                    .statistics(subject)
                    .ifPresent(known -> series(times.putObject(subject.id()), known, outcome.samples(), subject));
        }
        outcome.burst()
                .ifPresent(burst -> json.putObject("burst")
                        .put("wanted", burst.wanted())
                        .put("created", burst.created())
                        .put("elapsed_ms", Units.millis(burst.elapsed())));
        outcome.memory().ifPresent(use -> memory(json.putObject("memory"), use));
        outcome.disk().ifPresent(use -> disk(json.putObject("disk"), use));
        outcome.api().ifPresent(use -> api(json.putObject("api"), use));
        outcome.soak().ifPresent(soak -> soak(json.putObject("soak"), soak));
        if (!outcome.steps().isEmpty()) {
            ObjectNode steps = json.putObject("steps");
            outcome.steps().entrySet().stream()
                    .sorted(Map.Entry.comparingByKey())
                    .forEach(step -> steps.putObject(step.getKey())
                            .put("count", step.getValue().count())
                            .put("mean_ms", step.getValue().meanMillis()));
        }
        ArrayNode promises = json.putArray("promises");
        for (Promise promise : Promise.weigh(outcome)) {
            promises.addObject()
                    .put("promise", promise.text())
                    .put("measured", promise.measured())
                    .put("verdict", promise.verdict().name().toLowerCase(Locale.ROOT));
        }
        ArrayNode notes = json.putArray("notes");
        outcome.notes().forEach(notes::add);
        return json;
    }

    private static void machine(ObjectNode json, MachineDescription machine) {
        json.put("started_at", machine.startedAt().toString())
                .put("cpu", machine.cpu())
                .put("cores", machine.cores())
                .put("memory_mb", machine.memoryMb())
                .put("kernel", machine.kernel())
                .put("load_average_before", machine.loadAverage())
                .put("qemu", machine.qemu())
                .put("accelerator", machine.accelerator())
                .put("podman", machine.podman())
                .put("server", machine.server());
    }

    private static void series(ObjectNode json, Statistics known, Samples samples, Subject subject) {
        json.put("n", known.count())
                .put("min_ms", Units.millis(known.least()))
                .put("p50_ms", Units.millis(known.median()))
                .put("mean_ms", Units.millis(known.mean()));
        if (known.knowsTail()) {
            json.put("p99_ms", Units.millis(known.percentile(0.99)));
        }
        json.put("max_ms", Units.millis(known.greatest()));
        ArrayNode all = json.putArray("samples_ms");
        samples.of(subject).forEach(time -> all.add(Units.millis(time)));
    }

    private static void memory(ObjectNode json, MemoryUse use) {
        json.put("sandboxes", use.sandboxes())
                .put("answered", use.answered())
                .put("pss_all_bytes", use.pssBytes())
                .put("pss_each_bytes", use.pssEach())
                .put("available_lost_bytes", use.availableLostBytes());
    }

    private static void disk(ObjectNode json, DiskUse use) {
        json.put("after_create_bytes", use.afterCreateBytes())
                .put("little_changed_mb", use.littleChanged())
                .put("little_bytes", use.littleBytes())
                .put("much_changed_mb", use.muchChanged())
                .put("much_bytes", use.muchBytes())
                .put("bytes_per_mb", use.bytesPerMegabyte());
    }

    private static void api(ObjectNode json, ApiUse use) {
        json.put("clients", use.clients())
                .put("p50_ms", Units.millis(use.latencies().percentile(0.5)))
                .put("p99_ms", Units.millis(use.latencies().percentile(0.99)));
        ArrayNode ours = json.putArray("reads_per_second");
        use.perSecond().forEach(ours::add);
        ArrayNode theirs = json.putArray("pgbench_per_second");
        use.peerPerSecond().forEach(theirs::add);
        ArrayNode slices = json.putArray("slices");
        for (ApiUse.Slice slice : use.slices()) {
            slices.addObject()
                    .put("requests", slice.requests())
                    .put("p50_ms", Units.millis(slice.median()))
                    .put("p99_ms", Units.millis(slice.tail()))
                    .put("live_heap_bytes", slice.liveHeapBytes());
        }
    }

    private static void soak(ObjectNode json, SoakResult soak) {
        json.put("sandboxes", soak.sandboxes())
                .put("rounds", soak.rounds())
                .put("elapsed_ms", Units.millis(soak.elapsed()));
        ArrayNode troubles = json.putArray("troubles");
        soak.troubles().forEach(troubles::add);
        ArrayNode logged = json.putArray("logged");
        soak.logged().forEach(logged::add);
    }
}
