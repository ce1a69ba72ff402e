package dev.sandglass.control.sandbox;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.sandbox.Schedule.Mortal;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * A host and the network to it. Operations take their time, one at a time for each sandbox, and are finished whether or
 * not somebody waits; requests may arrive late, answers may be lost, lists may be old when they arrive and leave a
 * sandbox out once; the agent restarts, machines end, idle ones are paused. What really was, and when, is kept.
 */
final class SimulatedHost implements Machines {
    static final String ID = "host";
    static final String INSTALLATION = "simulated";

    /** Whether it may be destroyed, asked when it is about to be. */
    interface Judge {
        void destroyed(String sandbox);
    }

    private record Moment(Instant since, @Nullable SandboxStatus status) {}

    private static final class Machine {
        SandboxStatus status = SandboxStatus.PENDING;
        String hostIp = "";
        String error = "";
        boolean busy;
        final Instant createdAt;

        Machine(Instant createdAt) {
            this.createdAt = createdAt;
        }
    }

    private final Schedule schedule;
    private final Judge judge;
    private final Map<String, Machine> machines = new LinkedHashMap<>();
    private final Map<String, List<Moment>> history = new LinkedHashMap<>();
    private final Map<String, Instant> leftOut = new LinkedHashMap<>(); // of a list
    private Mortal agent = new Mortal();
    private int addresses;
    private int underWay;
    private int outages;
    boolean calm;

    SimulatedHost(Schedule schedule, Judge judge) {
        this.schedule = schedule;
        this.judge = judge;
    }

    // ---- truth

    Optional<SandboxStatus> status(String sandbox) {
        return Optional.ofNullable(machines.get(sandbox)).map(machine -> machine.status);
    }

    Set<String> all() {
        return machines.keySet();
    }

    boolean isIdle() {
        return underWay == 0;
    }

    /** Whether it was so at some time since; {@code status} null: absent. */
    boolean was(String sandbox, @Nullable SandboxStatus status, Instant since) {
        List<Moment> moments = history.getOrDefault(sandbox, List.of(new Moment(Instant.EPOCH, null)));
        for (int i = 0; i < moments.size(); i++) {
            boolean over = i + 1 < moments.size() && moments.get(i + 1).since().isBefore(since);
            if (!over && moments.get(i).status() == status) {
                return true;
            }
        }
        return false;
    }

    private void remember(String sandbox) {
        history.computeIfAbsent(sandbox, id -> new ArrayList<>(List.of(new Moment(Instant.EPOCH, null))))
                .add(new Moment(schedule.now(), status(sandbox).orElse(null)));
    }

    private void set(String sandbox, Machine machine, SandboxStatus status) {
        machine.status = status;
        if (machines.get(sandbox) == machine) {
            remember(sandbox);
        }
    }

    // ---- what happens by itself

    void endMachine(String sandbox) {
        Machine machine = machines.get(sandbox);
        if (machine != null && machine.status == SandboxStatus.RUNNING && !machine.busy) {
            machine.error = "It powered off.";
            set(sandbox, machine, SandboxStatus.STOPPED);
        }
    }

    void autoPause(String sandbox) {
        if (!machines.containsKey(sandbox)) {
            return;
        }
        schedule.spawn(agent, () -> {
            try {
                operate(sandbox, machine -> pauseIdle(sandbox, machine));
            } catch (PlatformException e) {
                // destroyed meanwhile
            }
        });
    }

    private boolean pauseIdle(String sandbox, Machine machine) {
        if (machine.status == SandboxStatus.RUNNING) {
            set(sandbox, machine, SandboxStatus.PAUSING);
            work();
            set(sandbox, machine, schedule.oneIn(5) ? SandboxStatus.RUNNING : SandboxStatus.PAUSED);
        }
        return true;
    }

    void stranger(String sandbox, Instant createdAt) {
        Machine machine = new Machine(createdAt);
        machines.put(sandbox, machine);
        set(sandbox, machine, SandboxStatus.RUNNING);
    }

