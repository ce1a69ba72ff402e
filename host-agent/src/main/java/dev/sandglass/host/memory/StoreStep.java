package dev.sandglass.host.memory;

/** What a store does on disk, a commit or merge in this order; whatever happens after any of them, it is the old or the new one. */
public enum StoreStep {
    /** Its directory exists. */
    DRAFT_MADE,
    /** All pages are in it. */
    DIFF_WRITTEN,
    HEADER_WRITTEN,
    CHECKSUMS_WRITTEN,
    /** All of it is on disk, attachments and its name as well; no manifest knows it. */
    DRAFT_SYNCED,
    /** It counts. */
    MANIFEST_SWITCHED,
    /** What nothing needs any more is gone. */
    LEFTOVERS_REMOVED,

    /** Of {@link GenerationStore#linkTo}: all files are at the other place, durably, where no manifest knows them yet. */
    LINKS_MADE,
    /** They are a store. */
    LINKS_COMMITTED;

    /** Is told of each step right after it; may throw, as if the step after had failed. */
    @FunctionalInterface
    public interface Observer {
        Observer NONE = step -> {};

        void reached(StoreStep step);
    }
}
