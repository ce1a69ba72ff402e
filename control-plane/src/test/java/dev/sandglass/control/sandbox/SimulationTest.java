package dev.sandglass.control.sandbox;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.PlatformException;
import dev.sandglass.control.idempotency.Answer;
import dev.sandglass.control.idempotency.Idempotency;
import dev.sandglass.control.sandbox.SandboxStore.Insertion.Inserted;
import dev.sandglass.control.sandbox.SandboxStore.New;
import dev.sandglass.control.sandbox.Schedule.Mortal;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

/**
 * Two control planes, a host, people who create, pause, resume and delete, and everything that goes wrong, in many
 * orders. {@code -Dreconciler.seed=N} runs one of them again; {@code -Dreconciler.schedules=N} and
 * {@code -Dreconciler.seconds=N} run more.
 */
final class SimulationTest {
    private static final int SCHEDULES = Integer.getInteger("reconciler.schedules", 3000);
    /** Of the whole: a busy machine does fewer of them. */
    private static final Duration TIME_MAX = Duration.ofSeconds(Integer.getInteger("reconciler.seconds", 15));

    private static final Logger LOG = (Logger) LoggerFactory.getLogger("dev.sandglass");
    private static @Nullable Level before;

    @BeforeAll
    static void quiet() {
        before = LOG.getLevel();
        LOG.setLevel(Level.OFF);
    }

    @AfterAll
    static void loud() {
        LOG.setLevel(before);
    }

    @Test
    void rowsSayWhatTheHostHasWhateverHappens() {
        Long only = Long.getLong("reconciler.seed");
        long first = only == null ? System.nanoTime() : only;
        CompletableFuture<Void> all = new CompletableFuture<>();
        // Not on a thread of the system: tasks take turns with the schedule, and that is far quicker among their kind.
        Thread.ofVirtual().start(() -> {
            try {
                run(first, only == null ? SCHEDULES : 1);
                all.complete(null);
            } catch (Throwable failure) {
                all.completeExceptionally(failure);
            }
        });
        all.join();
    }

    private static void run(long first, int schedules) {
        long until = System.nanoTime() + TIME_MAX.toNanos();
        for (long seed = first; seed < first + schedules && System.nanoTime() < until; seed++) {
            try {
                new Run(seed).go();
            } catch (Throwable failure) {
                throw new AssertionError(
                        "schedule " + seed + " went wrong; again with -Dreconciler.seed=" + seed, failure);
            }
        }
    }

    /** One schedule. */
    private static final class Run {
        private static final Duration TROUBLE = Duration.ofSeconds(90);

        /** The longest limits twice over, then a few passes. */
        private static final Duration CALM_MAX = Duration.ofMinutes(12);

        private final TeamId team = TeamId.random();
        private final Schedule schedule;
        private final SimulatedHost host;
        private final Rows rows;
        private final Mortal world = new Mortal();
        private final List<SandboxId> made = new ArrayList<>();
        private final Set<SandboxId> acknowledged = new HashSet<>();
        private final Set<String> deletable = new HashSet<>();
        private final Set<String> strangers = new HashSet<>();
        private final boolean wrongDatabase;
        private @Nullable Plane leader;
        private final List<Plane> planes = new ArrayList<>();
        private Instant calmSince = Instant.MAX;
        private boolean over;

        Run(long seed) {
            schedule = new Schedule(seed);
            host = new SimulatedHost(schedule, this::requireDeletable);
            rows = new Rows();
            wrongDatabase = schedule.oneIn(20);
        }

        void go() throws Throwable {
            planes.add(new Plane());
            planes.add(new Plane());
            for (int person = 0; person < 3; person++) {
                schedule.spawn(world, this::live);
            }
            schedule.spawn(world, this::trouble);
            schedule.run(() -> over);
            assertThat(wrongs()).isEmpty();
        }

        // ---- control planes

        private final class Plane {
            final Mortal process = new Mortal();
            final Operations operations;
            final Launch launch;
            final Rounds rounds;

            Plane() {
                Detached here = new Detached() {
                    @Override
                    public <T> T run(String operation, String subject, Duration patience, Supplier<T> work) {
                        return work.get();
                    }
                };
                operations =
                        new Operations(rows, host, here, new TeamQuota(1000, 1000, 1 << 20, 1000), schedule, () -> {});
                launch = new Launch(rows, host, operations);
                rounds = new Rounds(rows, host, operations, SimulatedHost.INSTALLATION, schedule);
                schedule.spawn(process, this::reconcile);
            }

            private void reconcile() {
                while (true) {
                    schedule.sleep(Duration.ofSeconds(5));
                    if (leader == null || leader.process.dead) {
                        leader = this;
                    }
                    if (leader == this && rounds.at(SimulatedHost.ID) instanceof Rounds.Outcome.Compared compared) {
                        compared.removals().forEach(removal -> schedule.spawn(process, removal.work()));
                    }
                }
            }

