package dev.sandglass.host.vmm;

import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * What a frozen state depends on: VMM name, exact build, accelerator, CPU model and features, machine and device list.
 * A state is loaded only by a VMM whose identity is equal to that of the one that made it.
 */
public record VmmIdentity(SortedMap<String, String> properties) {
    public VmmIdentity {
        properties = Collections.unmodifiableSortedMap(new TreeMap<>(properties));
    }

    /** One line for each property that differs, {@code name: this value → other value}; empty when compatible. */
    public List<String> differences(VmmIdentity other) {
        TreeSet<String> names = new TreeSet<>(properties.keySet());
        names.addAll(other.properties.keySet());
        return names.stream()
                .filter(name -> !Objects.equals(properties.get(name), other.properties.get(name)))
                .map(name -> name + ": " + properties.getOrDefault(name, "none") + " → "
                        + other.properties.getOrDefault(name, "none"))
                .toList();
    }
}
