package dev.sandglass.host.memory;

/** Something of a frozen memory is missing or not as it was written; says what, without a path. */
sealed class Damage extends Exception {
    private static final long serialVersionUID = 1;

    /** It was written by another version of Sandglass. */
    static final class OtherFormat extends Damage {
        private static final long serialVersionUID = 1;

        OtherFormat(String what) {
            super(what);
        }
    }

    Damage(String what) {
        super(what);
    }

    String what() {
        return String.valueOf(getMessage());
    }
}