            void create() {
                New wanted = new New(
                        team,
                        SimulatedHost.ID,
                        new Template("base", Optional.empty()),
                        new SandboxSpec("base", Optional.empty(), Optional.empty(), 0, Map.of(), Map.of()),
                        1,
                        512);
                Sandbox pending = ((Inserted) rows.insert(
                                wanted,
                                Optional.empty(),
                                new TeamQuota(1000, 1000, 1 << 20, 1000),
                                Limits.CREATE.plus(Limits.SLACK)))
                        .sandbox();
                made.add(pending.id());
                if (launch.answer(pending, wanted.spec(), true).status() == 201) {
                    acknowledged.add(pending.id());
                }
            }
        }

        private Plane anyPlane() {
            return planes.get(schedule.random.nextInt(planes.size()));
        }

        // ---- people

        private void live() {
            while (calmSince.equals(Instant.MAX)) {
                schedule.sleepAbout(Duration.ZERO, Duration.ofSeconds(20));
                Plane plane = anyPlane();
                schedule.spawn(plane.process, () -> act(plane));
            }
        }

        private void act(Plane plane) {
            try {
                if (made.isEmpty() || schedule.oneIn(8)) {
                    plane.create();
                    return;
                }
                SandboxId id = made.get(schedule.random.nextInt(made.size()));
                switch (schedule.random.nextInt(8)) {
                    case 0, 1 -> plane.operations.pause(team, id);
                    case 2, 3 -> plane.operations.resume(team, id, schedule.oneIn(4));
                    case 4, 5 -> {
                        plane.operations.pause(team, id);
                        plane.operations.resume(team, id, false);
                    }
                    case 6 -> plane.operations.refused(team, id);
                    default -> plane.operations.delete(team, id);
                }
            } catch (PlatformException e) {
                // as told to the caller
            }
        }

        // ---- trouble

        private void trouble() {
            if (wrongDatabase) {
                for (int i = 0; i < 10; i++) {
                    stranger(schedule.now().minus(Duration.ofDays(1)));
                }
            }
            while (schedule.nanoTime() < TROUBLE.toNanos()) {
                schedule.sleepAbout(Duration.ofMillis(500), Duration.ofSeconds(15));
                switch (schedule.random.nextInt(7)) {
                    case 0 -> restartPlane();
                    case 1 -> host.restartAgent();
                    case 2 -> schedule.spawn(world, host::outage);
                    case 3, 4 -> anySandbox().ifPresent(host::autoPause);
                    case 5 -> anySandbox().ifPresent(host::endMachine);
                    default -> {
                        if (schedule.oneIn(3)) {
                            leader = anyPlane(); // the one before does not know yet
                        }
                    }
                }
            }
            if (!wrongDatabase && host.all().size() > 1 && schedule.oneIn(4)) {
                stranger(schedule.now().minus(Duration.ofHours(1)));
            }
            schedule.sleep(Duration.ofSeconds(25)); // whatever was to come back is back
            host.calm = true;
            calmSince = schedule.now();
            while (!(host.isIdle() && wrongs().isEmpty()) && schedule.now().isBefore(calmSince.plus(CALM_MAX))) {
                schedule.sleep(Duration.ofSeconds(1));
            }
            over = true;
        }

        private void stranger(Instant createdAt) {
            String id = randomId();
            strangers.add(id);
            host.stranger(id, createdAt);
        }

        private void restartPlane() {
            int which = schedule.random.nextInt(planes.size());
            planes.get(which).process.dead = true;
            planes.set(which, new Plane());
        }

        private Optional<String> anySandbox() {
            return made.isEmpty()
                    ? Optional.empty()
                    : Optional.of(made.get(schedule.random.nextInt(made.size())).value());
        }

        private String randomId() {
            StringBuilder id = new StringBuilder(SandboxId.PREFIX);
            for (int i = 0; i < 20; i++) {
                id.append("0123456789abcdefghjkmnpqrstvwxyz".charAt(schedule.random.nextInt(32)));
            }
            return id.toString();
        }

        // ---- truth

        private void requireDeletable(String sandbox) {
            boolean leftover = strangers.contains(sandbox) && !wrongDatabase;
            assertThat(leftover || deletable.contains(sandbox))
                    .as("%s is destroyed, and nobody wanted that", sandbox)
                    .isTrue();
        }

