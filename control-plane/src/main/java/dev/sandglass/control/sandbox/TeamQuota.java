package dev.sandglass.control.sandbox;

/**
 * What one team may have at the same time.
 *
 * @param sandboxes in any state
 * @param vcpus of the sandboxes that are alive: what is paused or stopped has none
 * @param memoryMb the same
 * @param streams exec streams that are open, at each control plane
 */
public record TeamQuota(int sandboxes, int vcpus, int memoryMb, int streams) {
    public TeamQuota {
        if (sandboxes < 1 || vcpus < 1 || memoryMb < 128 || streams < 1) {
            throw new IllegalArgumentException("a quota that allows no sandbox");
        }
    }
}
