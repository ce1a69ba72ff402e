package dev.sandglass.host.vmm;

import org.jspecify.annotations.Nullable;

/**
 * A VMM did not do what it was asked, or ended. The message is for the log: it holds the VMM's own words, which may name
 * paths of the host.
 */
public final class VmmFailed extends RuntimeException {
    private static final long serialVersionUID = 1;

    public VmmFailed(String message) {
        this(message, null);
    }

    public VmmFailed(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
