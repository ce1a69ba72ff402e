package dev.sandglass.bench;

import dev.sandglass.contract.Progress;
import dev.sandglass.host.linux.Deadline;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * One run against one server. Everything is measured in turns, round by round, so that what else happens on the machine
 * hits all alike. What it made is gone when {@link #measure} returns or throws.
 */
final class Run {
    /** The whole run; rounds that would not fit are left out, and the report says so. */
    private static final Duration BUDGET = Duration.ofMinutes(4);
    /** Kept for the memory: making, asking and deleting one sandbox on a slow machine. */
    private static final Duration MEMORY_EACH = Duration.ofMillis(1500);

    private static final Duration CLEANUP = Duration.ofSeconds(60);
    /** Not recorded: first calls load classes in the server, fill caches and let podman make its directories. */
    private static final int WARM_UP_ROUNDS = 2;

    private static final int EXECS_PER_ROUND = 4;
    private static final int FAILURES_MAX = 3;
    private static final String TRUE = "/bin/true";
    private static final String[] PYTHON = {"-c", "print(6*7)"};

    private final Options options;
    private final Rest rest;
    private final Path scratch;
    private final String name;
    private final Interruption interruption;
    private final Progress progress;
    private final Deadline end = Deadline.after(BUDGET);

    private final List<String> notes = new ArrayList<>();
    private @Nullable Podman podman;
    private @Nullable ColdBoot coldBoot;
    private Samples samples = new Samples();
    private int failures;

    /**
     * @param scratch an empty directory that the caller removes
     * @param name of this run, in names and metadata of what it makes
     */
    Run(Options options, Rest rest, Path scratch, String name, Interruption interruption, Progress progress) {
        this.options = options;
        this.rest = rest;
        this.scratch = scratch;
        this.name = name;
        this.interruption = interruption;
        this.progress = progress;
    }

    /** @param boots makes what boots machines, when that is possible here */
    Outcome measure(MachineDescription described, Supplier<ColdBoot> boots) {
        MachineDescription machine = described;
        if (machine.busy()) {
            notes.add("the machine was busy before the run (load " + machine.loadAverage() + " on " + machine.cores()
                    + " cores): expect better figures on a quiet one");
        }
        try {
            if (options.wants(Part.PODMAN)) {
                startPodman();
            }
            if (options.wants(Part.COLD_BOOT)) {
                machine = startColdBoots(machine, boots);
            }
            Map<String, StepTimes.Total> steps = rounds();
            Optional<MemoryUse> memory = options.wants(Part.MEMORY) ? memory() : Optional.empty();
            return new Outcome(machine, samples, memory, options.profile() ? steps : Map.of(), notes);
        } finally {
            progress.step("cleaning up");
            cleanUp();
        }
    }

    private void startPodman() {
        progress.step("starting podman's container");
        try {
            podman = Podman.start(scratch, name);
        } catch (Podman.Missing e) {
            notes.add("podman was not measured: " + e.getMessage());
        }
    }

    private MachineDescription startColdBoots(MachineDescription machine, Supplier<ColdBoot> boots) {
        progress.step("preparing cold boots");
        try {
            ColdBoot ready = boots.get();
            coldBoot = ready;
            return machine.withAccelerator(ready.accelerator());
        } catch (RuntimeException e) {
            notes.add("cold boot was not measured: " + e.getMessage());
            return machine;
        }
    }

    // --- times

    private Map<String, StepTimes.Total> rounds() {
        boolean needsWarm = options.wants(Part.EXEC) || options.wants(Part.PYTHON);
        Optional<String> warm = needsWarm ? Optional.of(rest.create()) : Optional.empty();
        progress.step("warming up");
        for (int round = 0; round < WARM_UP_ROUNDS; round++) {
            round(warm, false);
        }
        samples = new Samples();
        Map<String, StepTimes.Total> before = StepTimes.parse(rest.metrics());
        progress.step("measuring");
        int rounds = options.rounds();
        int boots = options.coldBoots();
        for (int round = 0; round < rounds; round++) {
            if (end.remaining().compareTo(forMemory()) < 0) {
                notes.add("only " + round + " of " + rounds + " rounds fitted into the time");
                break;
            }
            progress.advance(round, rounds, "rounds");
            // Spread evenly: the k-th of n boots comes in the round where k/n of all rounds begin.
            round(warm, round * boots / rounds != (round - 1) * boots / rounds || round == 0);
        }
        Map<String, StepTimes.Total> passed = StepTimes.between(before, StepTimes.parse(rest.metrics()));
        warm.ifPresent(rest::delete);
        return passed;
    }

    private Duration forMemory() {
        return options.wants(Part.MEMORY) ? MEMORY_EACH.multipliedBy(options.sandboxes()) : Duration.ZERO;
    }

    private void round(Optional<String> warm, boolean withColdBoot) {
        if (options.wants(Part.CREATE)) {
            interruption.check();
            createOrCount();
        }
        for (int i = 0; i < EXECS_PER_ROUND; i++) {
            interruption.check();
            if (options.wants(Part.EXEC)) {
                warm.ifPresent(id -> timed(Subject.EXEC_TRUE, () -> rest.exec(id, TRUE)));
            }
            podman(Subject.PODMAN_EXEC, Podman::exec);
        }
        if (options.wants(Part.PYTHON)) {
            warm.ifPresent(id -> timed(Subject.EXEC_PYTHON, () -> rest.exec(id, "/usr/bin/python3", PYTHON)));
        }
        podman(Subject.PODMAN_RUN, Podman::run);
        interruption.check();
        if (withColdBoot && coldBoot != null) {
            boot(coldBoot);
        }
    }

    /** A platform that fails now and then is still measured, and the report says how often it did. */
    private void createOrCount() {
        try {
            createToDelete();
        } catch (BenchFailure failure) {
            failures++;
            notes.add("a create, first exec or delete failed: " + failure.reason());
            if (failures == FAILURES_MAX) {
                throw failure;
            }
        }
    }

    private void createToDelete() {
        long begin = System.nanoTime();
        String id = rest.create();
        samples.add(Subject.CREATE, since(begin));
        String output = rest.exec(id, "/bin/echo", "ready");
        samples.add(Subject.CREATE_ECHO, since(begin));
        if (!output.equals("ready\n")) {
            throw new BenchFailure("`echo ready` in a new sandbox printed: " + output);
        }
        timed(Subject.DELETE, () -> rest.delete(id));
    }

    private void boot(ColdBoot boots) {
        try {
            ColdBoot.Times times = boots.boot();
            samples.add(Subject.COLD_BOOT, times.firstAnswer());
            times.execs().forEach(exec -> samples.add(Subject.GUEST_TRUE, exec));
        } catch (RuntimeException e) {
            notes.add("cold boot failed: " + e.getMessage());
            coldBoot = null;
            boots.close();
        }
    }

    @FunctionalInterface
    private interface PodmanCall {
        Duration time(Podman podman) throws Podman.Missing;
    }

    private void podman(Subject subject, PodmanCall call) {
        if (podman == null) {
            return;
        }
        try {
            samples.add(subject, call.time(podman));
        } catch (Podman.Missing e) {
            notes.add(subject.title() + " failed: " + e.getMessage());
            podman.close();
            podman = null;
        }
    }

    private void timed(Subject subject, Runnable work) {
        long begin = System.nanoTime();
        work.run();
        samples.add(subject, since(begin));
    }

    private static Duration since(long begin) {
        return Duration.ofNanos(System.nanoTime() - begin);
    }

    // --- memory

    private Optional<MemoryUse> memory() {
        int wanted = options.sandboxes();
        progress.step("making " + wanted + " sandboxes for the memory");
        List<String> ids = new ArrayList<>();
        long first = 0;
        try {
            while (ids.size() < wanted && !end.expired()) {
                interruption.check();
                String id = rest.create();
                ids.add(id);
                progress.advance(ids.size(), wanted, "sandboxes");
                rest.exec(id, TRUE);
                first = ids.size() == 1 ? VmMemory.proportionalBytes(ids) : first;
            }
        } catch (BenchFailure refused) {
            interruption.check();
            notes.add("only " + ids.size() + " of " + wanted + " sandboxes could be made: " + refused.reason());
        }
        if (first == 0 && !ids.isEmpty()) {
            notes.add("memory was not measured: the sandboxes' processes cannot be seen from here"
                    + " (it needs root on the server's machine)");
        }
        long all = VmMemory.proportionalBytes(ids);
        int answered = askAll(ids);
        return first == 0 ? Optional.empty() : Optional.of(new MemoryUse(ids.size(), answered, first, all));
    }

    /** How many answer now that all are alive. */
    private int askAll(List<String> ids) {
        progress.step("asking all " + ids.size());
        Map<String, String> failures = new LinkedHashMap<>();
        for (String id : ids) {
            interruption.check();
            try {
                rest.exec(id, TRUE);
            } catch (BenchFailure e) {
                failures.put(id, e.reason());
            }
        }
        failures.values().stream().findFirst().ifPresent(reason -> notes.add("an exec failed: " + reason));
        return ids.size() - failures.size();
    }

    // --- afterwards

    private void cleanUp() {
        if (podman != null) {
            podman.close();
        }
        if (coldBoot != null) {
            coldBoot.close();
        }
        Deadline deadline = Deadline.after(CLEANUP);
        // A sandbox whose creation was under way when its answer was lost may appear in a later look.
        for (List<String> left = rest.mine(); !left.isEmpty() && !deadline.expired(); left = rest.mine()) {
            left.forEach(rest::delete);
        }
    }
}
