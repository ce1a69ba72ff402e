package dev.sandglass.host.disk;

/** What changes in a disk's directory; whatever happens after any of them, the disk reads the same. */
public enum DiskStep {
    /** A new layer is whole, under a temporary name. */
    DRAFT_MADE,
    /** It has its name, durably where that matters. */
    LAYER_NAMED,
    /** One that a merge made needless is gone. */
    LAYER_REMOVED,
    /** One is linked from another directory. */
    LAYER_LINKED;

    /** Is told of each step right after it; may throw, as if the step after had failed. */
    @FunctionalInterface
    public interface Observer {
        Observer NONE = step -> {};

        void reached(DiskStep step);
    }
}
