package dev.sandglass.host.memory;

/** What a store does on disk, a commit or merge in this order; whatever happens after any of them, it is the old or the new one. */
public enum StoreStep {
    /** The temporary directory exists. */
    DRAFT_MADE,
    /** All pages are in it, on disk. */
    DIFF_WRITTEN,
    HEADER_WRITTEN,
    CHECKSUMS_WRITTEN,
    /** Attachments and the directory itself are on disk. */
    DRAFT_SYNCED,
    /** It has its final name, which no manifest knows yet. */
    DRAFT_RENAMED,
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
