package dev.sandglass.control.sandbox;

import dev.sandglass.control.host.Strangers;
import dev.sandglass.control.sandbox.Machines.HostView;
import dev.sandglass.control.sandbox.Machines.Seen;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;

/**
 * What is to be done about one host: its rows against what it says it has. Pure.
 *
 * <p>Read in this order: rows, then the host's list, then which of the listed have a row after all. The first two for the
 * reason given at {@link Settlement}; the last because a row exists before its host is told, so what is on a host and has
 * no row afterwards was not made by this database.
 *
 * @param actions in no particular order
 * @param missed what the host did not have, with the version of its row; to be handed to the next round
 * @param strangers on the host, unknown to the database and not to be touched: somebody must look
 */
record Plan(List<Action> actions, Map<String, Long> missed, Set<String> strangers) {
    /** One step; each is a compare-and-set or may be repeated. */
    sealed interface Action {
        /** The row is not what its host says. */
        record Adjust(Sandbox row, Change change) implements Action {}

        /** A deletion that its host has not confirmed. */
        record Remove(Sandbox row) implements Action {}

        /** On the host although it has been deleted: its creation took effect after that. */
        record RemoveRevenant(String id) implements Action {}

        /** On the host and unknown; one of a few. */
        record RemoveStranger(String id, Instant createdAt) implements Action {}
    }

    /** What the database knows of an id that its host has and that is not among the rows read before. */
    enum Known {
        /** A row has been inserted meanwhile, or names another host. */
        LIVING,
        DELETED
    }

    /** What is looked at together. */
    record Situation(
            String installation,
            List<Sandbox> rows,
            HostView view,
            Map<String, Known> unlisted,
            Map<String, Long> missedBefore,
            Instant now) {}

    static Plan of(Situation situation) {
        if (!situation.view().installation().equals(situation.installation())) {
            // Another installation's host under a name of ours: nothing it says is about our rows.
            return new Plan(
                    List.of(), Map.of(), Set.copyOf(situation.view().sandboxes().keySet()));
        }
        List<Action> actions = new ArrayList<>();
        Map<String, Long> missed = new HashMap<>();
        for (Sandbox row : situation.rows()) {
            decide(row, situation, missed).ifPresent(actions::add);
        }
        Set<String> untouched = decideUnlisted(situation, actions);
        return new Plan(List.copyOf(actions), Map.copyOf(missed), untouched);
    }

    private static Optional<Action> decide(Sandbox row, Situation situation, Map<String, Long> missed) {
        if (row.deletionRequested() && !row.status().isTransition()) {
            return Optional.of(new Action.Remove(row));
        }
        String id = row.id().value();
        Optional<Seen> seen = situation.view().find(id);
        if (seen.isPresent()) {
            return Settlement.of(row, seen.get()).map(change -> new Action.Adjust(row, change));
        }
        missed.put(id, row.version());
        boolean missedBefore =
                Long.valueOf(row.version()).equals(situation.missedBefore().get(id));
        return Settlement.ofAbsent(row, missedBefore).map(change -> new Action.Adjust(row, change));
    }

    /** Adds to {@code actions}; returns the strangers that are left alone. */
    private static Set<String> decideUnlisted(Situation situation, List<Action> actions) {
        Set<String> listed = new HashSet<>();
        situation.rows().forEach(row -> listed.add(row.id().value()));
        Instant before = situation.now().minus(Strangers.AGE);
        NavigableMap<String, Instant> strangers = new TreeMap<>();
        situation.view().sandboxes().forEach((id, seen) -> {
            Known known = situation.unlisted().get(id);
            if (known == Known.DELETED) {
                actions.add(new Action.RemoveRevenant(id));
            } else if (known == null && !listed.contains(id) && seen.createdAt().isBefore(before)) {
                strangers.put(id, seen.createdAt());
            }
        });
        int present = situation.view().sandboxes().size();
        if (!Strangers.areFew(strangers.size(), present)) {
            return strangers.navigableKeySet();
        }
        strangers.forEach((id, createdAt) -> actions.add(new Action.RemoveStranger(id, createdAt)));
        return Set.of();
    }
}