    /** What was under way is undone or finished, as the next agent does from its ledger. */
    void restartAgent() {
        agent.dead = true;
        agent = new Mortal();
        underWay = 0;
        List.copyOf(machines.entrySet()).forEach(entry -> {
            Machine machine = entry.getValue();
            machine.busy = false;
            switch (machine.status) {
                case PENDING -> {
                    machines.remove(entry.getKey());
                    remember(entry.getKey());
                }
                case PAUSING ->
                    set(entry.getKey(), machine, schedule.oneIn(2) ? SandboxStatus.RUNNING : SandboxStatus.PAUSED);
                case RESUMING -> set(entry.getKey(), machine, SandboxStatus.PAUSED);
                case RUNNING, PAUSED, STOPPED, ERROR -> {}
            }
        });
        schedule.spawn(new Mortal(), this::outage);
    }

    /** Nobody reaches it for a while. */
    void outage() {
        outages++;
        schedule.sleepAbout(Duration.ofMillis(100), Duration.ofSeconds(20));
        outages--;
    }

    // ---- operations

    private interface Operation {
        boolean run(Machine machine);
    }

    private boolean operate(String sandbox, Operation operation) {
        Machine machine = machines.get(sandbox);
        while (machine != null && machine.busy) {
            Machine busy = machine;
            schedule.await(Duration.ofMinutes(2), () -> !busy.busy);
            machine = machines.get(sandbox);
        }
        if (machine == null) {
            throw new PlatformException(ErrorCode.NOT_FOUND, "There is no such sandbox.");
        }
        machine.busy = true;
        try {
            return operation.run(machine);
        } finally {
            machine.busy = false;
        }
    }

    private void work() {
        schedule.sleepAbout(Duration.ofMillis(20), Duration.ofSeconds(8));
    }

    private static PlatformException wrongState(Machine machine) {
        return new PlatformException(ErrorCode.INVALID_STATE, "It is " + machine.status);
    }

    private static PlatformException broken() {
        return new PlatformException(ErrorCode.AGENT_ERROR, "It failed.");
    }

    @Override
    public String create(Sandbox pending, SandboxSpec spec) {
        String id = pending.id().value();
        return call(Limits.CREATE, () -> {
            if (!calm && schedule.oneIn(10)) {
                throw new PlatformException(ErrorCode.NO_CAPACITY, "There is no room.");
            }
            Machine machine = new Machine(schedule.now());
            machine.busy = true;
            machines.put(id, machine);
            remember(id);
            work();
            machine.busy = false;
            if (!calm && schedule.oneIn(10)) {
                machines.remove(id);
                remember(id);
                throw broken();
            }
            machine.hostIp = "10.11.0." + ++addresses;
            set(id, machine, SandboxStatus.RUNNING);
            return machine.hostIp;
        });
    }

    @Override
    public void destroy(String hostId, String sandbox) {
        call(Limits.DESTROY, () -> {
            if (!machines.containsKey(sandbox)) {
                return true;
            }
            return operate(sandbox, machine -> {
                work();
                if (!calm && schedule.oneIn(8)) {
                    throw broken();
                }
                judge.destroyed(sandbox);
                machines.remove(sandbox);
                remember(sandbox);
                return true;
            });
        });
    }

    @Override
    public void ping(Sandbox sandbox) {
        call(Duration.ofSeconds(10), () -> {
            Machine machine = machines.get(sandbox.id().value());
            if (machine == null) {
                throw new PlatformException(ErrorCode.NOT_FOUND, "There is no such sandbox.");
            }
            if (machine.status != SandboxStatus.RUNNING) {
                throw wrongState(machine);
            }
            return true;
        });
    }

    @Override
    public void pause(Sandbox sandbox) {
        String id = sandbox.id().value();
        call(
                Limits.PAUSE,
                () -> operate(id, machine -> {
                    switch (machine.status) {
                        case PAUSED -> {}
                        case RUNNING -> {
                            set(id, machine, SandboxStatus.PAUSING);
                            work();
                            if (!calm && schedule.oneIn(6)) {
                                set(id, machine, SandboxStatus.RUNNING);
                                throw broken();
                            }
                            set(id, machine, SandboxStatus.PAUSED);
                        }
                        default -> throw wrongState(machine);
                    }
                    return true;
                }));
    }

