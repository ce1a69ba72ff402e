package dev.sandglass.bench;

/**
 * Memory of clones that were made in one go, have run one command each and are idle.
 *
 * @param sandboxes alive at the same time
 * @param answered how many of them answered another exec while all were alive
 * @param pssBytes proportional set size of their processes, all together
 * @param availableLostBytes what MemAvailable was less than before they were made
 */
record MemoryUse(int sandboxes, int answered, long pssBytes, long availableLostBytes) {
    long pssEach() {
        return pssBytes / Math.max(1, sandboxes);
    }

    long availableLostEach() {
        return availableLostBytes / Math.max(1, sandboxes);
    }
}
