package dev.sandglass.bench;

/**
 * Proportional set size of the VM processes of clones that were made one after another and are idle.
 *
 * @param sandboxes alive at the same time
 * @param answered how many of them answered another exec while all were alive
 * @param firstBytes of the first one, when it was alone
 * @param allBytes of all together
 */
record MemoryUse(int sandboxes, int answered, long firstBytes, long allBytes) {
    /** What each one after the first has added. */
    long bytesEachBeyondFirst() {
        return sandboxes < 2 ? 0 : Math.max(0, allBytes - firstBytes) / (sandboxes - 1);
    }

    long bytesEach() {
        return allBytes / Math.max(1, sandboxes);
    }
}
