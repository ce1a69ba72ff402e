package dev.sandglass.bench;

import dev.sandglass.contract.Progress;
import dev.sandglass.host.linux.Deadline;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * One run against one server. What can be measured in turns is, round by round, so that what else happens on the machine
 * hits all alike. What it made is gone when {@link #measure} returns or throws.
 */
final class Run {
    /** The rounds; those that would not fit are left out, and the report says so. */
    private static final Duration ROUNDS_BUDGET = Duration.ofMinutes(3);

    private static final Duration UNHURRIED = Duration.ofHours(6);
    private static final Duration CLEANUP = Duration.ofMinutes(2);
    /** Not recorded: first calls load classes in the server, fill caches and let podman make its directories. */
    private static final int WARM_UP_ROUNDS = 2;

    private static final int EXECS_PER_ROUND = 4;
    private static final int FAILURES_MAX = 3;
    private static final String TRUE = "/bin/true";
    private static final String PYTHON = "/usr/bin/python3";
    private static final String[] PYTHON_PROGRAM = {"-c", "print(6*7)"};

    private final Options options;
    private final Rest rest;
    private final Path scratch;
    private final String name;
    private final Interruption interruption;
    private final Progress progress;
    private final Bench bench;
    private final Pool pool;

    private final List<String> notes = new ArrayList<>();
    private final Samples samples = new Samples();
    private @Nullable Podman podman;
    private @Nullable ColdBoot coldBoot;
    private int failures;

    /**
     * @param files of the server, where they can be seen
     * @param scratch an empty directory that the caller removes
     * @param name of this run, in names and metadata of what it makes
     */
    Run(
            Options options,
            Rest rest,
            Optional<HostFiles> files,
            Path scratch,
            String name,
            Interruption interruption,
            Progress progress) {
        this.options = options;
        this.rest = rest;
        this.scratch = scratch;
        this.name = name;
        this.interruption = interruption;
        this.progress = progress;
        Deadline end = Deadline.after(options.unhurried() ? UNHURRIED : ROUNDS_BUDGET);
        this.bench = new Bench(options, rest, files, samples, notes, interruption, progress, end);
        this.pool = new Pool(bench);
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
            Map<String, StepTimes.Total> steps = options.wantsRounds() ? rounds() : Map.of();
            Crowd crowd = new Crowd(bench);
            measured(Part.BURST, options.wants(Part.BURST) || options.wants(Part.MEMORY), crowd::measure);
            measured(Part.PAUSE, options.wants(Part.PAUSE), new Pauses(bench)::measure);
            measured(Part.SNAPSHOT, options.wants(Part.SNAPSHOT), new SnapshotStops(bench, name)::measure);
            measured(Part.STREAM, options.wants(Part.STREAM), new Streams(bench)::measure);
            measured(Part.FILES, options.wants(Part.FILES), new Transfers(bench)::measure);
            Optional<DiskUse> disk = options.wants(Part.DISK) ? disk() : Optional.empty();
            Optional<ApiUse> api = options.wants(Part.API) ? api() : Optional.empty();
            Optional<SoakResult> soak =
                    options.wants(Part.SOAK) ? Optional.of(new Soak(bench).measure()) : Optional.empty();
            return new Outcome(
                    machine,
                    samples,
                    crowd.burst(),
                    crowd.memory(),
                    disk,
                    api,
                    soak,
                    options.profile() ? steps : Map.of(),
                    notes);
        } finally {
            progress.step("cleaning up");
            cleanUp();
        }
    }

    /** A part that fails does not keep the others from being measured. */
    private void measured(Part part, boolean wanted, Runnable measurement) {
        if (wanted) {
            try {
                measurement.run();
            } catch (BenchFailure e) {
                interruption.check();
                notes.add(part + " was not measured to its end: " + e.reason());
            }
        }
    }

    private Optional<DiskUse> disk() {
        try {
            return DiskGrowth.measure(bench);
        } catch (BenchFailure e) {
            interruption.check();
            notes.add(Part.DISK + " was not measured: " + e.reason());
            return Optional.empty();
        }
    }

    private Optional<ApiUse> api() {
        try {
            return Optional.of(new ApiLoad(bench, name).measure());
        } catch (BenchFailure e) {
            interruption.check();
            notes.add(Part.API + " was not measured to its end: " + e.reason());
            return Optional.empty();
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

    // --- rounds

    private Map<String, StepTimes.Total> rounds() {
        boolean needsWarm = options.wants(Part.EXEC) || options.wants(Part.PYTHON);
        Optional<String> warm = needsWarm ? Optional.of(rest.create()) : Optional.empty();
        progress.step("warming up");
        if (options.wants(Part.CREATE)) {
            pool.learn();
        }
        for (int round = 0; round < WARM_UP_ROUNDS; round++) {
            round(warm, false);
        }
        samples.clear();
        Map<String, StepTimes.Total> before = StepTimes.parse(rest.metrics());
        progress.step("measuring");
        int rounds = options.rounds();
        int boots = options.coldBoots();
        for (int round = 0; round < rounds; round++) {
            if (bench.end().expired()) {
                notes.add("only " + round + " of " + rounds
                        + " rounds fitted into the time; --rounds takes what it needs");
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

    private void round(Optional<String> warm, boolean withColdBoot) {
        if (options.wants(Part.CREATE)) {
            createOrCount(Subject.CREATE_ECHO, "ready\n", "/bin/echo", "ready");
            createOrCount(Subject.CREATE_PYTHON, "42\n", PYTHON, PYTHON_PROGRAM);
        }
        for (int i = 0; i < EXECS_PER_ROUND; i++) {
            interruption.check();
            if (options.wants(Part.EXEC)) {
                warm.ifPresent(id -> bench.timed(Subject.EXEC_TRUE, () -> rest.exec(id, TRUE)));
            }
            podman(Subject.PODMAN_EXEC, Podman::exec);
        }
        if (options.wants(Part.PYTHON)) {
            warm.ifPresent(id -> bench.timed(Subject.EXEC_PYTHON, () -> rest.exec(id, PYTHON, PYTHON_PROGRAM)));
        }
        podman(Subject.PODMAN_RUN, Podman::run);
        interruption.check();
        if (withColdBoot && coldBoot != null) {
            boot(coldBoot);
        }
    }

    /** A platform that fails now and then is still measured, and the report says how often it did. */
    private void createOrCount(Subject output, String expected, String command, String... arguments) {
        interruption.check();
        pool.awaitWarm();
        try {
            createToDelete(output, expected, command, arguments);
        } catch (BenchFailure failure) {
            failures++;
            notes.add("a create, first exec or delete failed: " + failure.reason());
            if (failures == FAILURES_MAX) {
                throw failure;
            }
        }
    }

    private void createToDelete(Subject output, String expected, String command, String... arguments) {
        long begin = System.nanoTime();
        String id = rest.create();
        samples.add(Subject.CREATE, Bench.since(begin));
        String printed = rest.exec(id, command, arguments);
        samples.add(output, Bench.since(begin));
        if (!printed.equals(expected)) {
            throw new BenchFailure("`" + command + "` in a new sandbox printed: " + printed);
        }
        bench.timed(Subject.DELETE, () -> rest.delete(id));
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
        if (options.wants(Part.SNAPSHOT)) {
            rest.mySnapshots().forEach(rest::deleteSnapshot);
        }
    }
}