    @Override
    public Resumed resume(Sandbox sandbox, boolean cold) {
        String id = sandbox.id().value();
        return call(Limits.RESUME, () -> {
            Machine[] resumed = new Machine[1];
            boolean fromDisk = operate(id, machine -> {
                SandboxStatus before = machine.status;
                resumed[0] = machine;
                return switch (before) {
                    case RUNNING -> false;
                    case PAUSED, STOPPED -> {
                        set(id, machine, SandboxStatus.RESUMING);
                        work();
                        if (!calm && schedule.oneIn(6)) {
                            set(id, machine, before);
                            throw broken();
                        }
                        machine.hostIp = "10.11.0." + ++addresses;
                        machine.error = "";
                        set(id, machine, SandboxStatus.RUNNING);
                        yield cold || before == SandboxStatus.STOPPED;
                    }
                    case PENDING, PAUSING, RESUMING, ERROR -> throw wrongState(machine);
                };
            });
            return new Resumed(resumed[0].hostIp, fromDisk);
        });
    }

    @Override
    public HostView list(String hostId) {
        return call(Duration.ofSeconds(10), () -> {
            Map<String, Seen> seen = new LinkedHashMap<>();
            machines.forEach((id, machine) -> {
                if (isLeftOut(id)) {
                    return;
                }
                seen.put(
                        id,
                        new Seen(
                                Optional.of(machine.status),
                                machine.status == SandboxStatus.RUNNING ? machine.hostIp : "",
                                machine.createdAt,
                                machine.error,
                                false));
            });
            return new HostView(INSTALLATION, seen);
        });
    }

    /** Seldom, and not twice within a minute. */
    private boolean isLeftOut(String sandbox) {
        Instant last = leftOut.getOrDefault(sandbox, Instant.EPOCH);
        boolean out =
                !calm && schedule.oneIn(100) && last.plus(Duration.ofMinutes(1)).isBefore(schedule.now());
        if (out) {
            leftOut.put(sandbox, schedule.now());
        }
        return out;
    }

    // ---- the network

    private static final class Reply<T> {
        @Nullable
        T value;

        @Nullable
        PlatformException failure;

        boolean arrived;
    }

    /** One request, carried out in the agent, which may arrive late, or not, or be answered in vain. */
    private <T> T call(Duration limit, Supplier<T> work) {
        if (outages > 0) {
            throw unavailable();
        }
        Reply<T> reply = new Reply<>();
        boolean lost = !calm && schedule.oneIn(12);
        underWay++;
        Mortal process = agent;
        schedule.spawn(process, () -> {
            schedule.sleepAbout(Duration.ZERO, lost ? Duration.ofSeconds(60) : Duration.ofMillis(500));
            try {
                reply.value = work.get();
            } catch (PlatformException e) {
                reply.failure = e;
            }
            underWay--;
            if (schedule.oneIn(3)) {
                schedule.sleepAbout(Duration.ZERO, Duration.ofSeconds(3)); // meanwhile what it says becomes old
            }
            reply.arrived = true;
        });
        if (lost) {
            schedule.sleepAbout(Duration.ZERO, Duration.ofSeconds(5));
            throw unavailable();
        }
        if (!schedule.await(limit, () -> reply.arrived || process.dead)) {
            throw new PlatformException(ErrorCode.AGENT_ERROR, "It did not finish in time.");
        }
        PlatformException failure = reply.failure;
        T value = reply.value;
        if (failure != null) {
            throw failure;
        }
        if (value == null || process.dead) {
            throw unavailable();
        }
        return value;
    }

    private static PlatformException unavailable() {
        return new PlatformException(ErrorCode.HOST_UNAVAILABLE, "It does not answer.");
    }
}
