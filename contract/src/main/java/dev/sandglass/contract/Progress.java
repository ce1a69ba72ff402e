package dev.sandglass.contract;

/** Where long work tells how far it is. Implementations are thread-safe and never throw. */
public interface Progress {
    /** Ignores everything. */
    Progress SILENT = new Progress() {
        @Override
        public void step(String text) {}

        @Override
        public void advance(long done, long total, String unit) {}
    };

    /** A step begins, and the one before it has ended: {@code "building the root file system"}. */
    void step(String text);

    /** How far the current step is, in {@code unit}; {@code total} 0 when it is not known. */
    void advance(long done, long total, String unit);
}
