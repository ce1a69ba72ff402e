package dev.sandglass.host.memory;

/** Bytes that are no header; the message says why. */
public final class MalformedHeader extends Exception {
    private static final long serialVersionUID = 1;

    MalformedHeader(String what) {
        super(what);
    }
}