        /** What must not be so in the end. */
        private List<String> wrongs() {
            List<String> wrongs = new ArrayList<>();
            Set<String> known = new HashSet<>();
            for (Sandbox row : rows.inner.all()) {
                String id = row.id().value();
                known.add(id);
                Optional<SandboxStatus> there = host.status(id);
                if (row.deletionRequested()) {
                    wrongs.add(id + " is still to be deleted");
                } else if (!there.equals(Optional.of(row.status())) && !(there.isEmpty() && isLegitimatelyGone(row))) {
                    wrongs.add(id + " is " + row.status() + " and on the host " + there);
                }
            }
            // Where there is nothing else, strangers are left alone: the database may be the wrong one.
            boolean leftAlone = wrongDatabase || strangers.containsAll(host.all());
            for (String id : host.all()) {
                if (!known.contains(id) && !(leftAlone && strangers.contains(id))) {
                    wrongs.add(id + " is left on the host");
                }
            }
            for (SandboxId id : acknowledged) {
                if (!deletable.contains(id.value()) && host.status(id.value()).isEmpty()) {
                    wrongs.add(id + " was acknowledged and is lost");
                }
            }
            if (wrongDatabase && !host.all().containsAll(strangers)) {
                wrongs.add("somebody else's sandboxes were destroyed");
            }
            return wrongs;
        }

        private boolean isLegitimatelyGone(Sandbox row) {
            return !acknowledged.contains(row.id())
                    && (row.status() == SandboxStatus.ERROR || row.status() == SandboxStatus.STOPPED);
        }

        /** The rows as a control plane reaches them: others may be quicker before and after each step. */
        private final class Rows implements SandboxStore {
            final InMemorySandboxStore inner = new InMemorySandboxStore(() -> new SandboxId(randomId()), schedule::now);
            private final Map<SandboxId, Instant> written = new HashMap<>();

            private <T> T step(Supplier<T> step) {
                schedule.sleepAbout(Duration.ZERO, Duration.ofSeconds(schedule.oneIn(10) ? 15 : 1));
                T result = step.get();
                if (schedule.oneIn(4)) {
                    schedule.sleepAbout(Duration.ZERO, Duration.ofMillis(50)); // it may die here, too
                }
                return result;
            }

            @Override
            public Insertion insert(New wanted, Optional<Idempotency> idempotency, TeamQuota quota, Duration within) {
                return step(() -> {
                    Insertion inserted = inner.insert(wanted, idempotency, quota, within);
                    written.put(((Inserted) inserted).sandbox().id(), schedule.now());
                    return inserted;
                });
            }

            @Override
            public void answered(SandboxId subject, Answer answer) {}

            @Override
            public void withdraw(SandboxId id) {
                step(() -> {
                    inner.withdraw(id);
                    return true;
                });
            }

            @Override
            public Optional<Sandbox> find(TeamId whose, SandboxId id) {
                return step(() -> inner.find(whose, id));
            }

            @Override
            public boolean wasDeleted(TeamId whose, SandboxId id) {
                return step(() -> inner.wasDeleted(whose, id));
            }

            @Override
            public Optional<Sandbox> change(Sandbox from, Change change) {
                return step(() -> {
                    Optional<Sandbox> changed = inner.change(from, change);
                    changed.ifPresent(row -> requireTrue(from, change));
                    changed.ifPresent(row -> written.put(row.id(), schedule.now()));
                    return changed;
                });
            }

            /** What a row is made to say was so at some time since it said what it said before. */
            private void requireTrue(Sandbox from, Change change) {
                String id = from.id().value();
                Instant since = written.getOrDefault(from.id(), Instant.EPOCH);
                boolean wasSo = switch (change.to()) {
                    case PENDING, PAUSING, RESUMING -> true;
                    case RUNNING, PAUSED -> host.was(id, change.to(), since);
                    case STOPPED -> host.was(id, SandboxStatus.STOPPED, since) || host.was(id, null, since);
                    case ERROR -> true;
                };
                assertThat(wasSo)
                        .as("%s went from %s to %s, which it never was since", id, from.status(), change.to())
                        .isTrue();
            }

            @Override
            public Resumption resume(Sandbox from, Change change, TeamQuota quota) {
                return change(from, change)
                        .<Resumption>map(Resumption.Begun::new)
                        .orElseGet(Resumption.Overtaken::new);
            }

            @Override
            public void abandoned(Sandbox transition) {
                step(() -> {
                    inner.abandoned(transition);
                    return true;
                });
            }

            @Override
            public Optional<Sandbox> requestDeletion(TeamId whose, SandboxId id) {
                return step(() -> {
                    deletable.add(id.value());
                    return inner.requestDeletion(whose, id);
                });
            }

            @Override
            public boolean deleted(SandboxId id) {
                return step(() -> inner.deleted(id));
            }

            @Override
            public List<Sandbox> ofHost(String hostId) {
                return step(() -> inner.ofHost(hostId));
            }

            @Override
            public Map<String, Plan.Known> known(Collection<String> ids) {
                return step(() -> inner.known(ids));
            }
        }
    }
}
