package dev.sandglass.control.sandbox;

/** What one team may have at the same time: sandboxes in any state, and memory of those that are alive. */
public record TeamQuota(int sandboxes, int memoryMb) {
    public TeamQuota {
        if (sandboxes < 1 || memoryMb < 128) {
            throw new IllegalArgumentException("a quota that allows no sandbox");
        }
    }
}
