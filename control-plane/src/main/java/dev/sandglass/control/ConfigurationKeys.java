package dev.sandglass.control;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * The variables a program of Sandglass reads. A variable that begins with SANDGLASS_ and is not among them is refused,
 * since it is most likely misspelt; other programs add theirs with {@link #and}.
 */
public record ConfigurationKeys(List<Key> keys) {
    /** A variable and, for {@code .env.example} and help texts, what it means. */
    public record Key(String name, String meaning) {}

    public ConfigurationKeys {
        keys = List.copyOf(keys);
    }

    /** What the control plane reads. */
    public static ConfigurationKeys controlPlane() {
        return new ConfigurationKeys(ControlPlaneConfiguration.KEYS);
    }

    public ConfigurationKeys and(List<Key> more) {
        var all = new ArrayList<>(keys);
        all.addAll(more);
        return new ConfigurationKeys(all);
    }

    /** Those of {@code present} that begin with SANDGLASS_ and are not known, sorted. */
    public Set<String> unknown(Set<String> present) {
        Set<String> known = keys.stream().map(Key::name).collect(Collectors.toCollection(HashSet::new));
        return present.stream()
                .filter(name -> name.startsWith("SANDGLASS_") && !known.contains(name))
                .collect(Collectors.toCollection(TreeSet::new));
    }
}
