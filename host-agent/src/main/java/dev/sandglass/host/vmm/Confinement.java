package dev.sandglass.host.vmm;

import java.nio.file.Path;
import java.util.List;

/**
 * Where a VM process lives. It opens what it needs before it becomes this user, so nothing needs to be readable by it.
 *
 * @param uid owns nothing else on the machine; its group is the one of the same number
 * @param networkNamespace name under /run/netns
 * @param tap a tap device in it that {@code uid} may open
 * @param cgroupProcs cgroup.procs files, one for each hierarchy
 */
public record Confinement(int uid, String networkNamespace, String tap, List<Path> cgroupProcs) {
    public Confinement {
        cgroupProcs = List.copyOf(cgroupProcs);
        if (uid <= 0) {
            throw new IllegalArgumentException("a VM process never runs as uid " + uid);
        }
    }
}
