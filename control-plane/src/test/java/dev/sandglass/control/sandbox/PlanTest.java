package dev.sandglass.control.sandbox;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.Id.SandboxId;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.control.sandbox.Machines.HostView;
import dev.sandglass.control.sandbox.Machines.Seen;
import dev.sandglass.control.sandbox.Plan.Action;
import dev.sandglass.control.sandbox.Plan.Known;
import dev.sandglass.control.sandbox.Plan.Situation;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class PlanTest {
    private static final String OURS = "ours";
    private static final Instant NOW = Instant.parse("2026-01-01T12:00:00Z");
    private static final Instant OLD = NOW.minus(Duration.ofMinutes(2));

    private static Sandbox row(SandboxStatus status, boolean overdue, boolean deletionRequested) {
        boolean down = status == SandboxStatus.STOPPED || status == SandboxStatus.ERROR;
        return new Sandbox(
                SandboxId.random(),
                TeamId.random(),
                "host",
                "base",
                Optional.empty(),
                status,
                7,
                1,
                512,
                0,
                status == SandboxStatus.RUNNING ? Optional.of("10.11.0.1") : Optional.empty(),
                Map.of(),
                down ? Optional.of("why") : Optional.empty(),
                false,
                OLD,
                Optional.of(OLD),
                Optional.empty(),
                OLD,
                overdue,
                deletionRequested);
    }

    private static Seen seen(SandboxStatus status) {
        return new Seen(Optional.of(status), "10.11.0.1", OLD, "why", false);
    }

    private static Plan plan(List<Sandbox> rows, Map<String, Seen> view, Map<String, Known> unlisted) {
        return Plan.of(new Situation(OURS, rows, new HostView(OURS, view), unlisted, Map.of(), NOW));
    }

    /** What the row says, whether it is overdue, what the host says, what the row becomes. */
    @ParameterizedTest
    @CsvSource({
        "PENDING,  false, RUNNING,  -",
        "PENDING,  true,  PENDING,  -",
        "PENDING,  true,  RUNNING,  RUNNING",
        "PENDING,  true,  STOPPED,  STOPPED",
        "PENDING,  true,  ERROR,    ERROR",
        "RUNNING,  false, RUNNING,  -",
        "RUNNING,  false, PAUSING,  -",
        "RUNNING,  false, PAUSED,   PAUSED",
        "RUNNING,  false, STOPPED,  STOPPED",
        "RUNNING,  false, ERROR,    ERROR",
        "PAUSING,  false, RUNNING,  -",
        "PAUSING,  false, PAUSED,   PAUSED",
        "PAUSING,  false, STOPPED,  -",
        "PAUSING,  true,  RUNNING,  RUNNING",
        "PAUSING,  true,  PAUSING,  -",
        "PAUSING,  true,  STOPPED,  STOPPED",
        "PAUSED,   false, PAUSED,   -",
        "PAUSED,   false, RUNNING,  RUNNING",
        "PAUSED,   false, STOPPED,  STOPPED",
        "RESUMING, false, RUNNING,  -",
        "RESUMING, false, PAUSED,   -",
        "RESUMING, true,  RUNNING,  RUNNING",
        "RESUMING, true,  RESUMING, -",
        "RESUMING, true,  PAUSED,   PAUSED",
        "STOPPED,  false, STOPPED,  -",
        "STOPPED,  false, RUNNING,  RUNNING",
        "STOPPED,  false, PAUSED,   PAUSED",
        "ERROR,    false, ERROR,    -",
        "ERROR,    false, RUNNING,  RUNNING",
    })
    void aRowBecomesWhatItsHostSays(SandboxStatus says, boolean overdue, SandboxStatus host, String becomes) {
        Sandbox row = row(says, overdue, false);
        Plan plan = plan(List.of(row), Map.of(row.id().value(), seen(host)), Map.of());
        if (becomes.equals("-")) {
            assertThat(plan.actions()).isEmpty();
        } else {
            assertThat(plan.actions())
                    .singleElement()
                    .isInstanceOfSatisfying(
                            Action.Adjust.class,
                            adjust -> assertThat(adjust.change().to().name()).isEqualTo(becomes));
        }
        assertThat(plan.missed()).isEmpty();
    }

    @ParameterizedTest
    @CsvSource({
        "PENDING, false, -, -",
        "PENDING, true, ERROR, ERROR",
        "RUNNING, false, -, STOPPED",
        "PAUSING, false, -, -",
        "PAUSING, true, -, STOPPED",
        "PAUSED, false, -, STOPPED",
        "RESUMING, false, -, -",
        "RESUMING, true, -, STOPPED",
        "STOPPED, false, -, -",
        "ERROR, false, -, -",
    })
    void whatIsMissedTwiceWithTheSameRowIsStopped(SandboxStatus says, boolean overdue, String first, String second) {
        Sandbox row = row(says, overdue, false);
        Plan once = plan(List.of(row), Map.of(), Map.of());
        assertThat(becomes(once)).isEqualTo(first);
        HostView empty = new HostView(OURS, Map.of());
        Plan twice = Plan.of(new Situation(OURS, List.of(row), empty, Map.of(), once.missed(), NOW));
        assertThat(becomes(twice)).isEqualTo(second);
        Map<String, Long> anotherRow = Map.of(row.id().value(), row.version() - 1);
        Plan changed = Plan.of(new Situation(OURS, List.of(row), empty, Map.of(), anotherRow, NOW));
        assertThat(becomes(changed)).isEqualTo(first);
    }

    private static String becomes(Plan plan) {
        return plan.actions().stream()
                .map(action -> action instanceof Action.Adjust adjust
                        ? adjust.change().to().name()
                        : "something else")
                .findFirst()
                .orElse("-");
    }

    @Test
    void whatIsToBeDeletedIsRemovedOnceItsTransitionIsOver() {
        Sandbox settled = row(SandboxStatus.RUNNING, false, true);
        Sandbox underWay = row(SandboxStatus.PAUSING, false, true);
        Plan plan =
                plan(List.of(settled, underWay), Map.of(settled.id().value(), seen(SandboxStatus.RUNNING)), Map.of());
        assertThat(plan.actions()).containsExactly(new Action.Remove(settled));
    }

    @Test
    void whatComesBackAfterItsDeletionIsRemovedHoweverManyTheyAre() {
        Map<String, Seen> view = new LinkedHashMap<>();
        Map<String, Known> known = new LinkedHashMap<>();
        for (int i = 0; i < 20; i++) {
            String id = SandboxId.random().value();
            view.put(id, seen(SandboxStatus.RUNNING));
            known.put(id, Known.DELETED);
        }
        assertThat(plan(List.of(), view, known).actions()).hasSize(20);
    }

    /** Known ones on the host, strangers, and how many of these are removed. */
    @ParameterizedTest
    @CsvSource({"1,1,1", "1,3,3", "5,3,3", "5,4,0", "40,4,4", "100,10,10", "100,12,0", "0,1,0", "0,3,0", "0,50,0"})
    void strangersAreRemovedWhenTheyAreFewAmongKnownOnes(int known, int strangers, int removed) {
        Plan plan = withStrangers(known, strangers, OLD, OURS);
        assertThat(plan.actions().stream().filter(action -> action instanceof Action.RemoveStranger))
                .hasSize(removed);
        assertThat(plan.strangers()).hasSize(strangers - removed);
    }

    private static Plan withStrangers(int known, int strangers, Instant createdAt, String installation) {
        List<Sandbox> rows = new ArrayList<>();
        Map<String, Seen> view = new LinkedHashMap<>();
        for (int i = 0; i < known; i++) {
            Sandbox row = row(SandboxStatus.RUNNING, false, false);
            rows.add(row);
            view.put(row.id().value(), seen(SandboxStatus.RUNNING));
        }
        for (int i = 0; i < strangers; i++) {
            view.put(
                    SandboxId.random().value(), new Seen(Optional.of(SandboxStatus.RUNNING), "", createdAt, "", false));
        }
        return Plan.of(new Situation(OURS, rows, new HostView(installation, view), Map.of(), Map.of(), NOW));
    }

    @Test
    void youngStrangersAreNotLookedAt() {
        Plan plan = withStrangers(5, 2, NOW.minus(Duration.ofSeconds(59)), OURS);
        assertThat(plan.actions()).isEmpty();
        assertThat(plan.strangers()).isEmpty();
    }

    @Test
    void whatGotItsRowAfterTheRowsWereReadIsNoStranger() {
        String id = SandboxId.random().value();
        Plan plan = plan(List.of(), Map.of(id, seen(SandboxStatus.RUNNING)), Map.of(id, Known.LIVING));
        assertThat(plan).isEqualTo(new Plan(List.of(), Map.of(), Set.of()));
    }

    @Test
    void anotherInstallationsHostChangesNothing() {
        Sandbox row = row(SandboxStatus.RUNNING, false, true);
        Plan plan = withStrangers(3, 2, OLD, "another");
        assertThat(plan.actions()).isEmpty();
        assertThat(plan.strangers()).hasSize(5);
        Plan empty = Plan.of(new Situation(
                OURS,
                List.of(row),
                new HostView("another", Map.of()),
                Map.of(),
                Map.of(row.id().value(), 7L),
                NOW));
        assertThat(empty.actions()).isEmpty();
    }
}
